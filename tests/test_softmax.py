"""softmax and log_softmax against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import nn
from cnn.nn.log_softmax import LogSoftmax, log_softmax
from cnn.nn.softmax import Softmax, softmax
from cnn.tensor import Tensor

CASES = [  # shape, dim
    ((5,), 0),
    ((1, 1), 1),
    ((4, 10), 1),
    ((4, 10), 0),
    ((4, 10), -1),
    ((3, 7, 2), 1),
    ((2, 17, 3, 5), 1),
    ((2, 17, 3, 5), 2),
    ((2, 17, 3, 5), -1),
    ((2, 17, 3, 5), 0),
    ((1, 3, 20, 30), 1),  # more columns than one block has
    ((7, 1000), 1),
]
FUNCTIONS = [softmax, log_softmax]
both = pytest.mark.parametrize("function", FUNCTIONS, ids=["softmax", "log_softmax"])


def reference(function, x, dim):
    x = x.astype(np.float64)
    e = np.exp(x - x.max(dim, keepdims=True))
    y = e / e.sum(dim, keepdims=True)
    return y if function is softmax else np.log(y)


@both
@pytest.mark.parametrize("shape, dim", CASES)
def test_values(every_isa, function, shape, dim):
    x = rng(0).standard_normal(shape)
    for kind, limit in ((np.float32, 1e-6), (np.float64, 1e-14)):
        y = function(cnn.from_numpy(x.astype(kind)), dim)
        assert y._a.dtype == kind
        np.testing.assert_allclose(y._a, reference(function, x, dim), rtol=limit * 5, atol=limit)
        if function is softmax:
            np.testing.assert_allclose(y._a.sum(dim), 1, rtol=limit)


@both
@pytest.mark.parametrize("shape, dim", CASES)
def test_gradients(every_isa, function, shape, dim):
    check_gradients(lambda x: function(x, dim), rng(1).standard_normal(shape))
    if len(shape) == 4:
        x = np.ascontiguousarray(rng(1).standard_normal(shape).transpose(0, 2, 3, 1))
        check_gradients(lambda x: function(x.permute(0, 3, 1, 2), dim), x)


@needs_torch
@both
@pytest.mark.parametrize("seed", range(30))
def test_torch(function, seed):
    random = rng(seed)
    shape = tuple(int(n) for n in random.choice([1, 2, 3, 10, 33, 70], int(random.integers(1, 5))))
    dim = int(random.integers(-len(shape), len(shape)))
    g = getattr(torch, function.__name__)
    check_against_torch(
        lambda x: function(x, dim), lambda x: g(x, dim), random.standard_normal(shape) * 4, terms=shape[dim]
    )


@needs_torch
@both
def test_torch_special_shapes(function):
    g = getattr(torch, function.__name__)
    for x, dim in [(np.array(3.0), 0), (np.zeros((0, 3)), 0), (np.zeros((0, 3)), 1), (np.zeros((3, 0)), 1)]:
        check_against_torch(lambda x, d=dim: function(x, d), lambda x, d=dim: g(x, d), x)


@both
@pytest.mark.parametrize("columns", [1, 20])
def test_nan_and_infinity(every_isa, function, columns):
    nan, inf = math.nan, math.inf
    table = [  # logits, softmax, log_softmax
        ([1e30, 1.0], [1, 0], [0, -1e30]),
        ([-1e30, -1e30], [0.5, 0.5], [-math.log(2)] * 2),
        ([-inf, 0.0], [0, 1], [-inf, 0]),
        ([-inf, -inf], [nan, nan], [nan, nan]),
        ([inf, 1.0], [nan, nan], [nan, nan]),
        ([nan, 1.0], [nan, nan], [nan, nan]),
        ([-0.0, 1e-45], [0.5, 0.5], [-math.log(2)] * 2),
    ]
    for logits, as_softmax, as_log in table:
        x = np.repeat(
            np.array(logits, np.float32)[:, None], columns, 1
        )  # along dim 0: columns > 1 uses the column loop
        y = function(cnn.from_numpy(x), 0)._a
        want = as_softmax if function is softmax else as_log
        np.testing.assert_allclose(y, np.repeat(np.array(want, np.float32)[:, None], columns, 1), rtol=1e-6)


@both
def test_memory(every_isa, function):
    x = rng(2).standard_normal((2, 17, 4, 5)).astype(np.float32)
    dy = rng(3).standard_normal(x.shape).astype(np.float32)

    def run(x, dy):
        t = Tensor._wrap(x).requires_grad_(True)
        y = function(t, 2)
        y.backward(Tensor._wrap(dy))
        return [y, t.grad]

    check_memory_variants(run, x, dy)
    check_memory_variants(run, x, dy, index=1)
    assert run(channels_last(x), dy)[0]._a.strides == channels_last(x).strides


@both
def test_threads(every_isa, function):
    x, dy = (rng(seed).standard_normal((40, 300, 7)).astype(np.float32) for seed in (4, 5))

    def run(shape, dim):
        t = cnn.from_numpy(x.reshape(shape)).requires_grad_(True)
        y = function(t, dim)
        y.backward(cnn.from_numpy(dy.reshape(shape)))
        return [y, t.grad]

    check_threads(lambda: run((40, 300, 7), 1))
    check_threads(lambda: run((2100, 40), 1))


def test_layers():
    x = cnn.from_numpy(rng(6).standard_normal((2, 3, 4, 5)))
    assert np.array_equal(Softmax(1)(x)._a, softmax(x, 1)._a)
    assert np.array_equal(LogSoftmax(dim=-1)(x)._a, log_softmax(x, 3)._a)
    assert np.array_equal(nn.Softmax2d()(x)._a, softmax(x, 1)._a)
    assert repr(Softmax(dim=1)) == "Softmax(dim=1)" and repr(LogSoftmax(1)) == "LogSoftmax(dim=1)"
    assert softmax(x, 1, dtype=cnn.float32).dtype is cnn.float32


def test_errors():
    x = cnn.zeros(2, 3)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        softmax(x, 2)
    with pytest.raises(TypeError, match="log_softmax: input must be float32 or float64, got int64"):
        log_softmax(cnn.zeros((2, 3), dtype=cnn.int64), 1)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        assert np.array_equal(softmax(x)._a, softmax(x, 1)._a)
    with pytest.raises(ValueError, match="expected input to be 3D or 4D, got 2D"):
        nn.Softmax2d()(x)
