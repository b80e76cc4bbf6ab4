"""Steps beside other processes that want the same cores: what all threads take, against one thread.

    python benchmarks/busy_neighbours.py               a training step and inference, beside 0, 1 and 2 busy processes
    python benchmarks/busy_neighbours.py --torch       PyTorch as well

A pool that waits for descheduled threads can be many times slower than one thread there. The limits: at most 1.3 times
the median of one thread, and 2 times at the 90th percentile. The exit status is 1 if cnn passes one.
"""

import argparse
import statistics
import subprocess
import sys

from compare import Side

JOBS = {
    "training, student's net, batch 32": {"net": "student", "batch": 32, "mode": "train"},
    "inference, reference net, batch 1": {"net": "reference", "batch": 1, "mode": "infer"},
}


def measure(jobs, neighbours, seconds, rounds):
    """{name: milliseconds of each step}, the sides in turns, beside that many spinning processes."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    sides = []
    try:
        for name, job in jobs.items():
            sides.append(Side(name, job))
        for _ in range(rounds):
            for side in sides:
                side.run(seconds)
        return {side.name: side.times for side in sides}
    finally:
        for side in sides:
            side.close()
        for process in spinning:
            process.kill()
            process.wait()


def p90(times):
    return statistics.quantiles(times, n=10)[-1] if len(times) > 1 else times[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--torch", action="store_true")
    args = parser.parse_args()
    passed = True
    for title, job in JOBS.items():
        print(f"\n{title}")
        print(f"  {'':24}{'median ms':>11}{'p90 ms':>9}{'of 1 thread':>13}{'p90':>7}")
        jobs = {
            f"{library}, {n} thread{'s' * (n > 1)}": job | {"library": library, "threads": n}
            for library in (["cnn", "torch"] if args.torch else ["cnn"])
            for n in (1, args.threads)
        }
        for neighbours in range(3):
            print(f"  beside {neighbours} busy processes")
            for name, times in measure(jobs, neighbours, args.seconds, args.rounds).items():
                median, high = statistics.median(times), p90(times)
                if name.endswith("1 thread"):
                    base = median, p90(times)
                ratio, high_ratio = median / base[0], high / base[1]
                print(f"    {name:22}{median:11.2f}{high:9.2f}{ratio:13.2f}{high_ratio:7.2f}")
                if name.startswith("cnn") and (ratio > 1.3 or high_ratio > 2):
                    passed = False
    print("\nwithin the limits" if passed else "\nTOO SLOW beside busy processes")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
