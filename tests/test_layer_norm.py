"""layer_norm against NumPy and torch. What it shares with group_norm is tested there."""

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
from cnn.nn.layer_norm import LayerNorm, layer_norm
from cnn.tensor import Tensor

CASES = [  # shape, normalized_shape
    ((5, 7), (7,)),
    ((5, 7), (5, 7)),
    ((7,), (7,)),
    ((2, 3, 33), (33,)),
    ((2, 3, 4, 5), (4, 5)),
    ((2, 3, 4, 5), (3, 4, 5)),
    ((300, 70), (70,)),
    ((3, 1), (1,)),
]


def inputs(shape, normalized, seed=0):
    random = rng(seed)
    return random.standard_normal(shape) * 2 + 1, random.standard_normal(normalized), random.standard_normal(normalized)


def reference(x, normalized, weight, bias, eps):
    axes = tuple(range(x.ndim - len(normalized), x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * weight + bias


@pytest.mark.parametrize("shape, normalized", CASES)
def test_values(every_isa, shape, normalized):
    arrays = inputs(shape, normalized)
    for kind, limit in ((np.float32, 5e-6), (np.float64, 1e-12)):
        x, weight, bias = (cnn.from_numpy(a.astype(kind)) for a in arrays)
        y = layer_norm(x, normalized, weight, bias, 1e-3)
        np.testing.assert_allclose(y._a, reference(arrays[0], normalized, *arrays[1:], 1e-3), rtol=limit, atol=limit)


@pytest.mark.parametrize("shape, normalized", CASES)
def test_gradients(every_isa, shape, normalized):
    x, weight, bias = inputs(shape, normalized, 1)
    check_gradients(lambda x, w, b: layer_norm(x, normalized, w, b, 1e-2), x, weight, bias)
    check_gradients(lambda x, b: layer_norm(x, normalized, None, b, 1e-2), x, bias)
    check_gradients(lambda w: layer_norm(cnn.from_numpy(x), normalized, w, None, 1e-2), weight)


@needs_torch
@pytest.mark.parametrize("shape, normalized", [*CASES, ((0, 3), (3,)), ((3, 0), (0,))])
def test_torch(shape, normalized):
    f, g = layer_norm, torch.nn.functional.layer_norm
    x, weight, bias = inputs(shape, normalized, 2)
    check_against_torch(
        lambda x, w, b: f(x, normalized, w, b), lambda x, w, b: g(x, normalized, w, b), x, weight, bias, terms=x.size
    )
    check_against_torch(lambda x: f(x, normalized, eps=0.1), lambda x: g(x, normalized, eps=0.1), x, terms=x.size)


def test_nan_and_infinity_stay_in_their_row(every_isa):
    x = rng(3).standard_normal((3, 20)).astype(np.float32)
    x[0, 5], x[1, 0] = math.nan, math.inf
    y = layer_norm(cnn.from_numpy(x), 20)._a
    assert np.isnan(y[:2]).all() and np.isfinite(y[2]).all()


def test_memory(every_isa):
    x, weight, bias = (a.astype(np.float32) for a in inputs((3, 6, 4, 5), (4, 5), 5))
    dy = rng(6).standard_normal(x.shape).astype(np.float32)

    def run(x, dy, weight, bias):
        t, w = Tensor._wrap(x).requires_grad_(True), Tensor._wrap(weight).requires_grad_(True)
        y = layer_norm(t, (4, 5), w, Tensor._wrap(bias))
        y.backward(Tensor._wrap(dy))
        return [y, t.grad, w.grad]

    for index in range(4):
        check_memory_variants(run, x, dy, weight, bias, index=index)


def test_threads(every_isa):
    x, dy = (rng(seed).standard_normal((3000, 70)).astype(np.float32) for seed in (8, 9))

    def run():
        t, w, b = cnn.from_numpy(x).requires_grad_(True), cnn.ones(70), cnn.zeros(70)
        y = layer_norm(t, 70, w.requires_grad_(True), b.requires_grad_(True))
        y.backward(cnn.from_numpy(dy))
        return [y, t.grad, w.grad, b.grad]

    check_threads(run)


@needs_torch
@pytest.mark.parametrize("options", [{}, {"elementwise_affine": False}, {"bias": False}, {"eps": 0.1}])
def test_layer(options):
    for shape in (5, (4, 5), [5]):
        ours, theirs = LayerNorm(shape, **options), torch.nn.LayerNorm(shape, **options)
        assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
        x = rng(10).standard_normal((3, 4, 5)).astype(np.float32)
        check_against_torch(ours, theirs, x, types=(np.float32,), terms=20)


def test_errors():
    x = cnn.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[4\], expected input with shape \[\*, 4\]"):
        layer_norm(x, (4,))
    with pytest.raises(RuntimeError, match="Expected bias to be of same shape as normalized_shape"):
        layer_norm(x, (3,), None, cnn.zeros(2))
    with pytest.raises(RuntimeError, match="at least 1-dimensional"):
        layer_norm(x, ())
    with pytest.raises(TypeError, match="input must be float32 or float64, got int64"):
        layer_norm(x.long(), (3,))
