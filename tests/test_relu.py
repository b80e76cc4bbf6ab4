"""relu against NumPy and torch."""

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    memory_variants,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn.nn.relu import relu

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4, 5), (1, 16, 8, 8), (0, 3), (70001,)]


@pytest.mark.parametrize("shape", SHAPES)
def test_exact(every_isa, shape):
    x = rng(1).integers(-5, 6, shape)
    check_exact(lambda x: relu(cnn.from_numpy(x)), np.asarray(np.maximum(x, 0)), x)


@pytest.mark.parametrize("shape", SHAPES[:-2])
def test_gradients(every_isa, shape):
    x = rng(2).standard_normal(shape)
    x = np.asarray(np.where(np.abs(x) < 0.1, 0.5, x))  # off the kink
    check_gradients(relu, x)
    check_gradients(lambda x: relu(x * 2, inplace=True), x)


@needs_torch
@pytest.mark.parametrize("shape", SHAPES)
def test_torch(shape):
    check_against_torch(relu, torch.relu, np.asarray(rng(3).standard_normal(shape)))


def test_nan_and_signed_zero(every_isa):
    x = cnn.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1e-45], requires_grad=True)
    y = relu(x)
    y.backward(cnn.ones(6))
    assert np.isnan(y.tolist()[0]) and y.tolist()[1:3] == [float("inf"), 0.0]
    assert x.grad.tolist() == [1, 1, 0, 0, 0, 1]  # the gradient passes at NaN and stops at 0, as in torch


def test_memory(every_isa):
    x = rng(4).standard_normal((2, 3, 4, 5)).astype(np.float32)
    check_memory_variants(lambda x: relu(cnn.from_numpy(x)), x)
    assert relu(cnn.from_numpy(channels_last(x)))._a.strides == channels_last(x).strides


def test_inplace_changes_the_input():
    x = cnn.tensor([-1.0, 2.0])
    assert relu(x, inplace=True) is x and x.tolist() == [0, 2]


@pytest.mark.parametrize("name", ["every other column, channels last", "every other image, channels last", "strided"])
def test_inplace_in_memory_with_gaps(name):
    x = rng(5).standard_normal((4, 3, 4, 6)).astype(np.float32)
    part = dict(memory_variants(x))[name]
    whole = part.base if part.base.base is None else part.base.base
    between = np.setdiff1d(np.arange(whole.size), np.flatnonzero(np.isin(whole, x)))
    whole.reshape(-1)[between] = -1
    relu(cnn.from_numpy(part), inplace=True)
    assert np.array_equal(part, np.maximum(x, 0)) and (whole.reshape(-1)[between] == -1).all()


def test_errors():
    with pytest.raises(TypeError, match="relu: input must be an array, got list"):
        cnn._cnn.relu_forward([1.0])
    with pytest.raises(TypeError, match="relu: input must be float32 or float64, got int64"):
        cnn._cnn.relu_forward(np.arange(3))
