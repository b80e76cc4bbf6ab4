"""Runs the sides of a comparison in turns: A, B, A, B, ..., each in a process of its own, never two at once."""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from nets import NETS

HERE = Path(__file__).parent
# glibc gives big blocks back to the system and faults them in again each step, unless told to keep them.
TUNED_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
# What a network or layer is compared with. "default" is what a PyTorch script gets that asks for nothing.
PEERS = {
    "torch default": {"library": "torch"},
    "torch channels_last": {"library": "torch", "layout": "channels_last"},
    "torch channels_last, malloc": {"library": "torch", "layout": "channels_last", "tuned_malloc": True},
    "torch.compile": {"library": "torch", "compile": True},
    "torch bf16 autocast": {"library": "torch", "layout": "channels_last", "bf16": True},
    "onnxruntime": {"library": "onnxruntime"},
}


def checkout(folder):
    """A peer named "before": cnn as another folder has it; for argparse."""
    if not list(Path(folder, "cnn").glob("_cnn*")):
        raise argparse.ArgumentTypeError(f"expected a checkout of cnn with its extension built, got {folder!r}")
    PEERS["before"] = {"library": "cnn", "checkout": str(Path(folder).resolve())}
    return folder


TITLES = {"train": "training step", "infer": "inference"}


def arguments(doc):
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one turn (a step longer than that runs once)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--peers", nargs="*", default=["torch default", "torch channels_last"], help=", ".join(PEERS))
    parser.add_argument(
        "--before", type=checkout, metavar="FOLDER", help='another checkout of cnn, built: what "--peers before" means'
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


class Side:
    """A worker process."""

    def __init__(self, name, job):
        self.name, self.job, self.times = name, job, []
        environment = dict(
            os.environ, OMP_NUM_THREADS=str(job["threads"]), PYTHONPATH=job.get("checkout", str(HERE.parent))
        )
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
            raise RuntimeError(f"{self.name}: the worker ended early: {json.dumps(self.job)}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def result(self):
        times = {"best": min(self.times), "median": statistics.median(self.times), "steps": len(self.times)}
        times["mean"] = statistics.fmean(self.times)
        times["p90"] = sorted(self.times)[int(0.9 * len(self.times))]
        return times | self.ask("stats")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


# What a library needs beside itself. To compare with one more (TensorFlow, JAX), give worker.py a function that builds
# the same network with it, and PEERS its name.
NEEDS = {"onnxruntime": ("onnxruntime", "torch", "onnx"), "torch": ("torch",), "cnn": ()}
missing = set()


def installed(jobs):
    """The jobs whose library is installed; the others are named once."""
    kept = {}
    for name, job in jobs.items():
        needs = (*NEEDS[job["library"]], *job.get("needs", ()))
        lacking = [module for module in needs if importlib.util.find_spec(module) is None]
        if not lacking:
            kept[name] = job
        elif name not in missing:
            missing.add(name)
            print(f"SKIPPED: {name}: {', '.join(lacking)} not installed", flush=True)
    return kept


def compare(jobs, args):
    """jobs: {name: job}. Returns {name: {best, median, mean, p90, steps, peak_mb, faults}}; times in milliseconds."""
    sides = []
    try:
        for name, job in installed(jobs).items():
            sides.append(Side(name, {"threads": args.threads, **job}))
        for _ in range(args.rounds):
            for side in sides:
                probe = side.job["mode"] == "peak"
                side.times += side.ask(f"run {min(args.seconds, 0.2) if probe else args.seconds}")
        return {side.name: side.result() for side in sides}
    finally:
        for side in sides:
            side.close()


def table(title, results):
    """Prints a table. A ratio is the peer's time over cnn's, of the medians and of the bests: above 1, cnn is faster.
    Other programs on the machine lengthen the medians more than the bests."""
    print(f"\n{title}")
    print(f"  {'':28}{'median ms':>11}{'ratio':>8}{'best ms':>11}{'ratio':>8}{'peak MB':>9}{'faults/step':>13}")
    for name, r in results.items():
        if name == "peak":
            rates = (r["operations"] / r[key] / 1e6 for key in ("median", "best"))
            print("  multiply-add peak, in turns with them: median {:.0f}, best {:.0f} GFLOP/s".format(*rates))
            continue
        row = f"  {name:28}"
        for key in ("median", "best"):
            row += f"{r[key]:11.3f}{r[key] / results['cnn'][key]:8.2f}"
        print(row + f"{r['peak_mb']:9.0f}{r['faults']:13.0f}", flush=True)


def net_and_batches(text):
    """("resnet18", [16, 128]) of "resnet18:16,128"; for argparse."""
    net, _, batches = text.partition(":")
    try:
        sizes = [int(batch) for batch in batches.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NET:BATCH,BATCH,..., got {text!r}") from None
    if net not in NETS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(NETS)} before the colon, got {net!r}")
    return net, sizes


def networks(args, mode, **options):
    """One comparison for each net and batch of args.nets: prints their tables, returns and saves the figures."""
    figures = {}
    for net, batches in args.nets:
        for batch in batches:
            base = {"mode": mode, "net": net, "batch": batch, **options}
            jobs = {"cnn": base | {"library": "cnn"}} | {name: base | PEERS[name] for name in args.peers}
            jobs["peak"] = {"library": "cnn", "mode": "peak"}
            figures[f"{net}, batch {batch}"] = results = compare(jobs, args)
            table(f"{TITLES[mode]}: {net}, batch {batch}, {args.threads} threads", results)
    save(args, figures)
    return figures


def save(args, figures):
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
