"""smooth_l1_loss against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import check_against_torch, needs_torch, torch
from pair_losses import (
    any_memory,
    any_threads,
    beside_torch,
    both_gradients,
    broadcasting,
    exact_integers,
    legacy_arguments,
    losses_and_slopes,
    pair,
    types_and_options,
)

import cnn
from cnn.nn.smooth_l1_loss import SmoothL1Loss, smooth_l1_loss

nan, inf = math.nan, math.inf


def test_exact(every_isa):
    """Losses are multiples of 1/2."""
    exact_integers(smooth_l1_loss, lambda d: (np.where(np.abs(d) < 1, 0, 2 * np.abs(d) - 1), np.sign(d)), times=2)


def test_gradients(every_isa):
    both_gradients(smooth_l1_loss, pair, range(4))


@needs_torch
def test_torch():
    beside_torch(smooth_l1_loss, torch.nn.functional.smooth_l1_loss, pair, range(12))


def test_memory(every_isa):
    any_memory(smooth_l1_loss, pair)


def test_threads(every_isa):
    any_threads(smooth_l1_loss, pair)


def test_broadcasting():
    broadcasting(smooth_l1_loss)


def test_types_and_options():
    types_and_options(smooth_l1_loss)


def test_legacy_arguments():
    legacy_arguments(SmoothL1Loss, smooth_l1_loss)


@needs_torch
@pytest.mark.parametrize("beta", [0, 0.5, 1.0, 2])
def test_beta(beta):
    f, g = smooth_l1_loss, torch.nn.functional.smooth_l1_loss
    x, t = pair(5, (6, 7))
    check_against_torch(lambda x, t: f(x, t, beta=beta), lambda x, t: g(x, t, beta=beta), x, t, terms=42)


def test_nan_and_infinity(every_isa):
    loss, slope = losses_and_slopes(smooth_l1_loss, [nan, inf, -inf, inf, 1.0, -1.0], [0.0, 0.0, 0.0, inf, 0.0, 0.0])
    np.testing.assert_equal(loss, np.array([nan, inf, inf, nan, 0.5, 0.5], np.float32))
    np.testing.assert_equal(slope, np.array([nan, 1, -1, nan, 1, -1], np.float32))


def test_layer():
    x, t = cnn.tensor([0.5, 2.0]), cnn.tensor([0.0, 5.0])
    assert SmoothL1Loss(beta=2.0)(x, t).item() == (0.0625 + 2) / 2
    assert SmoothL1Loss(reduction="sum")(x, t).item() == 0.125 + 2.5
    assert repr(SmoothL1Loss()) == "SmoothL1Loss()"
    with pytest.raises(RuntimeError, match="smooth_l1_loss does not support negative values for beta"):
        smooth_l1_loss(x, t, beta=-1)
