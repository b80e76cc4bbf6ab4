"""adaptive_avg_pool2d against a slow NumPy reference and torch."""

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

import cnn
from cnn.nn.adaptive_avg_pool2d import AdaptiveAvgPool2d, adaptive_avg_pool2d
from cnn.tensor import Tensor


def random_case(seed):
    random = rng(seed)
    channels, size = random.choice([1, 2, 3, 5, 17, 33], 2), random.integers(1, 20, 2)
    output = random.choice([1, 1, 2, 3, 7, 25], 2)
    return tuple(int(n) for n in (*channels, *size)), tuple(int(n) for n in output)


def window(o, size, outputs):
    return slice(o * size // outputs, -(-(o + 1) * size // outputs))


def reference(x, dy, output_size):
    """The sums, how many terms each has, and dx where dy is divided already."""
    OH, OW = output_size
    sums, count, dx = np.zeros((*x.shape[:2], OH, OW), np.int64), np.zeros((OH, OW), np.int64), np.zeros_like(x)
    for i, j in np.ndindex(OH, OW):
        part = (slice(None), slice(None), window(i, x.shape[2], OH), window(j, x.shape[3], OW))
        sums[:, :, i, j] = x[part].sum((2, 3))
        count[i, j] = x[part][0, 0].size
        dx[part] += dy[:, :, i : i + 1, j : j + 1]
    return sums, count, dx


def run(x, dy, output_size):
    t = Tensor._wrap(x).requires_grad_(True)
    y = adaptive_avg_pool2d(t, output_size)
    y.backward(Tensor._wrap(dy))
    return [y, t.grad]


@pytest.mark.parametrize("seed", range(20))
def test_exact(every_isa, seed):
    shape, output_size = random_case(seed)
    random = rng(seed + 1000)
    x, dy = random.integers(-4, 5, shape), random.integers(-4, 5, (*shape[:2], *output_size))
    sums, count, dx = reference(x, dy, output_size)
    multiple = int(np.lcm.reduce(count.ravel()))  # makes every division exact
    expected = [sums * multiple // count, dx]
    check_exact(lambda x, dy: run(x, dy, output_size), expected, x * multiple, dy * count)
    check_exact(lambda x, dy: run(channels_last(x), dy, output_size), expected, x * multiple, dy * count)


@pytest.mark.parametrize("seed", range(10))
def test_gradients(every_isa, seed):
    shape, output_size = random_case(seed + 100)
    x = rng(seed).standard_normal(shape)
    check_gradients(lambda x: adaptive_avg_pool2d(x, output_size), x)
    check_gradients(lambda x: adaptive_avg_pool2d(x.permute(0, 3, 1, 2), output_size), x.transpose(0, 2, 3, 1).copy())


@needs_torch
@pytest.mark.parametrize("seed", range(30))
def test_torch(seed):
    shape, output_size = random_case(seed + 300)
    f = torch.nn.functional.adaptive_avg_pool2d
    x = rng(seed).standard_normal(shape)
    terms = shape[2] * shape[3]
    check_against_torch(lambda x: adaptive_avg_pool2d(x, output_size), lambda x: f(x, output_size), x, terms=terms)


@needs_torch
@pytest.mark.parametrize("output_size", [1, (1, 1), 3, (None, 2), (5, None), [2, 4], None, (9, 10)])
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (3, 7, 8), (0, 3, 7, 8)])
def test_torch_arguments(shape, output_size):
    theirs = (None, None) if output_size is None else output_size
    f = torch.nn.functional.adaptive_avg_pool2d
    x = rng(0).standard_normal(shape)
    check_against_torch(lambda x: adaptive_avg_pool2d(x, output_size), lambda x: f(x, theirs), x, terms=56)


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_stay_in_their_window(every_isa, value, channels):
    x = np.zeros((1, channels, 2, 4), np.float32)
    x[0, :, 0, 1] = value
    for memory in (x, channels_last(x)):
        y = adaptive_avg_pool2d(Tensor._wrap(memory), (1, 2))._a
        assert np.array_equal(y[0, :, 0, 0], np.full(channels, np.float32(value)), equal_nan=True)
        assert (y[0, :, 0, 1] == 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 19, 7, 9)])
def test_memory(every_isa, shape):
    x = rng(5).integers(-99, 99, shape).astype(np.float32)  # sums of these do not depend on their order
    dy = rng(6).integers(-9, 9, (*shape[:2], 2, 1)).astype(np.float32) * 36
    check_memory_variants(lambda x, dy: run(x, dy, (2, 1)), x, dy)
    check_memory_variants(lambda x, dy: run(x, dy, (2, 1)), x, dy, index=1)
    y, dx = run(channels_last(x), dy, (2, 1))
    assert y._a.transpose(0, 2, 3, 1).flags.c_contiguous and dx._a.transpose(0, 2, 3, 1).flags.c_contiguous


def test_threads(every_isa):
    for order in (np.ascontiguousarray, channels_last):
        x = order(rng(7).standard_normal((9, 40, 33, 31)).astype(np.float32))
        dy = rng(8).standard_normal((9, 40, 5, 4)).astype(np.float32)
        check_threads(lambda x=x, dy=dy: run(x, dy, (5, 4)))


def test_no_windows():
    x = cnn.ones(2, 3, 4, 4, requires_grad=True)
    y = adaptive_avg_pool2d(x, (0, 2))
    y.sum().backward()
    assert y.shape == (2, 3, 0, 2) and x.grad._a.any() == np.False_


def test_layer():
    x = cnn.from_numpy(rng(1).standard_normal((2, 3, 8, 9)))
    assert np.array_equal(AdaptiveAvgPool2d((3, None))(x)._a, adaptive_avg_pool2d(x, (3, 9))._a)
    assert repr(AdaptiveAvgPool2d((None, 3))) == "AdaptiveAvgPool2d(output_size=(None, 3))"
    assert repr(AdaptiveAvgPool2d(1)) == "AdaptiveAvgPool2d(output_size=1)"


ERRORS = [
    ((2, 3, 4, 4), -1, ValueError, "adaptive_avg_pool2d: elements of output_size must be greater than or equal to 0"),
    ((2, 3, 4, 4), (2, 2, 2), RuntimeError, "output_size must either be a single int, or a tuple of two ints"),
    ((2, 3, 4, 4), 1.5, TypeError, "output_size must be an int or a tuple of two ints, got 1.5"),
    ((2, 3, 4, 4), 2**62, ValueError, "too big|[Mm]aximum"),
    ((4, 4), 1, RuntimeError, r"Expected 3D or 4D .* but got: \(4, 4\)"),
    ((4,), 1, RuntimeError, r"Expected 3D or 4D .* but got: \(4,\)"),
    ((2, 3, 0, 4), 1, ValueError, r"Expected 3D or 4D .* but got: \(2, 3, 0, 4\)"),
]


@pytest.mark.parametrize("shape, output_size, error, message", ERRORS)
def test_errors(shape, output_size, error, message):
    with pytest.raises(error, match=message):
        adaptive_avg_pool2d(cnn.zeros(shape), output_size)
