"""What one call costs when there is nearly nothing to compute: microseconds, cnn's beside PyTorch's.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --only linear

A network for small images, at batch 4, makes some sixty such calls a step.
"""

from calls import calls
from compare import arguments, compare, save

import cnn

MANY = 20  # calls that are timed together: one alone is shorter than reading the clock is exact


def main():
    parser = arguments(__doc__)
    parser.set_defaults(threads=1, seconds=0.1, rounds=4, peers=["torch"])
    parser.add_argument("--only", default="", help="part of a call's name")
    args = parser.parse_args()
    libraries = ["cnn", *args.peers]
    figures = {}
    print(f"  {'microseconds a call':42}{'cnn: median':>13}{'best':>8}{'torch: median':>15}{'best':>8}{'ratios':>10}")
    for name in calls(cnn):
        if args.only not in name:
            continue
        jobs = {library: {"library": library, "mode": "call", "call": name, "times": MANY} for library in libraries}
        figures[name] = results = compare(jobs, args)
        row = f"  {name:42}"
        for library, width in (("cnn", 13), ("torch", 15)):
            if library in results:
                median, best = (1e3 / MANY * results[library][key] for key in ("median", "best"))
                row += f"{median:{width}.2f}{best:8.2f}"
        if "torch" in results:
            ratios = (results["torch"][key] / results["cnn"][key] for key in ("median", "best"))
            row += "".join(f"{ratio:8.2f}" for ratio in ratios)
        print(row, flush=True)
    save(args, figures)


if __name__ == "__main__":
    main()
