"""binary_cross_entropy against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import check_against_torch, needs_torch, rng, torch
from pair_losses import (
    any_memory,
    any_threads,
    beside_torch,
    both_gradients,
    legacy_arguments,
    losses_and_slopes,
    unit_pair,
)

import cnn
from cnn.nn.binary_cross_entropy import BCELoss, binary_cross_entropy

nan, inf = math.nan, math.inf


def test_values(every_isa):
    x, t = unit_pair(0, (5, 7))
    expected = -(t * np.log(x) + (1 - t) * np.log1p(-x))
    for kind, limit in ((np.float32, 2e-6), (np.float64, 1e-14)):
        loss = binary_cross_entropy(cnn.from_numpy(x.astype(kind)), cnn.from_numpy(t.astype(kind)), reduction="none")
        np.testing.assert_allclose(loss._a, expected, rtol=limit, atol=limit)


def test_gradients(every_isa):
    both_gradients(binary_cross_entropy, unit_pair, range(4))


@needs_torch
def test_torch():
    beside_torch(binary_cross_entropy, torch.nn.functional.binary_cross_entropy, unit_pair, range(12))


def test_memory(every_isa):
    any_memory(binary_cross_entropy, unit_pair)


def test_threads(every_isa):
    any_threads(binary_cross_entropy, unit_pair)


def test_legacy_arguments():
    legacy_arguments(BCELoss, binary_cross_entropy)


def test_certain_answers(every_isa):
    """Logarithms are cut off at -100 and the denominator of the gradient at 1e-12, as in torch."""
    loss, slope = losses_and_slopes(binary_cross_entropy, [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0])
    np.testing.assert_equal(loss, np.array([100, 100, 0, 0], np.float32))
    np.testing.assert_equal(slope, np.array([-1e12, 1e12, 0, 0], np.float32))


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weight(reduction):
    f, g = binary_cross_entropy, torch.nn.functional.binary_cross_entropy
    for shape in [(3, 4), (4,), (3, 1)]:
        w = rng(2).uniform(0.1, 1, shape)
        check_against_torch(
            lambda x, t, w=w: f(x, t, weight=cnn.from_numpy(w).to(x.dtype), reduction=reduction),
            lambda x, t, w=w: g(x, t, weight=torch.from_numpy(w).to(x.dtype), reduction=reduction),
            *unit_pair(1, (3, 4)),
            terms=12,
        )


def test_layer_and_errors():
    x, t = cnn.tensor([0.5, 0.25]), cnn.tensor([1.0, 0.0])
    assert BCELoss(reduction="sum")(x, t).item() == pytest.approx(-math.log(0.5) - math.log(0.75))
    assert list(BCELoss(weight=cnn.ones(2)).state_dict()) == ["weight"] and repr(BCELoss()) == "BCELoss()"
    with pytest.raises(RuntimeError, match=r"all elements of input should be between 0 and 1; 1 are not: pass"):
        binary_cross_entropy(cnn.tensor([0.5, 1.5]), t)
    with pytest.raises(RuntimeError, match=r"all elements of input should be between 0 and 1; 2 are not"):
        binary_cross_entropy(cnn.tensor([nan, -inf]), t)
    with pytest.raises(RuntimeError, match=r"all elements of target should be between 0 and 1; 1 are not$"):
        binary_cross_entropy(x, cnn.tensor([2.0, 1.0]))
    with pytest.raises(ValueError, match=r"Using a target size \(torch.Size\(\[2, 1\]\)\) that is different"):
        binary_cross_entropy(x, t.view(2, 1))
    with pytest.raises(TypeError, match=r"input is torch\.float32, target is torch\.int64"):
        binary_cross_entropy(x, t.long())
    with pytest.raises(TypeError, match="binary_cross_entropy: input must be float32 or float64, got int64"):
        binary_cross_entropy(x.long(), t.long())
