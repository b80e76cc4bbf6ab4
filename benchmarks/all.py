"""All benchmarks, one after the other; `make bench`. Ends with a table of everything and the picture docs/speed.svg.

    python benchmarks/all.py                        about 20 minutes on two cores
    python benchmarks/all.py --quick                about 7 minutes, to see whether something is much slower
    python benchmarks/all.py --only inference

The figures of each go to a JSON file in --out, from which `python benchmarks/plot.py` repeats the end.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
# {benchmark: its options, and those that take their place with --quick}
BENCHMARKS = {
    "train_step": ("--seconds 1.5 --rounds 4", "--seconds 0.4 --rounds 2"),
    "inference": ("--seconds 1 --rounds 4", "--seconds 0.3 --rounds 2"),
    "layers": ("--seconds 0.3 --rounds 3 --peers 'torch channels_last'", "--seconds 0.1 --rounds 2 --peers"),
    "overhead": ("--seconds 0.1 --rounds 4", "--seconds 0.03 --rounds 2"),
    "data_loading": ("--seconds 1 --rounds 3", "--seconds 0.3 --rounds 2"),
    "busy_neighbours": ("--seconds 1.5 --rounds 3", "--seconds 0.5 --rounds 2"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short turns: the figures are less certain")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="BENCHMARK",
                        help=", ".join(BENCHMARKS))  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "bench", help="folder of the JSON files")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "speed.svg")
    args = parser.parse_args()
    failed = []
    for name in args.only:
        options = shlex.split(BENCHMARKS[name][args.quick])
        print(f"\n==== {name} {' '.join(options)}", flush=True)
        start = time.monotonic()
        command = [sys.executable, str(HERE / f"{name}.py"), *options, "--json", str(args.out / f"{name}.json")]
        if subprocess.run(command).returncode != 0:
            failed.append(name)
        print(f"==== {name}: {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
    subprocess.run([sys.executable, str(HERE / "plot.py"), str(args.out), "--picture", str(args.picture)], check=True)
    if failed:
        print(f"\nFAILED: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
