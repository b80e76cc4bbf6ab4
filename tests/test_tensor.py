"""The part of Tensor and of the graph that is in C: what it holds, and that it lets go of it."""

import gc
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from harness import rng

import cnn
from cnn import _cnn
from cnn.autograd.function import Node, Operation
from cnn.tensor import Tensor


def values(*shape, seed=0):
    return cnn.from_numpy(rng(seed).standard_normal(shape))


class Sum(Operation):
    """The sum of any number of arrays."""

    @staticmethod
    def forward(ctx, *arrays):
        ctx.saved = arrays
        return np.add.reduce(arrays)

    @staticmethod
    def backward(ctx, dy):
        return tuple([dy if wants else None for wants in ctx.needs])


class Fails(Operation):
    @staticmethod
    def forward(ctx, x):
        raise ArithmeticError("as asked")


def alive():
    return sum(issubclass(type(o), (Tensor, Node)) for o in gc.get_objects())


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 40])
def test_any_number_of_arguments(count):
    tensors = [values(3, seed=i).requires_grad_(i % 2 == 0) for i in range(count)]
    y = Sum.apply(*tensors)
    assert y.grad_fn.needs == tuple(i % 2 == 0 for i in range(count))
    y.backward(cnn.ones(3, dtype=cnn.float64))
    for i, t in enumerate(tensors):
        assert (t.grad is None) == (i % 2 == 1) and (t.grad is None or t.grad.tolist() == [1, 1, 1])


def test_apply_refuses_what_is_no_operation():
    for arguments in [(), (3,), (Tensor,), (int, values(2))]:
        with pytest.raises(TypeError, match="apply: expected a class of operations"):
            _cnn.apply(*arguments)
    with pytest.raises(ArithmeticError, match="as asked"):
        Fails.apply(values(2))


def test_nothing_is_kept():
    gc.collect()
    gc.disable()
    try:
        before = alive()
        x, w = values(4, 3), values(3, 3, seed=1).requires_grad_()
        array = x._a
        references = sys.getrefcount(array)
        for _ in range(50):
            (x @ w).relu().sum().backward()
            x.view(12)[3:].exp()
            with pytest.raises(ArithmeticError):
                Fails.apply(x)
            a, b = cnn.split((x * w.sum()), 2)
            (a + b).sum().backward(inputs=[w])
        assert sys.getrefcount(array) == references
        del x, w, a, b
        assert alive() == before
    finally:
        gc.enable()


def test_memory_does_not_grow():
    net = cnn.nn.Sequential(cnn.nn.Linear(3, 5), cnn.nn.ReLU(), cnn.nn.Linear(5, 2))
    x = cnn.randn(2, 3)

    def steps(n):
        for _ in range(n):
            net.zero_grad()
            net(x).sum().backward()

    tracemalloc.start()
    try:
        steps(20)
        before, _ = tracemalloc.get_traced_memory()
        steps(500)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000  # one object a step would be 28,000


def test_cycles_are_collected():
    leaf = values(2).requires_grad_()
    leaf.register_hook([leaf].index)
    y = leaf * 2
    y.grad_fn.register_hook([y].index)
    y.grad_fn.owner = y
    leaf.grad = leaf.detach()
    leaf.grad.grad = leaf
    gone = [weakref.ref(leaf), weakref.ref(y.grad_fn), weakref.ref(y)]
    del leaf, y
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_a_deep_graph_comes_and_goes():
    x = values(1).requires_grad_()
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.backward(cnn.ones(1, dtype=cnn.float64))
    assert x.grad.item() == 1
    for _ in range(100_000):
        y = y * 1.0
    del y  # not backward's order: from the end, each holding the one before


def test_recording_is_a_matter_of_each_thread():
    seen = []
    with cnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(cnn.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not cnn.is_grad_enabled()
    assert seen == [True] and cnn.is_grad_enabled()


def test_an_array_that_waits_is_asked_for_once():
    calls = []

    def pending():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return np.arange(3.0)

    t = _cnn.Tensor.__new__(Tensor)
    t._pending = pending
    with pytest.raises(KeyboardInterrupt):
        t._a  # noqa: B018
    assert t.shape == (3,) and t.tolist() == [0, 1, 2] and len(calls) == 2 and t._pending is None
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute '_a'"):
        _cnn.Tensor.__new__(Tensor).shape  # noqa: B018
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'shap'"):
        t.shap  # noqa: B018
