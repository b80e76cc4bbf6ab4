"""adaptive_max_pool2d against a slow NumPy reference and torch."""

import math

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)
from test_adaptive_avg_pool2d import random_case, window

import cnn
from cnn.nn.adaptive_max_pool2d import AdaptiveMaxPool2d, adaptive_max_pool2d
from cnn.tensor import Tensor


def distinct(shape, seed):
    """Shuffled values no two of which are close: no ties, no kinks."""
    return rng(seed).permutation(math.prod(shape)).reshape(shape).astype(np.float64) / 4


def reference(x, dy, output_size):
    """y, argmax, dx: window by window."""
    (N, C, H, W), (OH, OW) = x.shape, output_size
    y, argmax, dx = np.zeros((N, C, OH, OW), x.dtype), np.zeros((N, C, OH, OW), np.int64), np.zeros_like(x)
    for i, j in np.ndindex(OH, OW):
        part = (slice(None), slice(None), window(i, H, OH), window(j, W, OW))
        positions = np.arange(H * W).reshape(H, W)[part[2:]].ravel()
        values = x[part].reshape(N, C, -1)
        best = values.argmax(2)  # the first of equals
        y[:, :, i, j] = np.take_along_axis(values, best[..., None], 2)[..., 0]
        argmax[:, :, i, j] = positions[best]
        for n, c in np.ndindex(N, C):
            dx[n, c].reshape(-1)[argmax[n, c, i, j]] += dy[n, c, i, j]
    return y, argmax, dx


def run(x, dy, output_size):
    t = Tensor._wrap(x).requires_grad_(True)
    y, indices = adaptive_max_pool2d(t, output_size, return_indices=True)
    y.backward(Tensor._wrap(dy))
    return [y, indices, t.grad]


@pytest.mark.parametrize("seed", range(20))
def test_exact(every_isa, seed):
    shape, output_size = random_case(seed)
    random = rng(seed + 1000)
    x, dy = random.integers(-4, 5, shape), random.integers(-4, 5, (*shape[:2], *output_size))
    expected = reference(x, dy, output_size)
    check_exact(lambda x, dy: run(x, dy, output_size), expected, x, dy)
    check_exact(lambda x, dy: run(channels_last(x), dy, output_size), expected, x, dy)


@pytest.mark.parametrize("seed", range(10))
def test_gradients(every_isa, seed):
    shape, output_size = random_case(seed + 100)
    check_gradients(lambda x: adaptive_max_pool2d(x, output_size), distinct(shape, seed))


@needs_torch
@pytest.mark.parametrize("seed", range(20))
def test_torch(seed):
    shape, size = random_case(seed + 300)
    f = torch.nn.functional.adaptive_max_pool2d
    check_against_torch(lambda x: adaptive_max_pool2d(x, size), lambda x: f(x, size), distinct(shape, seed))
    x = rng(seed).integers(0, 3, shape) * 1.0
    check_against_torch(lambda x: adaptive_max_pool2d(x, size, True), lambda x: f(x, size, True), x)


@pytest.mark.parametrize("channels", [1, 20])
def test_nan_and_infinity(every_isa, channels):
    cases = [
        ([math.nan, 1, math.nan, 3], math.nan, 2),  # the last NaN wins
        ([-math.inf] * 4, -math.inf, 0),
        ([1, math.inf, math.inf, 0], math.inf, 1),
    ]
    for values, value, position in cases:
        x = np.broadcast_to(np.array(values, np.float32).reshape(2, 2), (2, channels, 2, 2))
        for memory in (np.ascontiguousarray(x), channels_last(x)):
            y, indices, dx = run(memory, np.ones((2, channels, 1, 1), np.float32), 1)
            assert np.array_equal(y._a.ravel(), [np.float32(value)] * 2 * channels, equal_nan=True)
            assert (indices._a == position).all() and (dx._a.reshape(-1, 4) == np.eye(4)[position]).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 19, 7, 9)])
def test_memory(every_isa, shape):
    x, dy = (
        rng(5).standard_normal(shape).astype(np.float32),
        rng(6).standard_normal((*shape[:2], 2, 4)).astype(np.float32),
    )
    check_memory_variants(lambda x, dy: run(x, dy, (2, 4))[::2], x, dy)
    check_memory_variants(lambda x, dy: run(x, dy, (2, 4))[::2], x, dy, index=1)


def test_threads(every_isa):
    for order in (np.ascontiguousarray, channels_last):
        x = order(rng(7).standard_normal((9, 40, 33, 31)).astype(np.float32))
        dy = rng(8).standard_normal((9, 40, 5, 4)).astype(np.float32)
        check_threads(lambda x=x, dy=dy: run(x, dy, (5, 4)))


@needs_torch
@pytest.mark.parametrize("output_size", [1, (None, 2), (9, 10)])
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (3, 7, 8), (0, 3, 7, 8)])
def test_torch_arguments(shape, output_size):
    f = torch.nn.functional.adaptive_max_pool2d
    x = distinct(shape, 0)
    check_against_torch(lambda x: adaptive_max_pool2d(x, output_size), lambda x: f(x, output_size), x)


def test_no_windows():
    x = cnn.ones(2, 3, 4, 4, requires_grad=True)
    y = adaptive_max_pool2d(x, (0, 2))
    y.sum().backward()
    assert y.shape == (2, 3, 0, 2) and x.grad._a.any() == np.False_


def test_layer():
    x = cnn.from_numpy(distinct((2, 3, 8, 9), 1))
    y, indices = AdaptiveMaxPool2d((3, None), return_indices=True)(x)
    expected, positions = adaptive_max_pool2d(x, (3, 9), True)
    assert np.array_equal(y._a, expected._a) and np.array_equal(indices._a, positions._a)
    assert repr(AdaptiveMaxPool2d(2)) == "AdaptiveMaxPool2d(output_size=2)"


def test_errors():
    with pytest.raises(
        ValueError, match="adaptive_max_pool2d: elements of output_size must be greater than or equal to 0"
    ):
        adaptive_max_pool2d(cnn.zeros(1, 1, 2, 2), (1, -1))
    with pytest.raises(RuntimeError, match=r"Expected 3D or 4D .* but got: \(4, 4\)"):
        adaptive_max_pool2d(cnn.zeros(4, 4), 1)
    with pytest.raises(TypeError, match="adaptive_max_pool2d: input must be float32 or float64, got int64"):
        adaptive_max_pool2d(cnn.zeros((1, 1, 2, 2), dtype=cnn.int64), 1)
