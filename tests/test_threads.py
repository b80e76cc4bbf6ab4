"""The pool of threads: on its own, in the C program tests/c/test_threads.c, and under Python."""

import os
import signal
import sys
import threading
import time

import child_processes
import numpy as np
import pytest

import cnn
from cnn import _cnn
from cnn.nn.functional import relu

RACES = ["each_chunk_once", "pauses", "nested", "concurrent_callers", "changing_count", "same_bits", "abort",
         "abort_nested", "poll", "fork", "fork_while_running", "fork_in_poll"]  # fmt: skip
OTHERS = ["bounds", "no_threads", "environment"]


@pytest.fixture(scope="module", params=["plain", "tsan"])
def program(request, tmp_path_factory):
    return child_processes.build("test_threads", request.param, tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory):
    return child_processes.build("test_threads", "plain", tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("name", RACES)
def test_pool(program, name):
    program.run(name)


@pytest.mark.parametrize("name", OTHERS)
def test_helpers(plain_program, name):
    if name == "no_threads" and sys.platform != "linux":
        pytest.skip("the system does not limit the address space")
    plain_program.run(name)


@pytest.mark.parametrize("text, expected", [("3", 3), ("5,2", 5), ("", None), ("0", None), ("many", None)])
def test_default_count(plain_program, text, expected):
    threads, cpus = map(int, plain_program.run("count", OMP_NUM_THREADS=text).split())
    assert threads == (cpus if expected is None else expected)


def test_count_follows_affinity(plain_program):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no CPU affinity on this system")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert plain_program.run("count", OMP_NUM_THREADS="").split() == ["1", "1"]
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    "membership, files, expected",
    [
        # version 2: the limit of the group, of a group around it, of none
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/on/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 0),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, 0),
        ("0::/a\n", {"a/cpu.max": "100000 0\n"}, 0),
        ("0::/a\n", {"a/cpu.max": "99999999999999999 1\n"}, 256),
        # version 1
        ("4:cpu,cpuacct:/d\n", {"cpu/d/cpu.cfs_quota_us": "250000\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, 3),
        ("4:cpuacct,cpu:/d\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("4:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, 0),
        ("4:cpuset:/d\n", {"cpu/d/cpu.cfs_quota_us": "100000\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, 0),
        # both, nothing, rubbish
        (
            "1:cpu:/d\n0::/a\n",
            {"cpu/d/cpu.cfs_quota_us": "300000\n", "cpu/d/cpu.cfs_period_us": "100000\n", "a/cpu.max": "200000 100000"},
            2,
        ),
        ("", {}, 0),
        ("rubbish\n:\n::\n0:\n", {}, 0),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")
def test_quota(plain_program, tmp_path, membership, files, expected):
    (tmp_path / "cgroup").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "mounts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert int(plain_program.run("quota", tmp_path / "cgroup", tmp_path / "mounts")) == expected


# ---- The pool under Python ------------------------------------------------------------------------------------------


@pytest.fixture
def threads():
    """Set the number of threads; it is put back afterwards."""
    before = cnn.get_num_threads()
    yield cnn.set_num_threads
    cnn.set_num_threads(before)


def test_number_of_threads(threads):
    for n in (1, 2, 7, 1):
        threads(n)
        assert cnn.get_num_threads() == n
    _cnn.set_num_threads(10**9)
    assert cnn.get_num_threads() == 256
    for wrong, error in [(0, ValueError), (-1, ValueError), (2**70, ValueError), (1.5, TypeError), ("2", TypeError)]:
        with pytest.raises(error, match="set_num_threads"):
            _cnn.set_num_threads(wrong)


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "2", "3,1", "99999999999999999999"])
def test_odd_environments(text):
    script = "import cnn; print(cnn.get_num_threads(), cnn.nn.functional.relu(cnn.randn(1 << 18)).min().item())"
    out = child_processes.run_script(script, OMP_NUM_THREADS=text)
    n, smallest = out.split()
    expected = {"2": 2, "3,1": 3, "99999999999999999999": 256}.get(text)
    assert float(smallest) == 0 and (int(n) == expected if expected else 1 <= int(n) <= 256)


def test_forks_after_a_kernel_ran():
    """200 forks, each child computes the same bits with a pool of its own, none hangs."""
    child_processes.run_script(
        """
        import os, time
        import cnn
        from cnn.nn.functional import relu
        cnn.set_num_threads(3)
        x = cnn.randn(300_001)
        expected = relu(x).numpy().tobytes()
        for number in range(200):
            child = os.fork()
            if child == 0:
                same = relu(x).numpy().tobytes() == expected and cnn.rand(3).shape == (3,)
                os._exit(0 if same else 1)
            end = time.monotonic() + 5
            while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
                assert time.monotonic() < end, f"child {number} hangs"
                time.sleep(0.001)
            assert done[1] == 0, f"child {number}: other bits"
        assert relu(x).numpy().tobytes() == expected
        """
    )


def test_fork_beside_a_busy_thread():
    """The parent forks while its other threads are inside kernels, hold the pool and a generator."""
    child_processes.run_script(
        """
        import os, threading, time
        import cnn
        from cnn.nn.functional import relu
        cnn.set_num_threads(3)
        x = cnn.randn(2_000_000)
        stop = False
        def work():
            while not stop:
                relu(x)
                cnn.rand(500_000)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for t in threads:
            t.start()
        for number in range(50):
            child = os.fork()
            if child == 0:
                y = relu(x)
                cnn.rand(100_000)
                os._exit(0 if y.min().item() == 0 else 1)
            end = time.monotonic() + 10
            while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
                assert time.monotonic() < end, f"child {number} hangs"
                time.sleep(0.002)
            assert done[1] == 0
        stop = True
        for t in threads:
            t.join()
        """
    )


def test_ctrl_c_in_one_giant_kernel(threads):
    """200 signals at random times into a kernel that would take seconds: 99 of 100 are answered within 0.2 s."""
    threads(2)
    x = cnn.randn(8, 64, 128, 128)
    conv = cnn.nn.Conv2d(64, 64, 11, padding=5)
    random = np.random.default_rng(0)
    waits = []
    for _ in range(200):
        delay, sent = random.uniform(0.002, 0.02), []

        def send(delay=delay, sent=sent):
            time.sleep(delay)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=send)
        with pytest.raises(KeyboardInterrupt):
            sender.start()
            conv(x)
        waits.append(time.perf_counter() - sent[0])
        sender.join()
    assert sorted(waits)[197] < 0.2, f"slowest: {sorted(waits)[-5:]}"
    assert conv(x[:1, :, :3, :3]).shape == (1, 64, 3, 3)  # and the pool still works


def test_signal_handler_that_runs_a_kernel(threads):
    """A handler computes in the middle of a kernel and returns: both results are right."""
    threads(2)
    x, small = cnn.randn(4, 32, 64, 64), cnn.randn(1, 32, 8, 8)
    conv = cnn.nn.Conv2d(32, 32, 3)
    with cnn.no_grad():
        expected, small_expected = conv(x).numpy().tobytes(), conv(small).numpy().tobytes()
        seen = []

        def handler(number, frame):
            seen.append(conv(small).numpy().tobytes())

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                assert conv(x).numpy().tobytes() == expected
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert len(seen) > 3 and set(seen) == {small_expected}


def test_kernels_from_many_threads(threads):
    """8 Python threads share the pool while the number of threads changes under them."""
    threads(3)
    x = cnn.randn(200_003)
    expected = relu(x).numpy().tobytes()
    wrong = []

    def work():
        for _ in range(50):
            if relu(x).numpy().tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for w in workers:
        w.start()
    n = 1
    while any(w.is_alive() for w in workers):
        threads(n % 5 + 1)
        n += 1
        time.sleep(0.001)
    assert not wrong


def test_other_threads_run_during_a_kernel(threads):
    threads(2)
    x, conv = cnn.randn(8, 64, 64, 64), cnn.nn.Conv2d(64, 64, 3, padding=1)
    ticks = 0
    stop = threading.Event()

    def tick():
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0.0005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    start, before = time.perf_counter(), ticks
    with cnn.no_grad():
        while time.perf_counter() - start < 0.5:
            conv(x)
    during = ticks - before
    stop.set()
    ticker.join()
    assert during > 50
