"""copy_order, cat and split: the same values at other places, bit for bit."""

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
from cnn import _cnn
from cnn.errors import ShapeError

SHAPES = [(2, 3, 4, 5), (1, 16, 16, 16), (3, 17, 5, 31), (2, 1, 4, 4), (2, 8, 1, 1), (0, 3, 4, 4), (4, 64, 33, 20)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_copy_order(every_isa, shape, kind):
    x = rng(1).standard_normal(shape).astype(kind)
    turned = _cnn.copy_order(x, True)
    np.testing.assert_array_equal(turned, x)
    assert turned.strides == channels_last(x).strides or x.size == 0 or 1 in (shape[1], shape[2] * shape[3])
    back = _cnn.copy_order(channels_last(x), False)
    np.testing.assert_array_equal(back, x)
    assert back.flags.c_contiguous


def test_copy_order_copies_only_where_it_must():
    x = np.zeros((2, 3, 4, 5), np.float32)
    assert _cnn.copy_order(x, False) is x
    turned = _cnn.copy_order(x, True)
    assert turned is not x
    assert _cnn.copy_order(turned, True) is turned
    flat = np.zeros((3, 4))
    assert _cnn.copy_order(flat, True) is flat  # only four dimensions have two orders


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_cat_and_split(every_isa, shape):
    for dim in range(-len(shape), len(shape)):
        parts = []
        for k, size in enumerate((2, 0, 5, 1)):
            dims = list(shape)
            dims[dim] = size
            parts.append(rng(k).standard_normal(dims).astype(np.float32))
        joined = _cnn.cat(parts, dim)
        np.testing.assert_array_equal(joined, np.concatenate(parts, dim))
        for got, want in zip(_cnn.split(joined, [2, 0, 5, 1], dim), parts, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dim", range(4))
def test_cat_keeps_the_memory_order_of_the_first(every_isa, dim):
    a, b = rng(2).standard_normal((2, 2, 3, 4, 5))
    want = np.concatenate([a, b], dim)
    for first, second in [(a, channels_last(b)), (channels_last(a), b), (channels_last(a), channels_last(b))]:
        joined = _cnn.cat([first, second], dim)
        np.testing.assert_array_equal(joined, want)
        assert joined.strides == (want if first is a else channels_last(want)).strides
        sizes = [first.shape[dim], second.shape[dim]]
        for got, part in zip(_cnn.split(joined, sizes, dim), (a, b), strict=True):
            np.testing.assert_array_equal(got, part)
            assert got.strides == first.strides


def test_cat_of_other_types_is_numpys():
    for parts in ([np.arange(3), np.arange(2)], [np.zeros(2, np.float32), np.zeros(3)], [np.zeros(2, bool)]):
        got, want = _cnn.cat(parts, 0), np.concatenate(parts)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_memory_variants(every_isa):
    a, b = rng(3).standard_normal((2, 2, 3, 4, 5)).astype(np.float32)
    for index in (0, 1):
        check_memory_variants(lambda a, b: _cnn.cat([a, b], 1), a, b, index=index)
    check_memory_variants(lambda a: _cnn.split(a, [1, 2], 1), a)
    check_memory_variants(lambda a: _cnn.copy_order(a, True), a)


def test_threads():
    a, b = rng(4).standard_normal((2, 4, 32, 40, 40)).astype(np.float32)
    check_threads(lambda: [_cnn.cat([a, b], 1), _cnn.copy_order(a, True), *_cnn.split(a, [5, 27], 1)])


def test_gradients():
    a, b = rng(5).standard_normal((2, 2, 3, 4, 5))
    for dim in range(4):
        check_gradients(lambda a, b, dim=dim: cnn.cat([a, b, a], dim), a, b)


@needs_torch
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_torch(dim):
    a, b = rng(6).standard_normal((2, 2, 3, 4, 5))
    check_against_torch(lambda a, b: cnn.cat([a, b * b], dim), lambda a, b: torch.cat([a, b * b], dim), a, b)


def test_errors():
    x = np.zeros((2, 3), np.float32)
    cases = [
        (ValueError, r"cat: sizes must match except in dimension 0: expected \(2, 3\), got \(2, 4\) in position 1",
         lambda: _cnn.cat([x, np.zeros((2, 4), np.float32)], 0)),
        (ValueError, "cat: expected a non-empty list", lambda: _cnn.cat([], 0)),
        (TypeError, "cat: expected arrays, got int in position 1", lambda: _cnn.cat([x, 3], 0)),
        (ValueError, "cat: dim must be between -2 and 1, got 2", lambda: _cnn.cat([x, x], 2)),
        (ValueError, "cat: zero-dimensional", lambda: _cnn.cat([np.zeros((), np.float32)] * 2, 0)),
        (ValueError, "split: the sizes must add up to 3, got 2", lambda: _cnn.split(x, [1, 1], 1)),
        (ValueError, "split: size must be between 0 and 3, got 4", lambda: _cnn.split(x, [4], 1)),
        (TypeError, "split: input must be float32 or float64, got int64", lambda: _cnn.split(np.arange(3), [3], 0)),
        (TypeError, "copy_order: input must be an array, got list", lambda: _cnn.copy_order([1.0], True)),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


def test_cat_of_more_than_an_index_counts():
    endless = np.empty((2**60, 0), np.float32)
    with pytest.raises(ShapeError, match="the joined size is too large"):
        _cnn.cat([endless] * 8, 0)
