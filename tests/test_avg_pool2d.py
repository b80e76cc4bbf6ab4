"""avg_pool2d against a slow NumPy reference and torch."""

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
from cnn.nn.avg_pool2d import AvgPool2d, avg_pool2d
from cnn.tensor import Tensor

NAMES = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")


def random_case(seed):
    """A shape and arguments that fit it."""
    random = rng(seed)
    while True:
        kernel = tuple(int(k) for k in random.integers(1, 5, 2))
        stride = tuple(int(s) for s in random.integers(1, 4, 2))
        padding = tuple(int(random.integers(0, k // 2 + 1)) for k in kernel)
        divisor = [None, None, 3, -2][random.integers(4)]
        flags = [bool(f) for f in random.integers(0, 2, 2)]
        arguments = dict(zip(NAMES, (kernel, stride, padding, *flags, divisor), strict=True))
        shape = (
            *(int(n) for n in random.choice([1, 2, 3, 5, 17, 33], 2)),
            *(int(n) for n in random.integers(1, 20, 2)),
        )
        if all(n + 2 * p >= k for n, p, k in zip(shape[2:], padding, kernel, strict=True)):
            return shape, arguments


def windows(size, kernel, stride, padding, ceil_mode):
    """For one axis and every output: the inputs of its window, and how many elements it has with padding."""
    room = size + 2 * padding - kernel
    outputs = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (outputs - 1) * stride >= size + padding:
        outputs -= 1
    result = []
    for o in range(outputs):
        begin = o * stride - padding
        end = min(begin + kernel, size + padding)
        result.append((range(max(begin, 0), min(end, size)), end - begin))
    return result


def reference(x, dy, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """y and dx, window by window, before the division: sums, and a function that divides."""
    rows, columns = (windows(x.shape[2 + a], kernel_size[a], stride[a], padding[a], ceil_mode) for a in (0, 1))
    sums = np.zeros((*x.shape[:2], len(rows), len(columns)), np.int64)
    divisor = np.zeros(sums.shape[2:], np.int64)
    for i, j in np.ndindex(*divisor.shape):
        (h, h_size), (w, w_size) = rows[i], columns[j]
        sums[:, :, i, j] = x[:, :, h.start : h.stop, w.start : w.stop].sum((2, 3))
        divisor[i, j] = divisor_override or (h_size * w_size if count_include_pad else len(h) * len(w))
    dx = np.zeros_like(x)
    for i, j in np.ndindex(*divisor.shape):
        h, w = rows[i][0], columns[j][0]
        dx[:, :, h.start : h.stop, w.start : w.stop] += dy[:, :, i : i + 1, j : j + 1]
    return sums, divisor, dx


def run(x, dy, arguments):
    """y and dx of our layer."""
    t = Tensor._wrap(x).requires_grad_(True)
    y = avg_pool2d(t, **arguments)
    y.backward(Tensor._wrap(np.ascontiguousarray(dy[:, :, : y.shape[2], : y.shape[3]])))
    return [y, t.grad]


@pytest.mark.parametrize("seed", range(25))
def test_exact(every_isa, seed):
    shape, arguments = random_case(seed)
    random = rng(seed + 1000)
    x = random.integers(-4, 5, shape)
    sums, divisor, _ = reference(x, np.zeros((*shape[:2], 40, 40), np.int64), **arguments)
    multiple = int(np.lcm.reduce(np.abs(divisor.ravel())))  # makes every division exact
    dy = random.integers(-4, 5, sums.shape) * divisor
    _, _, dx = reference(x, dy // divisor, **arguments)
    expected = [sums * multiple // divisor, dx]
    check_exact(lambda x, dy: run(x, dy, arguments), expected, x * multiple, dy)
    check_exact(lambda x, dy: run(channels_last(x), dy, arguments), expected, x * multiple, dy)


@pytest.mark.parametrize("seed", range(12))
def test_gradients(every_isa, seed):
    shape, arguments = random_case(seed + 100)
    x = rng(seed).standard_normal(shape)
    check_gradients(lambda x: avg_pool2d(x, **arguments), x)
    check_gradients(lambda x: avg_pool2d(x.permute(0, 3, 1, 2), **arguments), x.transpose(0, 2, 3, 1).copy())


@pytest.mark.parametrize("seed", range(40))
def test_adjoint(seed):
    """<A x, y> = <x, A'y>, exactly, with sums instead of means."""
    shape, arguments = random_case(seed + 200)
    arguments["divisor_override"] = 1
    random = rng(seed)
    x, dy = random.integers(-9, 10, shape).astype(np.float64), random.integers(-9, 10, (*shape[:2], 24, 24)) * 1.0
    y, dx = run(x, dy, arguments)
    assert (y._a * dy[:, :, : y.shape[2], : y.shape[3]]).sum() == (x * dx._a).sum()


@needs_torch
@pytest.mark.parametrize("seed", range(60))
def test_torch(seed):
    shape, arguments = random_case(seed + 300)
    f = torch.nn.functional.avg_pool2d
    x = rng(seed).standard_normal(shape)
    check_against_torch(lambda x: avg_pool2d(x, **arguments), lambda x: f(x, **arguments), x, terms=16)


@needs_torch
def test_torch_defaults_and_unbatched():
    f = torch.nn.functional.avg_pool2d
    for shape, kernel in [
        ((2, 3, 8, 8), 2),
        ((3, 7, 9), 3),
        ((3, 7, 9), (2, 3)),
        ((2, 5, 9, 9), [2]),
        ((1, 2, 8, 8), 8),
    ]:
        x = rng(0).standard_normal(shape)
        check_against_torch(lambda x, k=kernel: avg_pool2d(x, k), lambda x, k=kernel: f(x, k), x, terms=9)
    x = rng(0).standard_normal((1, 2, 2, 2))  # ceil_mode lets a window larger than the input hang over
    check_against_torch(lambda x: avg_pool2d(x, 3, 2, 0, True), lambda x: f(x, 3, 2, 0, True), x)


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e-45, -0.0])
def test_nan_and_infinity_stay_in_their_window(every_isa, value, channels):
    x = np.zeros((1, channels, 2, 4), np.float32)
    x[0, :, 0, 1] = value
    for memory in (x, channels_last(x)):
        y = avg_pool2d(Tensor._wrap(memory), 2)._a
        assert np.array_equal(y[0, :, 0, 0], np.full(channels, np.float32(value) / 4), equal_nan=True)
        assert (y[0, :, 0, 1] == 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 19, 7, 9)])
def test_memory(every_isa, shape):
    x = rng(5).integers(-99, 99, shape).astype(np.float32)  # sums of these do not depend on their order
    dy = rng(6).integers(-99, 99, (*shape[:2], 4, 5)).astype(np.float32)
    arguments = {"kernel_size": 4, "stride": 2, "padding": 1}
    check_memory_variants(lambda x, dy: run(x, dy, arguments), x, dy)
    check_memory_variants(lambda x, dy: run(x, dy, arguments), x, dy, index=1)
    y, dx = run(channels_last(x), dy, arguments)
    assert y._a.transpose(0, 2, 3, 1).flags.c_contiguous and dx._a.transpose(0, 2, 3, 1).flags.c_contiguous


def test_threads(every_isa):
    for order in (np.ascontiguousarray, channels_last):
        x = order(rng(7).standard_normal((9, 40, 33, 31)).astype(np.float32))
        dy = rng(8).standard_normal((9, 40, 17, 16)).astype(np.float32)
        check_threads(lambda x=x, dy=dy: run(x, dy, {"kernel_size": 3, "stride": 2, "padding": 1}))


def test_empty_batch(every_isa):
    y, dx = run(np.zeros((0, 3, 8, 8), np.float32), np.zeros((0, 3, 4, 4), np.float32), {"kernel_size": 2})
    assert y.shape == (0, 3, 4, 4) and dx.shape == (0, 3, 8, 8)


def test_layer():
    x = cnn.from_numpy(rng(1).standard_normal((2, 3, 8, 9)))
    arguments = (3, 2, 1, True, False, 5)
    assert np.array_equal(AvgPool2d(*arguments)(x)._a, avg_pool2d(x, *arguments)._a)
    assert repr(AvgPool2d(3, divisor_override=2)) == "AvgPool2d(kernel_size=3, stride=3, padding=0)"


def test_huge_window_takes_no_time():
    x = cnn.ones(1, 1, 4, 4)
    assert avg_pool2d(x, 2**40, 2**40, 2**39, count_include_pad=False).tolist() == [[[[1.0]]]]


ERRORS = [
    ((2, 3, 4, 4), {"kernel_size": 5}, ValueError, "avg_pool2d: kernel_size 5 .* exceeds the input's height 4"),
    ((2, 3, 4, 4), {"kernel_size": 0}, ValueError, "avg_pool2d: kernel_size must be between 1 and"),
    ((2, 3, 4, 4), {"kernel_size": 2, "stride": 0}, ValueError, "avg_pool2d: stride must be between 1 and .*, got 0"),
    (
        (2, 3, 4, 4),
        {"kernel_size": 2, "padding": 2},
        RuntimeError,
        "pad should be at most half of kernel size, but got pad=2",
    ),
    ((2, 3, 4, 4), {"kernel_size": 2, "divisor_override": 0}, ValueError, "avg_pool2d: divisor_override must not be 0"),
    (
        (2, 3, 4, 4),
        {"kernel_size": 2, "divisor_override": 1.5},
        TypeError,
        "divisor_override must be an int, got",
    ),
    ((2, 3, 4, 4), {"kernel_size": 2**62}, ValueError, "kernel_size must be between"),
    (
        (2, 3, 4, 4),
        {"kernel_size": (2, 2, 2)},
        RuntimeError,
        "must either be a single int, or a tuple of two ints",
    ),
    ((4, 4), {"kernel_size": 2}, RuntimeError, r"Expected 3D or 4D .* but got: \(4, 4\)"),
    ((2, 0, 4, 4), {"kernel_size": 2}, ValueError, r"Expected 3D or 4D .* but got: \(2, 0, 4, 4\)"),
]


@pytest.mark.parametrize("shape, arguments, error, message", ERRORS)
def test_errors(shape, arguments, error, message):
    with pytest.raises(error, match=message):
        avg_pool2d(cnn.zeros(shape), **arguments)


def test_integer_input_is_refused():
    with pytest.raises(TypeError, match="avg_pool2d: input must be float32 or float64, got int64"):
        avg_pool2d(cnn.zeros((2, 3, 4, 4), dtype=cnn.int64), 2)
