"""The caching allocator: on its own, in the C program tests/c/test_memory.c, and under NumPy arrays."""

import pickle
import re
import signal
import sys
import threading
import tracemalloc

import child_processes
import numpy as np
import pytest
from harness import needs_torch, torch

import cnn
from cnn import _cnn

# Exact sizes, cached blocks and faults differ under the sanitizers by design, and their own allocators may hang in the
# child of a fork among threads.
PLAIN = ["sizes", "alignment", "reuse", "too_large", "bound", "no_faults", "arena", "cutting", "fork"]
ANY = ["resize", "zeroed", "failing", "scratch", "threads"]


@pytest.fixture(scope="module", params=["plain", "tsan", "asan"])
def program(request, tmp_path_factory):
    return child_processes.build("test_memory", request.param, tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory):
    return child_processes.build("test_memory", "plain", tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("name", PLAIN)
def test_allocator(plain_program, name):
    if name == "too_large" and sys.platform != "linux":
        pytest.skip("the system does not limit the address space")
    plain_program.run(name)


@pytest.mark.parametrize("name", ANY)
def test_allocator_checked(program, name):
    program.run(name)


@pytest.mark.parametrize("name", ANY)
def test_allocator_with_guard_bytes(plain_program, name):
    plain_program.run(name, CNN_GUARD="1")


# ---- Under NumPy arrays ----------------------------------------------------------------------------------------------


def in_use():
    return _cnn.memory_stats()["in_use"]


def test_an_array_is_an_ordinary_one():
    before = in_use()
    a = _cnn.empty((300, 50), np.float32)
    assert a.flags.owndata and a.flags.writeable and a.flags.c_contiguous and a.base is None
    assert a.ctypes.data % 64 == 0 and in_use() >= before + a.nbytes
    a[...] = np.arange(15000).reshape(300, 50)
    for size in [(600, 50), (2000, 1000), (300, 50), (1, 2)]:  # through the allocator's realloc
        a.resize(size, refcheck=False)
        assert a.flat[0] == 0 and a.flat[1] == 1
    assert pickle.loads(pickle.dumps(a)).tolist() == [[0, 1]]
    view = a[:, ::-1]
    del a
    assert view.tolist() == [[1, 0]]
    del view
    assert in_use() == before


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (1,), (7, 3)])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float64])
def test_shapes_and_types(shape, dtype):
    before = in_use()
    a = _cnn.empty(shape, dtype)
    assert a.shape == shape and a.dtype == dtype and a.flags.c_contiguous
    assert a.size == 0 or a.strides == np.empty(shape, dtype).strides
    del a
    assert in_use() == before


def test_the_same_memory_is_handed_out_again():
    for size in (10, 5000, 3_000_000):
        a = _cnn.empty(size, np.float32)
        address = a.ctypes.data
        del a
        assert _cnn.empty(size - 1, np.float32).ctypes.data == address


def test_figures():
    cnn.empty_cache()
    start = _cnn.memory_stats()
    assert start["cached"] == 0
    _cnn.reset_peak_memory()
    a = _cnn.empty(10_000_000, np.uint8)
    del a
    now = _cnn.memory_stats()
    assert now["in_use"] == start["in_use"] and now["peak"] - start["in_use"] == now["cached"] >= 10_000_000
    cnn.empty_cache()
    assert _cnn.memory_stats()["cached"] == 0


MISTAKES = [
    (lambda: _cnn.empty(2**62, np.float32), ValueError, "too big"),
    (lambda: _cnn.empty((2**40, 2**40), np.uint8), ValueError, "too big"),
    (lambda: _cnn.empty(2**45, np.float32), MemoryError, "cannot get 140737488355328 bytes"),
    (lambda: _cnn.empty(2**43, np.float32), MemoryError, "cannot get 35184372088832 bytes"),
    (lambda: _cnn.empty(-1, np.float32), ValueError, "too big|negative"),
    (lambda: _cnn.empty("x", np.float32), TypeError, "integer"),
    (lambda: _cnn.empty(3, object), TypeError, "type of numbers, got object"),
    (lambda: _cnn.empty(3, "U5"), TypeError, "type of numbers"),
    (lambda: _cnn.empty(3), TypeError, "expected 2 arguments, got 1"),
    (lambda: _cnn.fail_allocation_after(-2), ValueError, "between -1"),
    (lambda: _cnn.fail_allocation_after("x"), TypeError, "must be an integer"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes(number):
    call, error, message = MISTAKES[number]
    before = in_use()
    with pytest.raises(error, match=message):
        call()
    assert in_use() == before


CALLS = {
    "relu": lambda x: _cnn.relu_forward(x),
    "conv2d": lambda x: cnn.nn.functional.conv2d(cnn.from_numpy(x), cnn.ones(3, 2, 3, 3)),
    "cat": lambda x: _cnn.cat([x, x], 1),
    "rand": lambda x: cnn.rand(300, 300),
    "randperm": lambda x: cnn.randperm(1000),
    "multinomial": lambda x: cnn.multinomial(cnn.ones(5, 7), 3, True),
    "state": lambda x: cnn.get_rng_state(),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_failing_request(name):
    """The k-th request for memory fails, for every k: MemoryError, nothing lost, and the next call works."""
    x = np.ones((4, 2, 40, 40), np.float32)
    CALLS[name](x)
    before, failures = in_use(), 0
    while True:
        _cnn.fail_allocation_after(failures)
        try:
            result = CALLS[name](x)
        except MemoryError:
            failures += 1
            assert in_use() <= before  # less: scratch was given back before the larger one was asked for
            continue
        finally:
            _cnn.fail_allocation_after(-1)
        break
    assert failures >= 1 and result is not None


def test_freed_by_other_threads():
    before = in_use()
    arrays = [_cnn.empty(1000 * i, np.float32) for i in range(200)]

    def drop():
        while arrays:
            try:
                arrays.pop()
            except IndexError:
                return

    threads = [threading.Thread(target=drop) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert in_use() == before


def test_tracemalloc():
    tracemalloc.start()
    try:
        a = _cnn.empty(100_000, np.float32)
        a.resize(200_000, refcheck=False)
        del a
    finally:
        tracemalloc.stop()


def test_arrays_outlive_the_interpreter():
    child_processes.run_script(
        """
        import threading
        import numpy as np
        import cnn
        from cnn import _cnn
        kept = [_cnn.empty(n, np.float32) for n in (1, 1000, 10**6)]
        tensor = cnn.nn.functional.relu(cnn.randn(1000, 1000))
        threading.Thread(target=lambda: [cnn.rand(10**6) for _ in range(10)], daemon=True).start()
        """
    )


def test_a_steady_step_faults_no_pages():
    """resource counts the pages that the system had to bring in: after warm-up next to none, of 30,000 written."""
    out = child_processes.run_script(
        """
        import resource
        import numpy as np
        from cnn import _cnn

        def step():
            x = _cnn.relu_forward(data)
            y = _cnn.relu_forward(x)
            z = _cnn.relu_forward(y)
            dy = _cnn.relu_backward(z, z)
            dx = _cnn.relu_backward(dy, y)
            _cnn.relu_backward(dx, x)

        data = np.ones((64, 32, 64, 40), np.float32)
        for _ in range(3):
            step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        """
    )
    assert int(out) < 50


# ---- Guard bytes -----------------------------------------------------------------------------------------------------

DAMAGES = {  # what is done to a block at `start`, and what is said about it
    "at its end": ("ctypes.memset(start + size, 0, 1)", "behind its end: bytes 0 to 0 from there"),
    "behind its end": ("ctypes.memset(start + size + 4, 0, 8)", "behind its end: bytes 4 to 11 from there"),
    "in front": ("ctypes.memset(start - 4, 0, 4)", "before its beginning: bytes -4 to -1 from there"),
    "given back": ("ctypes.memset(start + 8, 0, 4)", "after it was given back: bytes 8 to 11 from there"),
    "nothing": ("ctypes.memset(start, 0, size)", None),
}


@pytest.mark.parametrize(
    ("name", "size"),
    # Large blocks go back to the system at once.
    [(name, size) for name in DAMAGES for size in (12, 4000, 3_000_001) if name != "given back" or size < 2_000_000],
)
def test_guard_bytes(name, size):
    damage, message = DAMAGES[name]
    result = child_processes.run_to_its_end(
        f"""
        import ctypes
        import numpy as np
        from cnn import _cnn

        size = {size}
        block = _cnn.empty(size, np.uint8)
        assert (block == 255).all()  # as a float: NaN
        start = block.ctypes.data
        if {name == "given back"}:
            del block
            {damage}
            block = _cnn.empty(size, np.uint8)
        else:
            {damage}
            del block
        print("done")
        """,
        CNN_GUARD="1",
    )
    if message is None:
        assert result.returncode == 0 and result.stdout == "done\n"
    else:
        assert result.returncode == -signal.SIGABRT
        assert re.search(
            rf"cnn: CNN_GUARD: a block of {size} bytes \(at 0x\w+\) was overwritten {message}", result.stderr
        )


@needs_torch
def test_torch_can_share_it():
    a = _cnn.empty((3, 4), np.float32)
    a[...] = 2
    t = torch.from_numpy(a)
    del a
    assert t.sum().item() == 24


@pytest.mark.parametrize(
    ("channels", "side", "kernel", "stride", "groups"),
    [(512, 4, 3, 1, 1), (64, 16, 3, 1, 1), (64, 16, 5, 2, 1), (64, 16, 3, 1, 64), (64, 16, 3, 2, 8), (64, 16, 1, 1, 1)],
)
def test_what_convolutions_borrow_comes_back(channels, side, kernel, stride, groups):
    x, w = (np.ones(s, np.float32) for s in ((1, channels, side, side), (channels, channels // groups, kernel, kernel)))
    how = (stride, stride, *[kernel // 2] * 4, 1, 1, groups, 0)

    def call():
        y = _cnn.conv2d_forward(x, w, None, *how, 0, None)
        _cnn.conv2d_backward(y, x, w, *how, True, True, True, False)

    call()
    before = in_use()
    for _ in range(3):
        call()
    assert in_use() <= before
