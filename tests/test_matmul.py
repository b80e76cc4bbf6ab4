"""_cnn.matmul, the product behind `@`, mm, bmm and matmul."""

import numpy as np
import pytest
from harness import check_exact, check_gradients, check_memory_variants, check_threads, needs_torch, rng, torch

import cnn
from cnn import _cnn
from cnn.errors import DTypeError, ShapeError


def orientations(array):
    """The same values with every order of the last two axes, strided, reversed and broadcast."""
    yield array
    yield np.swapaxes(np.ascontiguousarray(np.swapaxes(array, -1, -2)), -1, -2)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 3), array.dtype)
    wide[..., ::3] = array
    yield wide[..., ::3]
    yield np.ascontiguousarray(array[..., ::-1, ::-1])[..., ::-1, ::-1]


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(1, 1, 1), (3, 5, 2), (0, 4, 3), (4, 0, 3), (4, 3, 0), (17, 33, 65), (50, 7, 20), (70, 300, 41), (2, 600, 90)],
)
def test_exact(every_isa, m, k, n):
    random = rng(1)
    a, b = random.integers(-4, 5, (m, k)), random.integers(-4, 5, (k, n))
    for a_lies in orientations(a):
        for b_lies in orientations(b):
            check_exact(_cnn.matmul, a @ b, a_lies, b_lies)
    a, b = random.integers(-4, 5, (5, m, k)), random.integers(-4, 5, (5, k, n))
    for a_lies in orientations(a):
        for b_lies in orientations(b):
            check_exact(_cnn.matmul, a @ b, a_lies, b_lies)


@pytest.mark.parametrize(("m", "k", "n"), [(300, 500, 200), (20, 9000, 24), (200, 20, 4000), (2, 3000, 700)])
def test_large(every_isa, m, k, n):
    if every_isa == "plain":
        pytest.skip("the plain product has no paths of its own for large sizes")
    random = rng(2)
    a, b = random.integers(-4, 5, (m, k)), random.integers(-4, 5, (k, n))
    for a_lies in orientations(a):
        for b_lies in orientations(b):
            check_exact(_cnn.matmul, a @ b, a_lies, b_lies)


def test_batches(every_isa):
    """Many small products, few large ones, none, and one factor for the whole batch."""
    random = rng(3)
    for s, m, k, n in [(0, 3, 4, 5), (1, 3, 4, 5), (300, 8, 9, 10), (3, 150, 90, 130)]:
        a, b = random.integers(-4, 5, (s, m, k)), random.integers(-4, 5, (s, k, n))
        check_exact(_cnn.matmul, a @ b, a, b)
        shared = np.broadcast_to(random.integers(-4, 5, (k, n)), (s, k, n))
        check_exact(_cnn.matmul, a @ shared, a, shared)


def test_broadcast_views(every_isa):
    """Zero strides: a row, a column, a single number in place of a matrix."""
    random = rng(4)
    for m, k, n in [(6, 20, 7), (40, 300, 50)]:
        a = random.integers(-4, 5, (m, k)).astype(np.float32)
        row, column = random.integers(-4, 5, (1, n)), random.integers(-4, 5, (k, 1))
        for b in (row, column, [[3]]):
            view = np.broadcast_to(np.float32(b), (k, n))
            assert np.array_equal(_cnn.matmul(a, view), a @ np.array(view))
            assert np.array_equal(_cnn.matmul(view.T, a.T), (a @ np.array(view)).T)


def test_memory(every_isa):
    random = rng(5)
    a, b = random.standard_normal((6, 20)).astype(np.float32), random.standard_normal((20, 9)).astype(np.float32)
    # Values, not bits: another orientation of b may take another path, which adds in another order.
    for index in range(2):
        check_memory_variants(lambda *x: _cnn.matmul(*x).round(4), a, b, index=index)


@pytest.mark.parametrize("shape", [(4, 300, 64), (64, 5000, 48), (600, 256, 300)])
def test_threads(shape):
    m, k, n = shape
    random = rng(6)
    a, b = random.standard_normal((m, k)).astype(np.float32), random.standard_normal((k, n)).astype(np.float32)
    check_threads(lambda: [_cnn.matmul(a, b), _cnn.matmul(b.T, a.T)])
    many = random.standard_normal((100, 20, 30)).astype(np.float32)
    check_threads(lambda: [_cnn.matmul(many, many.swapaxes(1, 2))])


def test_gradients(every_isa):
    random = rng(7)
    shapes = [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 1, 3, 4), (2, 4, 5))]
    shapes += [((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((4,), (2, 4, 5))]
    for a, b in shapes:
        check_gradients(cnn.matmul, random.standard_normal(a), random.standard_normal(b))


@needs_torch
def test_float32_is_as_accurate_as_torch(every_isa):
    random = rng(8)
    a, b = (random.standard_normal(s).astype(np.float32) for s in ((60, 2000), (2000, 50)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    ours = np.abs(_cnn.matmul(a, b) - exact).max()
    theirs = np.abs((torch.from_numpy(a) @ torch.from_numpy(b)).numpy() - exact).max()
    # The plain product adds one term after the other.
    assert ours < (20 if every_isa == "plain" else 2) * theirs


def test_errors():
    a = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit: expected \("):
        _cnn.matmul(a, a)
    with pytest.raises(ShapeError, match=r"matmul: shapes \(1, 2, 3\) and \(2, 3, 2\) do not fit"):
        _cnn.matmul(a[None], np.ones((2, 3, 2), np.float32))
    with pytest.raises(ShapeError, match=r"matmul: first argument must have 2 or 3 dimensions, got shape \(3,\)"):
        _cnn.matmul(a[0], a)
    with pytest.raises(ShapeError, match=r"matmul: second argument must have 2 dimensions, got shape \(1, 2, 3\)"):
        _cnn.matmul(a, a[None])
    with pytest.raises(DTypeError, match="matmul: first argument is float32, but second argument is float64"):
        _cnn.matmul(a, a.astype(np.float64).T)
    with pytest.raises(DTypeError, match="matmul: first argument must be float32 or float64, got int64"):
        _cnn.matmul(a.astype(np.int64), a.T)
    with pytest.raises(TypeError, match="matmul: second argument must be an array, got list"):
        _cnn.matmul(a, [1.0])
    huge = np.broadcast_to(np.float32(1), (2, 2**40))
    with pytest.raises((ValueError, MemoryError)):
        _cnn.matmul(huge.T, huge)
