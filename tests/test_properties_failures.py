"""Entry points that run out of memory, or are called again and again: nothing half done, nothing kept.

Each call runs in a thread of its own with one worker, so that the kernels' scratch memory is asked for anew and its
requests are among those that fail.
"""

import gc
import signal
import sys
import threading
import time

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, Numbers, at, contents, put, results, slots
from harness import SANITIZED

import cnn
from cnn import _cnn
from cnn.nn import functional as F


@pytest.fixture(autouse=True)
def one_thread():
    before = cnn.get_num_threads()
    cnn.set_num_threads(1)
    yield
    cnn.set_num_threads(before)


def in_a_thread(function):
    """function() in a thread of its own: its result, or its exception, raised here."""
    outcome = {}

    def run():
        try:
            outcome["result"] = function()
        except BaseException as error:  # noqa: B036 (raised again below)
            outcome["error"] = error.with_traceback(None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome.pop("error")
    return outcome["result"]


def in_use():
    return _cnn.memory_stats()["in_use"]


def memory_comes_back(before):
    """A thread's scratch memory goes when the thread does, which is a moment after join(). That of the thread before
    it may have been among what was in use."""
    deadline = time.monotonic() + 10
    while in_use() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    return in_use() <= before


def fail_one_request_after_the_other(function, check):
    """function() with its first, second, ... request for memory refused, until it needs no more. Counts the failures;
    check() runs after each."""
    failures = 0
    while True:
        before = in_use()

        def attempt(failures=failures):
            _cnn.fail_allocation_after(failures)
            try:
                return function()
            finally:
                _cnn.fail_allocation_after(-1)

        try:
            result = in_a_thread(attempt)
        except MemoryError as error:
            assert str(error)
            del error
            failures += 1
            assert memory_comes_back(before)
            check()
            assert failures < 200
            continue
        return result, failures


# What lives in none of our memory: None, a number, a string, an array that NumPy or the caller owns.
NO_REQUESTS = {"conv2d_check", "conv2d_explain", "outside_unit", "copy_order"}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_request_refused_once(name):
    """MemoryError, every array as it was, those that change in place too; then the right result."""
    point = ENTRY_POINTS[name]
    expected = point(point.arguments())
    arguments = point.arguments()
    before = contents(arguments)

    def untouched():
        assert contents(arguments) == before

    result, failures = fail_one_request_after_the_other(lambda: point(arguments), untouched)
    for a, b in zip(results(result), results(expected), strict=True):
        if isinstance(b, np.ndarray):
            assert a.tobytes() == b.tobytes()
    fresh = [r for r in results(result) if isinstance(r, np.ndarray) and not any(r is a for a in arguments.values())]
    assert failures >= len(fresh) or name in NO_REQUESTS


@pytest.mark.parametrize("name", [n for n in ENTRY_POINTS if ENTRY_POINTS[n].changed and "Generator" not in n])
def test_requests_for_copies_refused(name):
    """Arrays that are not dense are changed by way of a copy."""
    point = ENTRY_POINTS[name]
    arguments = point.arguments()
    for slot in list(slots(arguments)):
        a = at(arguments, slot)
        if a.ndim:
            wide = np.repeat(a, 2, -1)
            arguments = put(arguments, slot, wide[..., ::2])
    before = contents(arguments)

    def untouched():
        assert contents(arguments) == before

    try:
        fail_one_request_after_the_other(lambda: point(arguments), untouched)
    except ValueError as error:
        assert "must be writable and dense" in str(error)
    assert all(at(arguments, slot).flags.writeable for slot in slots(arguments))


BIG = {
    # name: (function of an input, shape): sizes at which other ways through the kernels are taken
    "conv2d 3x3": (lambda x: F.conv2d(x, cnn.ones(32, 32, 3, 3), padding=1), (2, 32, 20, 20)),
    "conv2d 1x1": (lambda x: F.conv2d(x, cnn.ones(32, 32, 1, 1)), (2, 32, 20, 20)),
    "conv2d 5x5 stride 2": (lambda x: F.conv2d(x, cnn.ones(16, 3, 5, 5), stride=2), (2, 3, 40, 40)),
    "conv2d depthwise": (lambda x: F.conv2d(x, cnn.ones(32, 1, 3, 3), groups=32), (2, 32, 20, 20)),
    "conv2d groups": (lambda x: F.conv2d(x, cnn.ones(32, 8, 3, 3), groups=4), (2, 32, 20, 20)),
    "linear": (lambda x: F.linear(x, cnn.ones(300, 200), cnn.ones(300)), (150, 200)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2), (2, 16, 40, 40)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), (4, 16, 40, 40)),
}


@pytest.mark.parametrize("name", BIG)
def test_every_request_refused_once_forward_and_backward(name):
    function, shape = BIG[name]
    array = np.random.default_rng(3).standard_normal(shape).astype(np.float32)

    def step():
        x = cnn.from_numpy(array.copy()).requires_grad_(True)
        y = function(x)
        y.backward(cnn.ones_like(y))
        return y._a.copy(), x.grad._a.copy()

    expected = in_a_thread(step)
    gc.collect()
    got, failures = fail_one_request_after_the_other(step, gc.collect)
    assert failures >= 2
    for a, b in zip(got, expected, strict=True):
        assert a.tobytes() == b.tobytes()


# ---- again and again ----


def wrong_calls(point):
    """Arguments that are refused, early and late."""
    for slot in slots(point.arguments()):
        a = at(point.arguments(), slot)
        yield put(point.arguments(), slot, None)
        yield put(point.arguments(), slot, a.astype("complex64"))
        yield put(point.arguments(), slot, a[None])
        if a.ndim:
            yield put(point.arguments(), slot, np.concatenate([a, a], -1))
    for name, value in point.arguments().items():
        if isinstance(value, Numbers) and value:
            yield {**point.arguments(), name: Numbers(*value[:-1], "x")}
        elif isinstance(value, list):
            yield {**point.arguments(), name: value[:-1]}
        elif not isinstance(value, np.ndarray):
            yield {**point.arguments(), name: "x"}


def references(arguments):
    return [sys.getrefcount(at(arguments, slot)) for slot in slots(arguments)]


@pytest.mark.skipif(not hasattr(sys, "getallocatedblocks"), reason="this Python does not count its blocks")
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_nothing_is_kept(name):
    """No reference to an argument, none of our memory and no Python object, on success and on every error."""
    point = ENTRY_POINTS[name]
    for arguments in (point.arguments(), *wrong_calls(point)):

        def call(arguments=arguments):
            try:
                point(arguments)
            except (TypeError, ValueError, IndexError, OverflowError):
                pass

        call()  # what is made once (interned strings, imports) does not count
        held, memory = references(arguments), in_use()
        growth = [10]
        while growth[-1] >= 10 and len(growth) < 12 and not SANITIZED:
            blocks = sys.getallocatedblocks()
            for _ in range(10):
                call()
            growth.append(sys.getallocatedblocks() - blocks)
        assert references(arguments) == held
        assert in_use() <= memory
        # A leak grows by ten blocks in every round of ten calls; Python's own caches are full after a few.
        assert SANITIZED or growth[-1] < 10, f"{growth[1:]} blocks more after ten calls each"


# ---- Interrupted while the kernel runs -----------------------------------------------------------------------------

LARGE = (4, 16, 512, 512)
INTERRUPTED = {
    "relu_forward": lambda x: _cnn.relu_forward(x),
    "relu_backward": lambda x: _cnn.relu_backward(x, x),
    "dropout": lambda x: _cnn.dropout(x, np.ones(x.shape, np.uint8), 0.5),
    "feature_dropout": lambda x: _cnn.feature_dropout(x, np.ones(x.shape[:2], np.uint8), 0.5),
    "adaptive_avg_pool2d_forward": lambda x: _cnn.adaptive_avg_pool2d_forward(x, 3, 3),
    "adaptive_max_pool2d_forward": lambda x: _cnn.adaptive_max_pool2d_forward(x, 3, 3),
    "avg_pool2d_forward": lambda x: _cnn.avg_pool2d_forward(x, 3, 3, 1, 1, 1, 1, False, True, 0),
    "max_pool2d_forward": lambda x: _cnn.max_pool2d_forward(x, 3, 3, 1, 1, 1, 1, 1, 1, False, True),
    "softmax_forward": lambda x: _cnn.softmax_forward(x, 3),
    "conv2d_forward": lambda x: _cnn.conv2d_forward(x, x[:, :, :3, :3].copy(), None, *[1] * 9, 0, 0, None),
    "mse_loss_backward": lambda x: _cnn.mse_loss_backward(x, x, x, None, 0.0, 0),
    "add": lambda x: _cnn.add(x, x),
    "prelu_forward": lambda x: _cnn.prelu_forward(x, x[0, :, 0, 0].copy()),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_interrupt_leaves_no_memory_behind(name):
    x = np.ones(LARGE, np.float32)
    INTERRUPTED[name](x)
    before, handler = in_use(), signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        for delay in (0.001, 0.003, 0.006):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, delay)
                end = time.monotonic() + 30
                while time.monotonic() < end:  # the last call is cut off in its kernel, most times
                    INTERRUPTED[name](x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    gc.collect()
    assert in_use() <= before
