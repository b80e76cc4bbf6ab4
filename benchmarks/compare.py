"""Runs sides of a comparison in turns: A, B, A, B, ..., each in a process of its own, never two at once."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# glibc gives big blocks back to the system and faults them in again each step, unless told to keep them.
TUNED_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


class Side:
    """A worker process."""

    def __init__(self, name, job):
        self.name, self.job, self.times = name, job, []
        environment = dict(os.environ, OMP_NUM_THREADS=str(job["threads"]), PYTHONPATH=str(HERE.parent))
        if job.get("tuned_malloc"):
            environment.update(TUNED_MALLOC)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended: {json.dumps(self.job)}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self, seconds):
        self.times += self.ask(f"run {seconds}")

    def result(self):
        stats = self.ask("stats")
        return {
            "best": min(self.times),
            "median": statistics.median(self.times),
            "steps": len(self.times),
            "peak_mb": stats["peak"] / 1e6,
            "faults": stats["faults"],
        }

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def compare(jobs, seconds=1.5, rounds=4):
    """jobs: {name: job}. Returns {name: result}; the sides take turns for `rounds` rounds of `seconds`."""
    sides = []
    try:
        for name, job in jobs.items():
            sides.append(Side(name, job))
        for _ in range(rounds):
            for side in sides:
                side.run(seconds)
        return {side.name: side.result() for side in sides}
    finally:
        for side in sides:
            side.close()


def table(title, results, ours="cnn"):
    """Prints a table; ratios are medians of the peer over ours."""
    print(f"\n{title}")
    print(f"  {'':28}{'best ms':>10}{'median ms':>11}{'ratio':>8}{'peak MB':>9}{'faults/step':>13}")
    for name, r in results.items():
        ratio = r["median"] / results[ours]["median"]
        print(
            f"  {name:28}{r['best']:10.2f}{r['median']:11.2f}{ratio:8.2f}{r['peak_mb']:9.0f}{r['faults']:13.0f}",
            flush=True,
        )
