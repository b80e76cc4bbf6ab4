"""l1_loss against NumPy and torch."""

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
from cnn.nn.l1_loss import L1Loss, l1_loss

nan, inf = math.nan, math.inf


def test_exact(every_isa):
    exact_integers(l1_loss, lambda d: (np.abs(d), np.sign(d)))


def test_gradients(every_isa):
    both_gradients(l1_loss, pair, range(4))


@needs_torch
def test_torch():
    beside_torch(l1_loss, torch.nn.functional.l1_loss, pair, range(12))


def test_memory(every_isa):
    any_memory(l1_loss, pair)


def test_threads(every_isa):
    any_threads(l1_loss, pair)


def test_broadcasting():
    broadcasting(l1_loss)


def test_types_and_options():
    types_and_options(l1_loss)


def test_legacy_arguments():
    legacy_arguments(L1Loss, l1_loss)


def test_nan_and_infinity(every_isa):
    loss, slope = losses_and_slopes(l1_loss, [nan, inf, -inf, inf, 0.0, -1e-45], [0.0, 0.0, 0.0, inf, -0.0, 0.0])
    np.testing.assert_equal(loss, np.array([nan, inf, inf, nan, 0, 1e-45], np.float32))
    np.testing.assert_equal(slope, np.array([0, 1, -1, 0, 0, -1], np.float32))  # torch has 0 for NaN as well


@needs_torch
def test_weight():
    weight_beside_torch(l1_loss, torch.nn.functional.l1_loss)


def test_layer():
    x, t = cnn.tensor([1.0, 2.0]), cnn.tensor([0.0, 5.0])
    assert L1Loss()(x, t).item() == 2 and L1Loss(reduction="sum")(x, t).item() == 4
    assert repr(L1Loss()) == "L1Loss()"
