"""conv1d against torch, and Conv1d."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, needs_torch, rng, torch

import cnn
import cnn.nn.functional as F
from cnn import nn

CASES = [
    ((2, 3, 20), (4, 3, 5), {}),
    ((2, 3, 20), (4, 3, 4), {"padding": "same"}),
    ((3, 4, 17), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ((1, 16, 33), (24, 16, 3), {"dilation": (2,), "padding": (3,)}),
    ((5, 9), (2, 5, 9), {}),
    ((40, 3, 100), (32, 3, 7), {"padding": "valid"}),
]


@needs_torch
@pytest.mark.parametrize(("x", "w", "case"), CASES)
def test_torch(x, w, case):
    random = rng(1)
    arrays = [random.standard_normal(s) for s in (x, w, w[:1])]
    check_against_torch(
        lambda *a: F.conv1d(*a, **case), lambda *a: torch.nn.functional.conv1d(*a, **case), *arrays, terms=x[-1] * x[0]
    )


def test_gradients(every_isa):
    random = rng(2)
    for x, w, case in CASES[:5]:
        check_gradients(lambda *a: F.conv1d(*a, **case), *(random.standard_normal(s) for s in (x, w, w[:1])))  # noqa: B023


@needs_torch
def test_module_is_torchs():
    for arguments, named in [
        ((3, 6, 5), {}),
        ((4, 8, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}),
        ((4, 8, 4), {"padding": "same", "padding_mode": "reflect"}),
    ]:
        cnn.manual_seed(7)
        torch.manual_seed(7)
        ours, theirs = nn.Conv1d(*arguments, **named), torch.nn.Conv1d(*arguments, **named)
        assert repr(ours) == repr(theirs)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert np.array_equal(a._a, b.detach().numpy())
        x = rng(12).standard_normal((2, arguments[0], 13)).astype(np.float32)
        np.testing.assert_allclose(
            ours(cnn.from_numpy(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5
        )


def test_errors():
    with pytest.raises(cnn.errors.ShapeError, match=r"conv1d: expected input \(N, C, L\)"):
        F.conv1d(cnn.ones(2, 3, 4, 5), cnn.ones(2, 3, 3))
    with pytest.raises(TypeError, match="conv1d: stride must be an int or a tuple of one, got \\(1, 2\\)"):
        F.conv1d(cnn.ones(2, 3, 4), cnn.ones(2, 3, 3), stride=(1, 2))
    with pytest.raises(cnn.errors.ShapeError, match="to have 3 channels, but got 2 channels"):
        F.conv1d(cnn.ones(2, 2, 4), cnn.ones(2, 3, 3))
