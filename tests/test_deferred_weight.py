"""The gradient of a large linear weight waits for an optimiser that forms it as it goes: nobody can tell."""

import copy
import sys

import numpy as np
import pytest
from harness import check_threads, rng

import cnn
from cnn import _cnn, nn
from cnn.nn import functional as F

IN, OUT = 600, 500  # a weight of more than OuterProducts.SMALLEST_WEIGHT


def normal(*shape, dtype=np.float32, seed=0):
    return cnn.from_numpy(rng(seed).standard_normal(shape).astype(dtype))


def layer(dtype=np.float32):
    cnn.manual_seed(3)
    net = nn.Linear(IN, OUT)
    return net.double() if dtype == np.float64 else net


def waits(parameter):
    return parameter._grad is not None and parameter._grad._gradient is not None


def backward(net, samples=2, seed=0):
    x = normal(samples, IN, dtype=net.weight._a.dtype, seed=seed)
    (net(x) * normal(samples, OUT, dtype=x._a.dtype, seed=seed + 1)).sum().backward()


OPTIMIZERS = {
    "SGD": {"lr": 0.1},
    "SGD momentum": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "SGD nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    "Adam": {"weight_decay": 0.01},
    "Adam amsgrad": {"amsgrad": True},
    "AdamW": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "NAdam": {},
    "Adamax": {},
    "Adagrad": {},
    "Adadelta": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_whether_somebody_looks_or_not(every_isa, name, dtype):
    def train(look):
        net = layer(dtype)
        optimizer = getattr(cnn.optim, name.split()[0])(net.parameters(), **OPTIMIZERS[name])
        for step in range(3):
            optimizer.zero_grad()
            backward(net, samples=(1, 32, 19)[step], seed=step)
            assert waits(net.weight) and not waits(net.bias)
            if look:
                net.weight.grad.numpy()
            optimizer.step()
            assert waits(net.weight) != look
        return net.weight.detach().numpy(), net.weight.grad.numpy(), net.bias.detach().numpy()

    for waited, looked in zip(train(False), train(True), strict=True):
        assert waited.tobytes() == looked.tobytes()


def test_the_threads_do_not_matter():
    def train():
        net = layer()
        optimizer = cnn.optim.Adam(net.parameters())
        backward(net)
        optimizer.step()
        return net.weight.detach()

    check_threads(train)


def test_its_values():
    net, x, dy = layer(np.float64), normal(3, IN, dtype=np.float64), normal(3, OUT, dtype=np.float64, seed=1)
    net(x).backward(dy)
    assert waits(net.weight)
    assert np.allclose(net.weight.grad.numpy(), dy.numpy().T @ x.numpy(), rtol=1e-12, atol=1e-12)
    assert np.allclose(net.bias.grad.numpy(), dy.numpy().sum(0), rtol=1e-12, atol=1e-12)


def test_what_it_was_made_from_may_change():
    net, x = layer(), normal(2, IN)
    y = net(x)
    dy = normal(2, OUT, seed=1)
    y.backward(dy)
    expected = dy.numpy().T @ x.numpy()
    x.zero_()
    dy.zero_()
    with cnn.no_grad():
        net.weight.zero_()
    assert waits(net.weight)
    assert np.allclose(net.weight.grad.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_two_backwards_add_up():
    net = layer()
    backward(net, seed=0)
    first = net.weight.grad.numpy().copy()
    net.zero_grad()
    backward(net, seed=5)
    second = net.weight.grad.numpy().copy()
    net.zero_grad()
    backward(net, seed=0)
    assert waits(net.weight)
    backward(net, seed=5)
    assert np.array_equal(net.weight.grad.numpy(), first + second)


def test_a_weight_that_is_used_twice():
    net, x = layer(), normal(1, IN)
    (net(x) + net(2 * x)).sum().backward()
    assert np.allclose(net.weight.grad.numpy(), np.tile(3 * x.numpy(), (OUT, 1)), rtol=1e-5, atol=1e-5)


def test_hooks_see_it():
    net, seen = layer(), []
    handle = net.weight.register_hook(lambda gradient: seen.append(gradient.numpy().copy()) or gradient * 2)
    backward(net)
    handle.remove()
    assert np.array_equal(net.weight.grad.numpy(), 2 * seen[0])
    net.zero_grad()
    handle = net.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.numpy().copy()))
    backward(net)
    handle.remove()
    assert np.array_equal(seen[0], seen[1])


def test_autograd_grad_gives_it():
    net, x = layer(), normal(1, IN)
    (gradient,) = cnn.autograd.grad(net(x).sum(), [net.weight])
    assert np.array_equal(gradient.numpy(), np.tile(x.numpy(), (OUT, 1)))
    assert net.weight.grad is None


@pytest.mark.parametrize(
    "look",
    [
        lambda net: nn.utils.clip_grad_norm_(net.parameters(), 1e9),
        lambda net: nn.utils.clip_grad_value_(net.parameters(), 1e9),
        lambda net: net.weight.grad.add_(0),
        lambda net: F.relu(net.weight.grad),
        lambda net: copy.deepcopy(net.weight.grad),
        lambda net: copy.copy(net.weight.grad),
        lambda net: repr(net.weight.grad),
        lambda net: net.weight.grad.shape,
    ],
)
def test_whoever_looks_finds_it(look):
    net = layer()
    backward(net)
    net.weight.grad.numpy()
    expected = net.weight.grad.numpy().copy()
    net.zero_grad()
    backward(net)
    assert waits(net.weight)
    look(net)
    assert not waits(net.weight)
    assert np.array_equal(net.weight.grad.numpy(), expected)


def test_a_gradient_that_is_replaced():
    for replace in (
        lambda p: setattr(p.grad, "data", cnn.ones(OUT, IN)),
        lambda p: setattr(p, "grad", cnn.ones(OUT, IN)),
        lambda p: p.grad.copy_(cnn.ones(OUT, IN)),
        lambda p: p.grad.fill_(1),
    ):
        net = layer()
        backward(net)
        before = net.weight.detach().clone()
        replace(net.weight)
        cnn.optim.SGD([net.weight], lr=1.0).step()
        assert np.allclose(net.weight.detach().numpy(), before.numpy() - 1)


def test_zero_grad():
    net = layer()
    optimizer = cnn.optim.SGD(net.parameters(), lr=0.1)
    backward(net)
    optimizer.zero_grad(set_to_none=False)
    assert not net.weight.grad.numpy().any()
    net.zero_grad()
    backward(net)
    optimizer.zero_grad()
    assert net.weight.grad is None


def test_parameters_that_were_replaced_or_lie_otherwise():
    for replace in (lambda w: w.t().contiguous().t(), lambda w: w.double()):
        results = []
        for look in (False, True):
            net = layer()
            optimizer = cnn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
            backward(net)
            if look:
                net.weight.grad.numpy()
            net.weight.data = replace(net.weight.detach())
            if net.weight.dtype == cnn.float64:
                with pytest.raises(TypeError):
                    optimizer.step()
            else:
                optimizer.step()
            results.append(net.weight.detach().numpy())
        assert np.array_equal(*results)


def test_few_samples_and_large_weights_only():
    net = layer()
    backward(net, samples=33)
    assert not waits(net.weight)
    small = nn.Linear(20, 30)
    small(normal(1, 20)).sum().backward()
    assert not waits(small.weight)
    net.zero_grad()
    net(normal(0, IN)).sum().backward()
    assert not net.weight.grad.numpy().any()
    net.zero_grad()
    net(normal(2, 2, IN)).sum().backward()
    assert not waits(net.weight)
    net.zero_grad()
    net(normal(IN)).sum().backward()
    assert not waits(net.weight)


def test_factors_that_do_not_fit():
    w, dy, x = (np.ones(shape, np.float32) for shape in ((3, 4), (2, 3), (2, 4)))
    rest = (None, 0.1, 0, 0, 0, 0, 0, 0)
    _cnn.sgd([w], [(dy, x)], *rest)
    assert np.allclose(w, 0.8)
    lengths = ((), (dy,), (dy, x, x))
    shapes = ((x, dy), (dy, x[:1]), (dy[:0], x[:0]), (dy[0], x))
    for factors in (*lengths, *shapes, (dy, None), (dy.astype(float), x)):
        with pytest.raises((ValueError, TypeError)):
            _cnn.sgd([w], [factors], *rest)
    with pytest.raises(ValueError, match="matrix"):
        _cnn.sgd([w.reshape(-1)], [(dy, x)], *rest)
    references = [sys.getrefcount(a) for a in (w, dy, x)]
    _cnn.sgd([w], [(dy, x)], *rest)
    assert [sys.getrefcount(a) for a in (w, dy, x)] == references
