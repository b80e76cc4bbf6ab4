"""Steps beside other processes that want the same cores: what all threads take, against one thread.

    python benchmarks/busy_neighbours.py                          beside 0, 1 and 2 busy processes
    python benchmarks/busy_neighbours.py --peers "torch default"  PyTorch as well

A pool that waits for descheduled threads can be many times slower there than one thread. The limits: at most 1.3 times
the median of one thread, and 2 times at the 90th percentile. The exit status is 1 if cnn passes one.
"""

import subprocess
import sys

from compare import PEERS, arguments, compare, save

JOBS = {
    "training, student's net, batch 32": {"net": "student", "batch": 32, "mode": "train"},
    "inference, reference net, batch 1": {"net": "reference", "batch": 1, "mode": "infer"},
}


def main():
    parser = arguments(__doc__)
    parser.set_defaults(peers=[])
    args = parser.parse_args()
    libraries = {"cnn": {"library": "cnn"}} | {name: PEERS[name] for name in args.peers}
    figures, too_slow = {}, []
    for title, job in JOBS.items():
        print(f"\n{title}")
        print(f"  {'':36}{'median ms':>11}{'p90 ms':>9}{'of 1 thread':>13}{'p90':>7}")
        jobs = {
            (name, threads): job | library | {"threads": threads}
            for name, library in libraries.items()
            for threads in (1, args.threads)
        }
        for neighbours in range(3):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
            try:
                results = compare(jobs, args)
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
            print(f"  beside {neighbours} busy processes")
            for (name, threads), r in results.items():
                one = results[name, 1]
                ratio, p90 = r["median"] / one["median"], r["p90"] / one["p90"]
                label = f"{name}, {threads} thread{'s' * (threads > 1)}"
                print(f"    {label:34}{r['median']:11.2f}{r['p90']:9.2f}{ratio:13.2f}{p90:7.2f}", flush=True)
                figures[f"{title}/{neighbours}/{label}"] = r
                if name == "cnn" and (ratio > 1.3 or p90 > 2):
                    too_slow.append(f"{title}, beside {neighbours}")
    save(args, figures)
    print(f"\nTOO SLOW: {'; '.join(too_slow)}" if too_slow else "\nwithin the limits")
    return 1 if too_slow else 0


if __name__ == "__main__":
    sys.exit(main())
