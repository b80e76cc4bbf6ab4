"""huber_loss against NumPy and torch."""

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
    losses_and_slopes,
    pair,
    types_and_options,
    weight_beside_torch,
)

import cnn
from cnn.nn.huber_loss import HuberLoss, huber_loss

nan, inf = math.nan, math.inf


def test_exact(every_isa):
    """Losses are multiples of 1/2."""
    exact_integers(huber_loss, lambda d: (np.where(np.abs(d) < 1, 0, 2 * np.abs(d) - 1), np.sign(d)), times=2)


def test_gradients(every_isa):
    both_gradients(huber_loss, pair, range(4))


@needs_torch
def test_torch():
    beside_torch(huber_loss, torch.nn.functional.huber_loss, pair, range(12))


def test_memory(every_isa):
    any_memory(huber_loss, pair)


def test_threads(every_isa):
    any_threads(huber_loss, pair)


def test_broadcasting():
    broadcasting(huber_loss)


def test_types_and_options():
    types_and_options(huber_loss)


@needs_torch
@pytest.mark.parametrize("delta", [0.5, 1.0, 2])
def test_delta(delta):
    f, g = huber_loss, torch.nn.functional.huber_loss
    x, t = pair(5, (6, 7))
    check_against_torch(lambda x, t: f(x, t, delta=delta), lambda x, t: g(x, t, delta=delta), x, t, terms=42)


@needs_torch
def test_weight():
    weight_beside_torch(huber_loss, torch.nn.functional.huber_loss)


def test_nan_and_infinity(every_isa):
    loss, slope = losses_and_slopes(huber_loss, [nan, inf, -inf, inf, 1.0, -1.0], [0.0, 0.0, 0.0, inf, 0.0, 0.0])
    np.testing.assert_equal(loss, np.array([nan, inf, inf, nan, 0.5, 0.5], np.float32))
    np.testing.assert_equal(slope, np.array([nan, 1, -1, nan, 1, -1], np.float32))


def test_layer():
    x, t = cnn.tensor([0.5, 2.0]), cnn.tensor([0.0, 5.0])
    assert HuberLoss(delta=2.0)(x, t).item() == (0.125 + 4) / 2
    assert HuberLoss("sum")(x, t).item() == 0.125 + 2.5
    assert repr(HuberLoss()) == "HuberLoss()"
    with pytest.raises(RuntimeError, match="huber_loss does not support non-positive values for delta"):
        huber_loss(x, t, delta=0)
