"""conv_transpose2d against torch and against conv2d, whose transpose it is."""

import numpy as np
import pytest
from harness import channels_last, check_against_torch, check_gradients, needs_torch, rng, torch

import cnn
import cnn.nn.functional as F
from cnn import nn


def random_case(seed):
    random = rng(seed)
    groups = int(random.choice([1, 1, 2, 3]))
    ics, ocs = (int(n) for n in random.choice([1, 2, 3, 5, 8, 17], 2))
    kernel = [int(k) for k in random.choice([1, 2, 3, 4, 5], 2)]
    stride, dilation = ([int(v) for v in random.choice([1, 1, 2, 3], 2)] for _ in range(2))
    case = {
        "stride": tuple(stride),
        "dilation": tuple(dilation),
        "padding": tuple(int(random.integers(0, d * (k - 1) // 2 + 1)) for k, d in zip(kernel, dilation, strict=True)),
        "output_padding": tuple(int(random.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)),
        "groups": groups,
    }
    size = [int(n) for n in random.choice([1, 2, 3, 6, 9], 2)]
    shapes = (int(random.choice([1, 2, 3])), groups * ics, *size), (groups * ics, ocs, *kernel), (groups * ocs,)
    return [random.standard_normal(s) for s in shapes], case


@needs_torch
@pytest.mark.parametrize("block", range(4))
def test_torch(block):
    for seed in range(block * 20, block * 20 + 20):
        arrays, case = random_case(seed)
        check_against_torch(
            lambda *a: F.conv_transpose2d(*a, **case),  # noqa: B023
            lambda *a: torch.nn.functional.conv_transpose2d(*a, **case),  # noqa: B023
            *arrays,
            terms=300,
        )


def test_gradients(every_isa):
    for seed in range(100, 120):
        arrays, case = random_case(seed)
        check_gradients(lambda *a: F.conv_transpose2d(*a, **case), *arrays)  # noqa: B023


def test_transpose_of_conv2d(every_isa):
    """<conv2d(x), y> = <x, conv_transpose2d(y)>, exactly, in both memory orders."""
    random = rng(3)
    for channels in (4, 32):
        w = random.integers(-3, 4, (channels, 3, 3, 3)).astype(np.float32)
        x = random.integers(-3, 4, (2, 3, 9, 12)).astype(np.float32)
        y = random.integers(-3, 4, (2, channels, 5, 6)).astype(np.float32)
        case = {"stride": 2, "padding": 1}
        forward = F.conv2d(cnn.from_numpy(x), cnn.from_numpy(w), **case)._a
        for order in (np.ascontiguousarray, channels_last):
            back = F.conv_transpose2d(cnn.from_numpy(order(y)), cnn.from_numpy(w), output_padding=(0, 1), **case)._a
            assert float((forward * y).sum()) == float((x * back).sum())


@needs_torch
def test_module_is_torchs():
    for arguments, named in [
        ((6, 3, 5), {}),
        ((8, 4, (3, 4)), {"stride": 2, "padding": (1, 2), "output_padding": 1, "groups": 2, "bias": False}),
        ((8, 4, 3), {"dilation": 2}),
    ]:
        cnn.manual_seed(7)
        torch.manual_seed(7)
        ours, theirs = nn.ConvTranspose2d(*arguments, **named), torch.nn.ConvTranspose2d(*arguments, **named)
        assert repr(ours) == repr(theirs)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert np.array_equal(a._a, b.detach().numpy())
        x = rng(12).standard_normal((2, arguments[0], 6, 7)).astype(np.float32)
        np.testing.assert_allclose(
            ours(cnn.from_numpy(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5
        )


@needs_torch
def test_output_size():
    ours, theirs = nn.ConvTranspose2d(2, 3, 3, stride=2), torch.nn.ConvTranspose2d(2, 3, 3, stride=2)
    for size in ([9, 10], [1, 3, 10, 9]):
        assert ours(cnn.ones(1, 2, 4, 4), size).shape == tuple(theirs(torch.ones(1, 2, 4, 4), size).shape)
    with pytest.raises(ValueError, match=r"requested an output size of \[12, 9\], but valid sizes range from \[9, 9\]"):
        ours(cnn.ones(1, 2, 4, 4), [12, 9])


MISTAKES = [
    ({"x": (1, 3, 4, 4)}, "expected input (N, C, H, W) and weight (C, OC/groups, KH, KW), got input (1, 3, 4, 4)"),
    ({"output_padding": 1}, "output_padding must be smaller than stride or dilation"),
    ({"padding": 9}, "too small"),
    ({"stride": 0}, "stride and dilation must be at least 1 and padding at least 0, got stride 0"),
    ({"padding": -1}, "padding at least 0, got stride 1, dilation 1, padding -1"),
    ({"groups": 3}, "must be divisible by it at dimension 0"),
    ({"b": (3,)}, "expected bias of 2 elements"),
    ({"stride": 2**62, "x": (1, 4, 9, 9)}, "the output is too large"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes(change, message):
    change = dict(change)
    shapes = {"x": (1, 4, 4, 4), "w": (4, 2, 3, 3), "b": (2,)}
    x, w, b = (cnn.ones(*change.pop(name, shape)) for name, shape in shapes.items())
    with pytest.raises((ValueError, TypeError)) as error:
        F.conv_transpose2d(x, w, b, **change)
    assert message in str(error.value)
