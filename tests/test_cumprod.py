"""cumprod, prod and cumsum: gradients where factors are zero, and of tensors without dimensions or elements."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, rng

import cnn


@pytest.mark.parametrize("dim", (0, 1, -1))
@pytest.mark.parametrize("zeros", (0, 1, 4))
def test_cumprod(dim, zeros):
    x = rng(1).standard_normal((4, 3, 5))
    x.reshape(-1)[rng(2).permutation(60)[:zeros]] = 0
    check_gradients(lambda a: cnn.cumprod(a, dim), x)
    check_against_torch(lambda a: a.cumprod(dim), lambda a: a.cumprod(dim), x)


@pytest.mark.parametrize("name", ("cumprod", "cumsum", "prod"))
def test_without_dimensions_or_elements(name):
    for shape in ((), (0,), (2, 0)):
        x = rng(3).standard_normal(shape)
        check_against_torch(lambda a: getattr(a, name)(0), lambda a: getattr(a, name)(0), np.asarray(x))


def test_integers_multiply_in_int64():
    y = cnn.tensor([100, 100, 100], dtype=cnn.uint8).cumprod(0)
    assert y.dtype is cnn.int64 and y.tolist() == [100, 10000, 1000000]
