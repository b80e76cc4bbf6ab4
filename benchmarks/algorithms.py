"""Does Winograd change what is learned? The assignment's network on CIFAR-10, once per algorithm and seed.

    python benchmarks/algorithms.py --data-root FOLDER              three algorithms, three seeds, five epochs

Within a seed all algorithms start from equal weights and see equal batches. Printed are the test accuracy after each
epoch and, in the end, each algorithm's mean and range over the seeds. If the range that the seeds make is larger than
the differences between the algorithms, nobody could tell from a result how its convolutions were computed.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from accuracy_vs_torch import Trainer, write_data, write_weights

ALGORITHMS = ("direct", "precise", "winograd")


def main():
    import cnn

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", help="a copy of CIFAR-10 (also CNN_DATA_DIR)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    options = {"tbs": 128, "lr": 1e-3, "wd": 1e-5, "lr_sch": [args.epochs - 1], "lr_factor": 0.1}
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        write_data(args.data_root, Path(folder))
        for seed in args.seeds:
            write_weights(seed, Path(folder))
            for algorithm in ALGORITHMS:
                cnn.backends.conv.algorithm = algorithm
                trainer = Trainer(Path(folder), threads=args.threads, seed=seed, **options)
                curve = [trainer.epoch(epoch)["accuracy"] for epoch in range(args.epochs)]
                curves[f"{algorithm}, seed {seed}"] = curve
                print(f"{algorithm:10} seed {seed}  " + "  ".join(f"{a:.2%}" for a in curve), flush=True)
    print("\nafter the last epoch   mean    lowest  highest")
    for algorithm in ALGORITHMS:
        last = [curves[f"{algorithm}, seed {seed}"][-1] for seed in args.seeds]
        print(f"{algorithm:20} {sum(last) / len(last):7.2%} {min(last):8.2%} {max(last):8.2%}")
    if args.json:
        args.json.write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
