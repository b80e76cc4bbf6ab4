"""l1_loss against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import check_against_torch, check_exact, needs_torch, rng, torch
from pair_losses import any_memory, any_threads, beside_torch, both_gradients, losses_and_slopes, pair

import cnn
from cnn.nn.l1_loss import L1Loss, l1_loss

nan, inf = math.nan, math.inf


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (0, 3), (33, 1001)])
def test_exact(every_isa, shape):
    """Integers: nothing is rounded. Losses, their sum, and the gradients."""
    x, t, dy = (np.asarray(rng(i).integers(-9, 10, shape)) for i in range(3))

    def run(x, t, dy):
        a, b = cnn.from_numpy(x).requires_grad_(True), cnn.from_numpy(t).requires_grad_(True)
        loss = l1_loss(a, b, reduction="none")
        loss.backward(cnn.from_numpy(dy))
        return [loss, a.grad, b.grad, l1_loss(a, b, reduction="sum")]

    loss, slope = np.asarray(np.abs(x - t)), np.sign(x - t)
    check_exact(run, [loss, slope * dy, -slope * dy, np.asarray(loss.sum())], x, t, dy)


def test_gradients(every_isa):
    both_gradients(l1_loss, pair, range(4))


@needs_torch
def test_torch():
    beside_torch(l1_loss, torch.nn.functional.l1_loss, pair, range(12))


def test_memory(every_isa):
    any_memory(l1_loss, pair)


def test_threads(every_isa):
    any_threads(l1_loss, pair)


@needs_torch
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((4, 5), (1, 5)), ((2, 3, 4), (4,))])
def test_broadcasting_as_torch_does(shapes):
    x, t = (rng(i).standard_normal(shape) for i, shape in enumerate(shapes))
    check_against_torch(l1_loss, torch.nn.functional.l1_loss, x, t, terms=24)


def test_broadcasting_warns():
    with pytest.warns(UserWarning, match=r"target size \(torch.Size\(\[3\]\)\) that is different to the input size"):
        l1_loss(cnn.zeros(3, 1), cnn.zeros(3))
    with pytest.raises((RuntimeError, ValueError)), pytest.warns(UserWarning):
        l1_loss(cnn.zeros(3, 4), cnn.zeros(3, 3))


def test_types():
    x, t = cnn.ones(3), cnn.zeros(3)
    assert l1_loss(x, t.double()).dtype is l1_loss(x.double(), t).dtype is cnn.float64
    assert l1_loss(x, t.long()).dtype is l1_loss(x.long(), t).dtype is cnn.float32
    with pytest.raises(TypeError, match="l1_loss: input must be float32 or float64, got int64"):
        l1_loss(x.long(), t.long())
    with pytest.raises(TypeError, match=r"'target' \(position 2\) must be Tensor, not int"):
        l1_loss(x, 1)
    with pytest.raises(ValueError, match="average is not a valid value for reduction"):
        l1_loss(x, t, reduction="average")


def test_legacy_arguments():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert L1Loss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert l1_loss(cnn.full((2,), 0.5), cnn.full((2,), 0.5), reduce=False).shape == (2,)


def test_nan_and_infinity(every_isa):
    loss, slope = losses_and_slopes(l1_loss, [nan, inf, -inf, inf, 0.0, -1e-45], [0.0, 0.0, 0.0, inf, -0.0, 0.0])
    np.testing.assert_equal(loss, np.array([nan, inf, inf, nan, 0, 1e-45], np.float32))
    np.testing.assert_equal(slope, np.array([0, 1, -1, 0, 0, -1], np.float32))  # torch has 0 for NaN as well


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weight(reduction):
    x, t, w = (rng(i).uniform(0.1, 1, (3, 4)) for i in range(3))
    check_against_torch(
        lambda x, t, w: l1_loss(x, t, reduction=reduction, weight=w),
        lambda x, t, w: torch.nn.functional.l1_loss(x, t, reduction=reduction, weight=w),
        x,
        t,
        w,
    )


def test_layer():
    x, t = cnn.tensor([1.0, 2.0]), cnn.tensor([0.0, 5.0])
    assert L1Loss()(x, t).item() == 2 and L1Loss(reduction="sum")(x, t).item() == 4
    assert repr(L1Loss()) == "L1Loss()"
