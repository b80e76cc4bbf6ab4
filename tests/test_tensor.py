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


NUMBERS = [
    3, -2, 1.5, True, 2**62, -(2**63), float("nan"), 1e300, [1], [1.0, 2], [True, 2], [True, False], (1, 2.5),
    [[1, 2], [3, 4]], [[1.0], [2]], [(True,), [2]], [[[1.5, 2], [3, 4]], [[5, 6], [7, True]]], [0.1] * 50,
]  # fmt: skip
OTHERS = [
    [], [[]], [[], []], 2**63, [2**63], [1, 2**64], [[1, 2], [3]], [[1], 2], [1, [2]], "12", [1, "2"], None, [None],
    range(3), np.float32(2), np.arange(3), [np.float32(1), 2.5], [cnn.ones(1)], {1: 2}, 1j, [1, 2j],
]  # fmt: skip


@pytest.mark.parametrize("default", [np.float32, np.float64])
def test_numbers(default):
    for data in NUMBERS:
        with np.errstate(all="ignore"):
            expected = np.asarray(data)
            expected = expected.astype(default) if expected.dtype.kind == "f" else expected
        array = _cnn.numbers(data, np.dtype(default))
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)
    for data in OTHERS:
        assert _cnn.numbers(data, np.dtype(default)) is None
    deep = 1
    for _ in range(100):
        deep = [deep]
    assert _cnn.numbers(deep, np.dtype(default)) is None
    assert _cnn.numbers([1.5], np.dtype(np.float16)) is None
    with pytest.raises(TypeError, match="numbers: default must be a NumPy dtype"):
        _cnn.numbers(1, np.float32)


SYMBOLS = {"+": (lambda a, b: a + b, cnn.add), "-": (lambda a, b: a - b, cnn.sub), "*": (lambda a, b: a * b, cnn.mul)}
OPERANDS = {
    "same": lambda: (values(2, 3), values(2, 3, seed=1)),
    "0-d": lambda: (values(), values(seed=1)),
    "channels last": lambda: (values(2, 4, 5, 3).permute(0, 3, 1, 2), values(2, 3, 4, 5, seed=1)),
    "transposed": lambda: (values(3, 2).t(), values(2, 3, seed=1)),
    "itself": lambda: (values(2, 3),) * 2,
    "broadcast": lambda: (values(2, 3), values(3, seed=1)),
    "two types": lambda: (values(2, 3), values(2, 3, seed=1).float()),
    "number": lambda: (values(2, 3), 1.5),
    "integer": lambda: (values(2, 3), 3),
    "bool": lambda: (values(2, 3), True),
    "number first": lambda: (2.5, values(2, 3)),
}


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("operands", OPERANDS)
def test_operators_are_the_functions(symbol, operands):
    def run(function):
        a, b = OPERANDS[operands]()
        leaves = [t.requires_grad_() for t in {id(t): t for t in (a, b) if isinstance(t, Tensor)}.values()]
        y = function(a, b)
        node = y.grad_fn
        record = (node.name(), tuple(node.needs), [n if n is None else n.name() for n, _ in node.next_functions])
        y.backward(values(*y.shape, seed=2))
        return y._a, record, [t.grad._a for t in leaves]

    operator, function = SYMBOLS[symbol]
    if operands == "bool" and symbol == "-":
        for f in (operator, function):
            with pytest.raises(RuntimeError, match="Subtraction, the `-` operator, with a bool tensor is not"):
                run(f)
        return
    y, record, gradients = run(operator)
    swap = operands == "number first" and symbol != "-"  # x comes first in the graph, as in torch
    expected, expected_record, expected_gradients = run(lambda a, b: function(b, a) if swap else function(a, b))
    assert y.dtype == expected.dtype and record == expected_record
    np.testing.assert_array_equal(y, expected)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == other.dtype
        np.testing.assert_array_equal(gradient, other)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_operators_beside_the_plain(symbol):
    operator = SYMBOLS[symbol][0]
    x = values(3).requires_grad_()
    with cnn.no_grad():
        assert operator(x, x).grad_fn is None
    assert operator(x.detach(), 2.0).grad_fn is None
    for other in (None, object(), {}):
        with pytest.raises(TypeError, match="unsupported operand"):
            operator(x, other)
        with pytest.raises(TypeError, match="unsupported operand"):
            operator(other, x)
    array = np.arange(3.0)
    for y in (operator(x.detach(), array), operator(array, x.detach()), operator(np.float64(2), x.detach())):
        assert type(y) is Tensor and y.dtype == cnn.float64

    class Special(Tensor):
        def __radd__(self, other):
            return "special"

        __rsub__ = __rmul__ = __radd__

    assert operator(x, Special([1.0, 2.0, 3.0])) == "special"
    assert type(operator(x.detach(), cnn.nn.Parameter(x.detach()))) is Tensor


def test_what_a_product_saved_must_not_change():
    x, w = values(3).requires_grad_(), values(3, seed=1)
    y = x * w
    w += 1
    with pytest.raises(RuntimeError, match="MulBackward0 saved a tensor at version 0, but it is at version 1 now"):
        y.backward(values(3))


def test_calls_of_our_own_functions_about_what_waits():
    for wrong in ((3,), (lambda: 1, int, (), {}), (), (lambda: 1, 2)):
        with pytest.raises(TypeError, match="wait: expected a function"):
            cnn._cnn.wait(*wrong)
    with pytest.raises(TypeError, match="must give an array, not str"):
        cnn._cnn.wait(lambda: "text").sum()
    with pytest.raises(ZeroDivisionError):
        cnn._cnn.wait(lambda: 1 / 0).sum()
    assert cnn._cnn.wait(lambda: np.ones(3, np.float32)).sum() == 3 and not cnn._cnn.may_wait()
    with pytest.raises(TypeError, match=r"Tensor\.backward\(\) got an unexpected keyword argument 'foo'"):
        leaf = cnn.ones(2, requires_grad=True)
        leaf.sum().backward(foo=1)


def test_counters_count():
    counter, view = cnn.tensor(2**63 - 1), cnn.zeros(3, dtype=cnn.int64)
    cnn._cnn.increment(counter)
    cnn._cnn.increment(view[0])
    assert counter.item() == -(2**63) and counter._version == 1
    assert view.tolist() == [1, 0, 0] and view._version == 1
