"""gather, scatter and what else reads or writes at places along a dimension. Values are worked out by hand."""

import numpy as np
import pytest
from harness import COUNTS, needs_torch, torch

import cnn

T = cnn.tensor


def test_scatter_reduces():
    """Places that come twice are added twice, and multiplied twice."""
    index = T([[0, 2, 0], [1, 1, 1]])
    source = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    fives = cnn.full((2, 3), 5.0)
    assert fives.clone().scatter_(1, index, source).tolist()[1] == [5, 6, 5]
    assert fives.clone().scatter_(1, index, source, reduce="add").tolist() == [[9, 5, 7], [5, 20, 5]]
    assert fives.clone().scatter_(1, index, source, reduce="multiply").tolist() == [[15, 5, 10], [5, 600, 5]]
    assert fives.clone().scatter_(1, index, 3.0, reduce="multiply").tolist() == [[45, 5, 15], [5, 135, 5]]
    assert fives.clone().scatter_(1, index, 3.0, reduce="add").tolist() == [[11, 5, 8], [5, 14, 5]]
    assert fives.clone().scatter_add_(1, index, source).tolist() == [[9, 5, 7], [5, 20, 5]]
    assert cnn.scatter(fives, 1, index, value=3).tolist() == [[3, 5, 3], [5, 3, 5]]
    assert T([5, 5]).scatter_(0, T([0]), 2.75).tolist() == [2, 5]


def test_the_source_may_be_larger_than_the_index():
    x = cnn.zeros(3, requires_grad=True)
    source = cnn.arange(1.0, 7.0).reshape(2, 3).requires_grad_(True)
    y = x.reshape(1, 3).scatter_add(1, T([[2, 0]]), source[:1])
    assert y.tolist() == [[2, 0, 1]]
    (y * T([[1.0, 10.0, 100.0]])).sum().backward()
    assert x.grad.tolist() == [1, 10, 100]
    assert source.grad.tolist() == [[100, 1, 0], [0, 0, 0]]


def test_scatter_of_a_product_says_that_it_has_no_gradient():
    x = cnn.ones(2, requires_grad=True)
    y = x.scatter(0, T([0]), 2.0, reduce="multiply")
    with pytest.raises(NotImplementedError, match=r"scatter\(reduce='multiply'\): the gradient is not supported"):
        y.sum().backward()


def test_scalars_count_as_vectors_of_one():
    assert cnn.gather(T(3.0), 0, T([0, 0])).tolist() == [3, 3]
    assert cnn.gather(T([3.0, 4.0]), 0, T(1)).item() == 4
    assert T(3.0).scatter_(0, T(0), 7.0).item() == 7
    x = T(3.0, requires_grad=True)
    x.gather(0, T([0, 0])).sum().backward()
    assert x.grad.item() == 2


def test_nothing_is_read_for_an_empty_index():
    x, nowhere = cnn.ones(2, 3), T([], dtype=cnn.int64)
    assert x.gather(0, nowhere).shape == (0,)
    assert x.clone().scatter_(0, nowhere, 5.0).equal(x)
    assert x.clone().scatter_add_(1, nowhere.reshape(0, 3), x).equal(x)


def test_narrow_stays_within():
    x = cnn.arange(6).reshape(2, 3)
    assert x.narrow(1, 0, 3).equal(x)
    assert x.narrow(1, 3, 0).shape == (2, 0)
    assert x.narrow(1, -1, 1).tolist() == [[2], [5]]
    for start, length in ((0, 4), (1, 3), (3, 1), (-1, 2)):
        with pytest.raises(RuntimeError, match="exceeds dimension size"):
            x.narrow(1, start, length)
    for start in (4, -4):
        with pytest.raises(IndexError, match="start out of range"):
            x.narrow(1, start, 0)


def test_searchsorted():
    rows = T([[1.0, 3.0, 5.0], [2.0, 2.0, 2.0]])
    values = T([[3.0, 6.0], [2.0, 1.0]])
    assert cnn.searchsorted(rows, values).tolist() == [[1, 3], [0, 0]]
    assert cnn.searchsorted(rows, values, right=True).tolist() == [[2, 3], [3, 0]]
    assert cnn.searchsorted(rows, values, side="right", out_int32=True).dtype is cnn.int32
    assert cnn.searchsorted(T([5.0, 1.0, 3.0]), T([2.0, 4.0]), sorter=T([1, 2, 0])).tolist() == [1, 2]
    assert cnn.searchsorted(T([1, 2, 3]), 2).item() == 1
    with pytest.raises(RuntimeError, match="side and right can't be set to opposites"):
        cnn.searchsorted(rows, values, side="left", right=True)


@needs_torch
@pytest.mark.parametrize("seed", range(40))
def test_random_places_beside_torch(seed):
    """Indices smaller than the tensors in every dimension but one, in both types of integers."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 5, random.integers(1, 4)))
    dim = int(random.integers(len(shape)))
    sizes = tuple(
        int(random.integers(1, n + 1)) if d != dim else int(random.integers(1, 7)) for d, n in enumerate(shape)
    )
    index = random.integers(0, shape[dim], sizes).astype(random.choice([np.int32, np.int64]))
    x = random.standard_normal(shape)
    source = random.standard_normal(sizes)
    results = []
    for lib in (cnn, torch):
        a, s, i = lib.from_numpy(x.copy()), lib.from_numpy(source.copy()), lib.from_numpy(index)
        a.requires_grad_(True), s.requires_grad_(True)
        y = a.gather(dim, i).sum() + (a.scatter_add(dim, i, s) ** 2).sum() + (a.scatter(dim, i, 2.0) * 3).sum()
        y.backward()
        results.append((y.detach().numpy(), a.grad.numpy(), s.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, 1e-12)
    COUNTS["torch"] += 1
