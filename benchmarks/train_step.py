"""One training step, cnn's beside PyTorch's, in one run: time, peak memory, page faults.

    python benchmarks/train_step.py                       the course's network at batches 4, 128 and 4096
    python benchmarks/train_step.py --nets reference resnet18 --batches 128

Every side runs in a process of its own, the sides take turns. "ratio" is the side's median over cnn's: above 1, cnn is
faster. The ratio to look at is the one to torch channels_last, its better float32 mode, and to torch NCHW, which is
what a script gets by default.
"""

import argparse
import json
import platform
from pathlib import Path

from compare import compare, table


def jobs(net, batch, threads, sides):
    base = {"net": net, "batch": batch, "threads": threads, "mode": "train", "warm_up": 2}
    every = {
        "cnn": {"library": "cnn"},
        "torch NCHW (default)": {"library": "torch"},
        "torch channels_last": {"library": "torch", "layout": "channels_last"},
        "torch channels_last, malloc": {"library": "torch", "layout": "channels_last", "tuned_malloc": True},
        "torch bf16 autocast": {"library": "torch", "layout": "channels_last", "bf16": True},
        "torch.compile": {"library": "torch", "compile": True},
    }
    return {name: base | job for name, job in every.items() if name == "cnn" or name in sides}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["reference", "student"])
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 128, 4096])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one turn (a step longer than that runs once)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sides", nargs="+", default=["torch NCHW (default)", "torch channels_last"])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, {args.rounds} rounds")
    figures = {}
    for net in args.nets:
        for batch in args.batches:
            results = compare(jobs(net, batch, args.threads, args.sides), args.seconds, args.rounds)
            table(f"{net}, batch {batch}", results)
            figures[f"{net}/{batch}"] = results
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
