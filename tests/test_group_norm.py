"""group_norm against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import (
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn.nn.group_norm import GroupNorm, group_norm
from cnn.tensor import Tensor

CASES = [  # shape, groups
    ((4, 6), 3),
    ((5, 6), 1),
    ((2, 33), 11),
    ((3, 4, 7), 2),
    ((2, 12, 5, 4), 3),
    ((1, 8, 3, 3), 8),
    ((2, 6, 2, 3, 2), 2),
    ((70, 40), 4),
]


def reference(x, groups, weight, bias, eps):
    rows = x.reshape(x.shape[0] * groups, -1)
    normal = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    column = (1, -1) + (1,) * (x.ndim - 2)
    return normal.reshape(x.shape) * weight.reshape(column) + bias.reshape(column)


def inputs(shape, seed=0):
    random = rng(seed)
    return random.standard_normal(shape) * 2 + 1, random.standard_normal(shape[1]), random.standard_normal(shape[1])


@pytest.mark.parametrize("shape, groups", CASES)
def test_values(every_isa, shape, groups):
    arrays = inputs(shape)
    for kind, limit in ((np.float32, 5e-6), (np.float64, 1e-12)):
        x, weight, bias = (cnn.from_numpy(a.astype(kind)) for a in arrays)
        y = group_norm(x, groups, weight, bias, 1e-3)
        np.testing.assert_allclose(y._a, reference(arrays[0], groups, *arrays[1:], 1e-3), rtol=limit, atol=limit)


@pytest.mark.parametrize("shape, groups", CASES)
def test_gradients(every_isa, shape, groups):
    x, weight, bias = inputs(shape, 1)
    check_gradients(lambda x, w, b: group_norm(x, groups, w, b, 1e-2), x, weight, bias)
    check_gradients(lambda x: group_norm(x, groups, eps=1e-2), x)
    check_gradients(lambda w: group_norm(cnn.from_numpy(x), groups, w), weight)


@needs_torch
@pytest.mark.parametrize("shape, groups", [*CASES, ((0, 6, 3, 3), 2)])
def test_torch(shape, groups):
    f, g = group_norm, torch.nn.functional.group_norm
    x, weight, bias = inputs(shape, 2)
    terms = max(1, x.size // groups)
    check_against_torch(
        lambda x, w, b: f(x, groups, w, b), lambda x, w, b: g(x, groups, w, b), x, weight, bias, terms=terms
    )
    check_against_torch(lambda x: f(x, groups, eps=0.1), lambda x: g(x, groups, eps=0.1), x, terms=terms)
    check_against_torch(lambda x, w: f(x, groups, w), lambda x, w: g(x, groups, w), x, weight, terms=terms)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3, 3)])
def test_nan_and_infinity_stay_in_their_group(every_isa, value, shape):
    x = rng(3).standard_normal(shape).astype(np.float32)
    x[0, 1] = value
    y = group_norm(cnn.from_numpy(x), 2)._a
    assert np.isnan(y[0, :2]).all() and np.isfinite(y[0, 2:]).all() and np.isfinite(y[1]).all()


def test_small_variance_on_a_large_mean(every_isa):
    x = rng(4).standard_normal((3, 4, 30, 30)) * 1e-5 + 1e4
    y = group_norm(cnn.from_numpy(x), 2, eps=1e-30)._a.reshape(6, -1)
    assert abs(y.var(1) - 1).max() < 1e-4 and abs(y.mean(1)).max() < 1e-4


def test_groups_of_one_value(every_isa):
    x = cnn.from_numpy(rng(4).standard_normal((2, 4))).requires_grad_(True)
    y = group_norm(x, 4, cnn.ones(4).double(), cnn.arange(4).double())
    y.backward(cnn.ones(2, 4).double())
    assert y.tolist() == [[0, 1, 2, 3]] * 2 and x.grad.tolist() == [[0] * 4] * 2


def test_memory(every_isa):
    x = rng(5).standard_normal((3, 6, 4, 5)).astype(np.float32)
    dy, weight = rng(6).standard_normal(x.shape).astype(np.float32), rng(7).standard_normal(6).astype(np.float32)

    def run(x, dy, weight):
        t, w = Tensor._wrap(x).requires_grad_(True), Tensor._wrap(weight).requires_grad_(True)
        y = group_norm(t, 2, w)
        y.backward(Tensor._wrap(dy))
        return [y, t.grad, w.grad]

    for index in range(3):
        check_memory_variants(run, x, dy, weight, index=index)


@pytest.mark.parametrize("shape, groups", [((9, 16, 40, 30), 4), ((3000, 64), 2), ((1, 32, 60, 60), 8)])
def test_threads(every_isa, shape, groups):
    x, dy = (rng(seed).standard_normal(shape).astype(np.float32) for seed in (8, 9))

    def run():
        t, w, b = cnn.from_numpy(x).requires_grad_(True), cnn.ones(shape[1]), cnn.zeros(shape[1])
        y = group_norm(t, groups, w.requires_grad_(True), b.requires_grad_(True))
        y.backward(cnn.from_numpy(dy))
        return [y, t.grad, w.grad, b.grad]

    check_threads(run)


@needs_torch
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False}, {"eps": 0.1}])
def test_layer(options):
    ours, theirs = GroupNorm(2, 6, **options), torch.nn.GroupNorm(2, 6, **options)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    x = rng(10).standard_normal((3, 6, 4)).astype(np.float32)
    check_against_torch(ours, theirs, x, types=(np.float32,), terms=12)


ERRORS = [
    (
        lambda: group_norm(cnn.zeros(2, 3), 2),
        "divisible by num_groups, but got input of shape .2, 3. and num_groups=2",
    ),
    (lambda: group_norm(cnn.zeros(3), 1), "divisible by num_groups"),
    (lambda: group_norm(cnn.zeros(2, 4), 0), "group_norm: num_groups must be between 1"),
    (lambda: group_norm(cnn.zeros(1, 4), 4), "Expected more than 1 value per channel"),
    (lambda: group_norm(cnn.zeros(2, 4), 2, cnn.ones(3)), "group_norm: weight should contain 4 elements not 3"),
    (lambda: GroupNorm(3, 4), r"num_channels \(4\) must be divisible by num_groups \(3\)"),
]


@pytest.mark.parametrize("f, message", ERRORS)
def test_errors(f, message):
    with pytest.raises(ValueError, match=message):
        f()


def test_type_errors():
    with pytest.raises(TypeError, match="group_norm: weight must be float32, got float64"):
        group_norm(cnn.zeros(2, 4), 2, cnn.ones(4).double())
