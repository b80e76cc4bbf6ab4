"""Medians, quantiles, covariances: values, gradients, NaN, ties."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, rng, torch

import cnn

NAN = float("nan")


def test_median_of_nan_is_nan():
    x = cnn.tensor([[1.0, NAN, NAN], [3.0, 2.0, 1.0]])
    assert np.isnan(x.median().item())
    values, indices = x.median(1)
    assert np.isnan(values[0].item()) and values[1].item() == 2
    assert indices.tolist() == [1, 1]


def test_equal_elements_share_the_gradient_of_the_median():
    x = cnn.tensor([2.0, 2.0, 1.0, 3.0, 2.0], requires_grad=True)
    x.median().backward()
    assert np.allclose(x.grad.numpy(), [1 / 3, 1 / 3, 0, 0, 1 / 3])


CASES = {
    **{
        f"quantile {how} {q} {dim} {keep}": lambda t, x, how=how, q=q, dim=dim, keep=keep: t.quantile(
            x, q if isinstance(q, float) else t.tensor(q, dtype=x.dtype), dim, keep, interpolation=how
        )
        for how in ("linear", "lower", "higher", "midpoint", "nearest")
        for q, dim, keep in ((0.3, None, False), ([0.1, 0.5, 1.0], 0, True), (0.75, -1, False), ([0.2], None, True))
    },
    "cov": lambda t, x: t.cov(x),
    "cov of one variable": lambda t, x: t.cov(x[0]),
    "cov, correction": lambda t, x: t.cov(x, correction=0),
    "cov, weights": lambda t, x: t.cov(
        x, fweights=t.tensor([1, 2, 1, 3, 1]), aweights=t.tensor([0.5, 1.0, 2.0, 0.1, 1.0], dtype=x.dtype)
    ),
    "corrcoef": lambda t, x: t.corrcoef(x),
    "corrcoef of one variable": lambda t, x: t.corrcoef(x[1]),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    f = CASES[name]
    x = rng(3).standard_normal((4, 5))
    check_gradients(lambda a: f(cnn, a), x)
    if torch is not None:
        check_against_torch(lambda a: f(cnn, a), lambda a: f(torch, a), x, types=(np.float64,))


def test_quantile_has_a_gradient_with_respect_to_q():
    check_gradients(lambda x, q: cnn.quantile(x, q, 1), rng(3).standard_normal((4, 5)), np.array([0.3, 0.6]))


def test_quantile_of_nan_is_nan():
    x = cnn.tensor([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]])
    assert np.array_equal(cnn.quantile(x, 0.5, 1).numpy(), [NAN, 2.0], equal_nan=True)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: cnn.quantile(cnn.ones(3), 1.5), r"q must be in the range \[0, 1\] but got 1.5"),
        (lambda: cnn.quantile(cnn.ones(3), 0.5, interpolation="x"), "interpolation must be one of"),
        (lambda: cnn.quantile(cnn.arange(3), 0.5), "float or double"),
        (lambda: cnn.cov(cnn.ones(2, 2, 2)), "two or fewer dimensions"),
        (lambda: cnn.cov(cnn.ones(2, 2), fweights=cnn.ones(2)), "fweights to have integral dtype"),
        (lambda: cnn.cov(cnn.ones(2, 2), aweights=-cnn.ones(2)), "aweights cannot be negative"),
    ],
)
def test_refusals(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()


def test_take_along_dim_broadcasts():
    x = cnn.tensor([[1, 2], [3, 4]])
    assert cnn.take_along_dim(x, cnn.tensor([[1]]), 1).tolist() == [[2], [4]]
    assert cnn.take_along_dim(x, cnn.tensor([[-1]]), 1).tolist() == [[2], [4]]
    assert cnn.take_along_dim(x, cnn.tensor([3, 0])).tolist() == [4, 1]
