"""add, sub, mul and their in-place forms against NumPy and torch."""

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
from cnn import _cnn

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4, 5), (0, 3), (70001,)]
OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def pair(shape, seed):
    return tuple(np.asarray(rng(seed + i).integers(-9, 10, shape)) for i in range(2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_exact(every_isa, name, shape):
    a, b = pair(shape, 1)
    check_exact(getattr(_cnn, name), np.asarray(OPERATIONS[name](a, b)), a, b)
    check_exact(lambda a, b: getattr(_cnn, name + "_")(a.copy(), b), np.asarray(OPERATIONS[name](a, b)), a, b)


@pytest.mark.parametrize("shape", SHAPES)
def test_alpha_and_numbers_exact(every_isa, shape):
    a, b = pair(shape, 2)
    check_exact(lambda a, b: _cnn.add(a, b, -3), np.asarray(a - 3 * b), a, b)
    check_exact(lambda a, b: _cnn.add_(a.copy(), b, 2.0), np.asarray(a + 2 * b), a, b)
    check_exact(lambda a: _cnn.mul(a, 5), np.asarray(5 * a), a)
    check_exact(lambda a: _cnn.mul_(a.copy(), -2.0), np.asarray(-2 * a), a)


@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_the_kernel_cannot_take_is_numpys(name):
    numpy, ours = OPERATIONS[name], getattr(_cnn, name)
    x = rng(3).standard_normal((4, 5)).astype(np.float32)
    for a, b in [
        (x, x[:1]),  # broadcasting
        (x, x.astype(np.float64)),  # two types
        (np.arange(6), np.arange(6)),  # integers
        (x, x.T.copy().T),  # two memory orders
        (x[:, ::2], x[:, 1::2][:, [0, 1, 1]]),
        (x, 2.5),
        (x.astype(np.float16), 3),
        (np.float32(2), np.asarray(3.0)),
    ]:
        got, want = ours(a, b), numpy(a, b)
        assert isinstance(got, np.ndarray)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_memory_order_of_the_first_is_kept(every_isa):
    a, b = rng(4).standard_normal((2, 2, 3, 4, 5)).astype(np.float32)
    for other in (b, channels_last(b)):
        got = _cnn.add(channels_last(a), other)
        assert got.strides == channels_last(a).strides
        np.testing.assert_array_equal(got, a + b)
        np.testing.assert_array_equal(_cnn.mul(a, other), a * b)
    into = channels_last(a)
    assert _cnn.add_(into, b) is into
    np.testing.assert_array_equal(into, a + b)


def test_memory_variants(every_isa):
    a, b = rng(5).standard_normal((2, 2, 3, 4, 5))
    for function in (_cnn.add, _cnn.sub, _cnn.mul):
        check_memory_variants(function, a, b, index=0)
        check_memory_variants(function, a, b, index=1)
    check_memory_variants(lambda a, b: _cnn.add_(a.copy(), b, 0.5), a, b, index=1)


def test_in_place_into_any_strides():
    for view in (lambda x: x[:, ::2], lambda x: x[::-1], lambda x: x.T, lambda x: x[1:, 1:]):
        base = rng(6).standard_normal((6, 6))
        want = base.copy()
        other = np.full(view(base).shape, 0.5)
        view(want)[...] += other
        target = view(base)
        assert _cnn.add_(target, other) is target
        np.testing.assert_array_equal(base, want)


def test_in_place_with_shifted_overlap():
    x = np.arange(50000.0)
    want = x.copy()
    want[1:] += want[:-1].copy()
    _cnn.add_(x[1:], x[:-1])
    np.testing.assert_array_equal(x, want)
    y = np.arange(5.0)
    np.testing.assert_array_equal(_cnn.add_(y, y), 2 * np.arange(5.0))


def test_threads():
    a, b = rng(7).standard_normal((2, 300001)).astype(np.float32)
    check_threads(lambda: [_cnn.add(a, b, 0.1), _cnn.sub(a, b), _cnn.mul(a, b), _cnn.mul(a, 0.3)])


def test_nan_and_infinity(every_isa):
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 1.0], np.float32)
    a, b = (np.ascontiguousarray(v) for v in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        for name, numpy in OPERATIONS.items():
            got, want = getattr(_cnn, name)(a, b), numpy(a, b)
            np.testing.assert_array_equal(got, want)
            finite = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got)[finite], np.signbit(want)[finite])


@pytest.mark.parametrize("shape", SHAPES[:-2])
def test_gradients(shape):
    a, b = rng(8).standard_normal((2, *shape))
    check_gradients(lambda a, b: cnn.add(a, b, alpha=0.3) * b - a, np.asarray(a), np.asarray(b))


@needs_torch
@pytest.mark.parametrize("shape", SHAPES)
def test_torch(shape):
    a, b = rng(9).standard_normal((2, *shape))
    arrays = np.asarray(a), np.asarray(b)
    check_against_torch(lambda a, b: a * b + a, lambda a, b: a * b + a, *arrays)
    check_against_torch(lambda a, b: cnn.sub(a, b, alpha=2), lambda a, b: torch.sub(a, b, alpha=2), *arrays)
    check_against_torch(lambda a, b: (a * 2).add_(b, alpha=0.5), lambda a, b: (a * 2).add_(b, alpha=0.5), *arrays)


@needs_torch
def test_a_gradient_that_comes_twice():
    x = rng(10).standard_normal((3, 4))
    check_against_torch(lambda x: x * x + x * 3 + x, lambda x: x * x + x * 3 + x, x)


@pytest.mark.parametrize("alpha", [1, 2])
def test_parts_that_overlap(alpha):
    """The kernel would read what it has written; NumPy's copy must not lose alpha."""
    base = np.arange(8, dtype=np.float32)
    expected = base[:-1] + alpha * base[1:]
    x = cnn.from_numpy(base)
    x[:-1].add_(x[1:], alpha=alpha)
    assert base[:-1].tolist() == expected.tolist()


def test_errors():
    x = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match="sub: expected 2 arguments, got 1"):
        _cnn.sub(x)
    with pytest.raises(TypeError, match="add: alpha must be a number, got str"):
        _cnn.add(x, x, "2")
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _cnn.add_(frozen, x)
    with pytest.raises(ValueError, match="broadcast"):
        _cnn.add(x, np.zeros(4, np.float32))
