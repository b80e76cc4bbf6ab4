"""Tests in processes of their own: Python scripts, and the C programs of tests/c, plain and under sanitizers."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest

import cnn

SOURCES = pathlib.Path(__file__).with_name("c")

SANITIZERS = {
    "plain": [],
    "tsan": ["-fsanitize=thread"],
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
}

OPTIONS = {
    "TSAN_OPTIONS": "die_after_fork=0 report_thread_leaks=0",
    "ASAN_OPTIONS": "allocator_may_return_null=1",
}


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments, timeout=60, **environment):
        """Run it and return what it printed. Fails the test with its messages if it does."""
        result = subprocess.run(
            [self.path, *map(str, arguments)],
            env={**os.environ, **OPTIONS, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == 0, f"{arguments}: exit status {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout


def build(name, kind, folder):
    """Compile tests/c/NAME.c into folder. Skips the test if this machine cannot."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no C compiler ({compiler[0]})")
    program = folder / f"{name}_{kind}"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", *SANITIZERS[kind]]
    result = subprocess.run(
        [*compiler, *flags, str(SOURCES / f"{name}.c"), "-o", str(program)], capture_output=True, text=True
    )
    if result.returncode != 0 and kind != "plain":
        pytest.skip(f"the compiler has no {kind}: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    return Program(program)


def run_to_its_end(text, timeout=120, **environment):
    """Run Python code in a process of its own, which may fail: subprocess.run's result, with text."""
    root = pathlib.Path(cnn.__file__).parents[1]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_script(text, timeout=120, **environment):
    """The same for code that must succeed; returns what it printed."""
    result = run_to_its_end(text, timeout, **environment)
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout
