"""mse_loss against NumPy and torch."""

import math

import numpy as np
from harness import needs_torch, torch
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
    weight_beside_torch,
)

import cnn
from cnn.nn.mse_loss import MSELoss, mse_loss

nan, inf = math.nan, math.inf


def test_exact(every_isa):
    exact_integers(mse_loss, lambda d: (d**2, 2 * d))


def test_gradients(every_isa):
    both_gradients(mse_loss, pair, range(4))


@needs_torch
def test_torch():
    beside_torch(mse_loss, torch.nn.functional.mse_loss, pair, range(12))


def test_memory(every_isa):
    any_memory(mse_loss, pair)


def test_threads(every_isa):
    any_threads(mse_loss, pair)


def test_broadcasting():
    broadcasting(mse_loss)


def test_types_and_options():
    types_and_options(mse_loss)


def test_legacy_arguments():
    legacy_arguments(MSELoss, mse_loss)


def test_nan_and_infinity(every_isa):
    loss, slope = losses_and_slopes(mse_loss, [nan, inf, -inf, inf, 0.0, 1e30], [0.0, 0.0, 0.0, inf, -0.0, 0.0])
    np.testing.assert_equal(loss, np.array([nan, inf, inf, nan, 0, inf], np.float32))
    np.testing.assert_equal(slope, np.array([nan, inf, -inf, nan, 0, 2e30], np.float32))
    assert math.isnan(mse_loss(cnn.zeros(0), cnn.zeros(0)).item())


@needs_torch
def test_weight():
    weight_beside_torch(mse_loss, torch.nn.functional.mse_loss)


def test_layer():
    x, t = cnn.tensor([1.0, 2.0]), cnn.tensor([0.0, 5.0])
    assert MSELoss()(x, t).item() == 5 and MSELoss(reduction="sum")(x, t).item() == 10
    assert repr(MSELoss()) == "MSELoss()"
    assert "MseLossBackward0" in str(mse_loss(x.requires_grad_(), t))
