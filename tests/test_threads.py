"""The pool of threads, on its own. Most of it is the C program tests/c/test_threads.c."""

import os
import sys

import c_programs
import pytest

RACES = ["each_chunk_once", "pauses", "nested", "concurrent_callers", "changing_count", "same_bits", "abort",
         "abort_nested", "poll", "fork", "fork_while_running", "fork_in_poll"]  # fmt: skip
OTHERS = ["bounds", "no_threads", "environment"]


@pytest.fixture(scope="module", params=["plain", "tsan"])
def program(request, tmp_path_factory):
    return c_programs.build("test_threads", request.param, tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory):
    return c_programs.build("test_threads", "plain", tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("name", RACES)
def test_pool(program, name):
    program.run(name)


@pytest.mark.parametrize("name", OTHERS)
def test_helpers(plain_program, name):
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
