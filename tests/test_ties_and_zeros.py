"""Where a function has a kink or a choice: exact zeros, ends of ranges, equal values in a window, windows of -inf.

What is right there is torch's convention, and a random test never meets it. The inputs here consist of such points.
"""

import functools
import itertools

import numpy as np
import pytest
from harness import COUNTS, channels_last, needs_torch, rng, torch

import cnn
import cnn.nn.functional as F
from cnn import nn
from cnn.backends import conv as settings

INF = np.inf
orders = pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
both_types = pytest.mark.parametrize("kind", [np.float32, np.float64])


def beside(module):
    """cnn or torch: the array as a tensor of it."""
    return module.from_numpy


def gradient(module, f, dy, *arrays):
    """f's results and the gradients, as arrays."""
    tensors = [beside(module)(np.array(a)).requires_grad_(True) for a in arrays]
    y = f(*tensors)
    y, *others = y if isinstance(y, tuple) else (y,)
    y.backward(beside(module)(np.array(dy[tuple(map(slice, y.shape))])))
    return [y.detach().numpy(), *(o.numpy() for o in others), *(t.grad.numpy() for t in tensors)]


def same(ours, theirs, what=""):
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"{what}: {number}")
    COUNTS["torch"] += 1


# ---- functions with kinks ------------------------------------------------------------------------------------------

KINKS = {
    "relu": lambda F, x: F.relu(x),
    "relu6": lambda F, x: F.relu6(x),
    "leaky_relu": lambda F, x: F.leaky_relu(x, 0.25),
    "leaky_relu, negative slope": lambda F, x: F.leaky_relu(x, -0.5),
    "hardtanh": lambda F, x: F.hardtanh(x),
    "hardtanh, around 0": lambda F, x: F.hardtanh(x, 0.0, 3.0),
    "hardsigmoid": lambda F, x: F.hardsigmoid(x),
    "hardswish": lambda F, x: F.hardswish(x),
    "clamp": lambda F, x: x.clamp(-1, 3),
    "clamp, from below": lambda F, x: x.clamp(min=0),
    "abs": lambda F, x: x.abs(),
    "max of all": lambda F, x: x.max(),
    "min of all": lambda F, x: x.min(),
    "amax": lambda F, x: x.amax(1),
    "max along an axis": lambda F, x: x.max(1),
    "min along an axis": lambda F, x: x.min(0),
}
# Ends of the ranges above, their neighbours, both zeros, and everything in several copies.
POINTS = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, np.nextafter(6, 7, dtype="f"), 2.5, -2.0]


@needs_torch
@both_types
@pytest.mark.parametrize("name", KINKS)
def test_at_the_kinks(every_isa, name, kind):
    x = np.resize(np.array(POINTS, kind), (8, 25))
    dy = rng(1).integers(1, 9, (8, 25)).astype(kind)
    results = []
    for module, functional in ((cnn, F), (torch, torch.nn.functional)):
        tensor = beside(module)(x.copy()).requires_grad_(True)
        y = KINKS[name](functional, tensor)
        y, *indices = y if isinstance(y, tuple) else (y,)
        y.backward(beside(module)(np.resize(dy, tuple(y.shape))))
        results.append([y.detach().numpy(), *(i.numpy() for i in indices), tensor.grad.numpy()])
    if name == "hardsigmoid":  # torch's sixth is one of float32 for both types
        results = [[np.round(r, 6) for r in result] for result in results]
    same(*results, name)


@needs_torch
@both_types
def test_binary_functions_of_equal_values(every_isa, kind):
    a, b = (np.array(v, kind) for v in zip(*itertools.product([0.0, -0.0, 1.0, -2.0], repeat=2), strict=True))
    dy = np.arange(1, 17).astype(kind)
    for name in ("maximum", "minimum"):
        results = [gradient(module, getattr(module, name), dy, a, b) for module in (cnn, torch)]
        same(*results, name)


@both_types
@pytest.mark.parametrize("loss", ["l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss"])
@needs_torch
def test_losses_of_equal_values(every_isa, loss, kind):
    x, t = np.array([0, 1, -1, 2, 3, 0.5], kind), np.array([0, 1, 0, 3, 3, -0.5], kind)
    results = [
        gradient(m, lambda x, m=m, f=f: getattr(f, loss)(x, m.from_numpy(t), reduction="none"), np.ones(6, kind), x)
        for m, f in ((cnn, F), (torch, torch.nn.functional))
    ]
    same(*results, loss)


# ---- a ReLU behind another layer -----------------------------------------------------------------------------------


@orders
@both_types
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(4, 3, 6, 5), (8, 17, 3, 3), (16, 33, 1, 1)])
def test_batch_norm_and_relu_at_zero(every_isa, size, training, kind, order):
    """Numbers -1, 0, 1 with a mean of exactly 0: where x is 0 so is y, and no gradient comes back through the ReLU."""
    random = rng(3)
    half = random.integers(-1, 2, (size[0] // 2, *size[1:])).astype(kind)
    x, dy = np.concatenate([half, -half]), random.integers(1, 5, size).astype(kind)
    layer = nn.BatchNorm2d(size[1]).to(cnn.float64 if kind == np.float64 else cnn.float32).train(training)
    t = cnn.from_numpy(order(x)).requires_grad_(True)
    y = nn.Sequential(layer, nn.ReLU())(t)
    y.backward(cnn.from_numpy(order(dy)))
    assert (y.detach().numpy() > 0).sum() == (x > 0).sum()
    passed = np.where(x > 0, dy, 0).astype(np.float64)
    np.testing.assert_array_equal(layer.bias.grad.numpy(), passed.sum((0, 2, 3)))
    var = np.float64(x).var((0, 2, 3), keepdims=True) if training else np.ones((1, size[1], 1, 1))
    xhat = x / np.sqrt(var + layer.eps)
    dx = passed / np.sqrt(var + layer.eps)
    if training:
        means = [a.mean((0, 2, 3), keepdims=True) for a in (passed, passed * xhat)]
        dx = (passed - means[0] - xhat * means[1]) / np.sqrt(var + layer.eps)
    np.testing.assert_allclose(t.grad.numpy(), dx, atol=1e-5 if kind == np.float32 else 1e-12)


CONVOLUTIONS = {
    "planes": (3, 6, 5, 1),
    "channels": (16, 32, 5, 1),
    "3x3, direct": (16, 32, 3, 1),
    "depthwise": (16, 16, 3, 16),
    "groups": (32, 32, 3, 8),
    "1x1": (17, 33, 1, 1),
}


@needs_torch
@both_types
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_relu_and_pooling_of_zeros(every_isa, name, pooled, kind, monkeypatch):
    """Sums of small integers are often exactly 0, and windows of them are full of ties. (Winograd rounds such a sum to
    something near 0, see docs/differences.md.)"""
    monkeypatch.setattr(settings, "algorithm", "direct")
    c, oc, k, groups = CONVOLUTIONS[name]
    random = rng(4)
    x = random.integers(-1, 2, (2, c, 12, 10)).astype(kind)
    x[:, :, :6] *= random.random((2, c, 6, 10)) < 0.1  # mostly zeros
    w = random.integers(-1, 2, (oc, c // groups, k, k)).astype(kind)
    dy = random.integers(1, 4, (2, oc, 12, 10)).astype(kind)
    results = []
    for module in (cnn, torch):
        layers = [module.nn.Conv2d(c, oc, k, padding=k // 2, groups=groups, bias=False), module.nn.ReLU()]
        net = module.nn.Sequential(*layers, *([module.nn.MaxPool2d(2)] if pooled else []))
        net[0].weight.data = beside(module)(w.copy())
        t = beside(module)(x.copy()).requires_grad_(True)
        y = net(module.nn.functional.relu(t))
        y.backward(beside(module)(np.array(dy[tuple(map(slice, y.shape))])))
        results.append([y.detach().numpy(), t.grad.numpy(), net[0].weight.grad.numpy()])
    same(*results)
    assert (results[1][0] == 0).mean() > 0.1


# ---- windows -------------------------------------------------------------------------------------------------------

WINDOWS = [  # kernel, stride, padding, dilation, ceil_mode
    (2, 2, 0, 1, False),
    (2, 2, 1, 1, False),
    (3, 2, 1, 1, False),
    (3, 1, 1, 1, False),
    (3, 3, 1, 1, True),
    (4, 2, 2, 1, True),
    (2, 1, 1, 2, False),
    (3, 2, 1, 3, False),
    ((1, 4), (1, 3), (0, 2), 1, True),
    ((5, 2), (2, 2), (2, 0), (1, 2), False),
]


def special_images(kind):
    """Images of ties: all equal, all -inf, -inf but for one, NaN here and there, both zeros, few integers."""
    random = rng(5)
    shape = (2, 17, 11, 9)
    yield "equal", np.full(shape, 2.5)
    yield "-inf", np.full(shape, -INF)
    x = np.full(shape, -INF)
    x[:, ::2, 4, 4] = 1
    yield "-inf but for one", x
    yield "-inf here and there", np.where(random.random(shape) < 0.7, -INF, random.integers(0, 2, shape))
    yield "inf", np.where(random.random(shape) < 0.3, INF, -INF)
    yield "NaN", np.where(random.random(shape) < 0.1, np.nan, random.integers(0, 3, shape))
    yield "zeros", np.where(random.random(shape) < 0.5, -0.0, 0.0)
    yield "integers", random.integers(-1, 2, shape)


@functools.cache
def windows_of_torch(number, name, kind):
    kernel, stride, padding, dilation, ceil = WINDOWS[number]
    x = dict(special_images(kind))[name].astype(kind)
    dy = rng(6).integers(1, 5, (2, 17, 20, 20)).astype(kind)
    pool = torch.nn.functional.max_pool2d
    with np.errstate(all="ignore"):
        return gradient(torch, lambda x: pool(x, kernel, stride, padding, dilation, ceil, True), dy, x)


@needs_torch
@orders
@both_types
@pytest.mark.parametrize("number", range(len(WINDOWS)))
def test_windows_of_equal_values(every_isa, number, kind, order):
    """Values, positions and gradients of max_pool2d: the first of equals, the last NaN, never the padding."""
    kernel, stride, padding, dilation, ceil = WINDOWS[number]
    dy = rng(6).integers(1, 5, (2, 17, 20, 20)).astype(kind)
    for name, x in special_images(kind):
        theirs = windows_of_torch(number, name, kind)
        x = cnn.from_numpy(order(x.astype(kind))).requires_grad_(True)
        y, positions = F.max_pool2d(x, kernel, stride, padding, dilation, ceil, True)
        y.backward(cnn.from_numpy(np.array(dy[tuple(map(slice, y.shape))])))
        same([y.detach().numpy(), positions.numpy(), x.grad.numpy()], theirs, f"{name}")
        x.grad = None
        alone = F.max_pool2d(x, kernel, stride, padding, dilation, ceil)
        alone.backward(cnn.from_numpy(np.array(dy[tuple(map(slice, y.shape))])))
        same([alone.detach().numpy(), x.grad.numpy()], [theirs[0], theirs[2]], f"{name}, no positions asked for")


@needs_torch
@orders
@both_types
@pytest.mark.parametrize("size", [(3, 4), (11, 9), (1, 1), (7, 2)])
def test_adaptive_windows_of_equal_values(every_isa, size, kind, order):
    dy = rng(6).integers(1, 5, (2, 17, *size)).astype(kind)
    for name, x in special_images(kind):
        x = x.astype(kind)
        results = []
        for module, functional in ((cnn, F), (torch, torch.nn.functional)):
            t = beside(module)(order(x)).requires_grad_(True)
            y, positions = functional.adaptive_max_pool2d(t, size, return_indices=True)
            y.backward(beside(module)(dy.copy()))
            results.append([y.detach().numpy(), positions.numpy(), t.grad.numpy()])
        same(*results, name)
        if name in ("equal", "zeros", "integers", "inf", "-inf"):
            results = []
            for module, functional in ((cnn, F), (torch, torch.nn.functional)):
                t = beside(module)(order(x)).requires_grad_(True)
                y = functional.adaptive_avg_pool2d(t, size)
                y.backward(beside(module)(dy.copy()))
                results.append([y.detach().numpy(), t.grad.numpy()])
            for ours, theirs in zip(*results, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6, err_msg=name)
