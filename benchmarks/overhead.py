"""What one call costs when there is nearly nothing to compute: microseconds, cnn's beside PyTorch's.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --only linear
    python benchmarks/overhead.py --peers before --before ../cnn-of-yesterday

A network for small images, at batch 4, makes some sixty such calls a step.
"""

from calls import calls
from compare import PEERS, arguments, compare, save

import cnn

MANY = 20  # calls that are timed together: one alone is shorter than reading the clock is exact


def main():
    parser = arguments(__doc__)
    parser.set_defaults(threads=1, seconds=0.1, rounds=4, peers=["torch default"])
    parser.add_argument("--only", default="", help="part of a call's name")
    args = parser.parse_args()
    libraries = {"cnn": {"library": "cnn"}} | {peer: PEERS[peer] for peer in args.peers}
    figures = {}
    heads = "".join(f"{peer + ': median':>24}{'best':>8}{'ratios':>11}" for peer in args.peers)
    print(f"  {'microseconds a call':42}{'cnn: median':>13}{'best':>8}{heads}")
    for name in calls(cnn):
        if args.only not in name:
            continue
        jobs = {peer: side | {"mode": "call", "call": name, "times": MANY} for peer, side in libraries.items()}
        figures[name] = results = compare(jobs, args)
        row = f"  {name:42}"
        for peer, result in results.items():
            median, best = (1e3 / MANY * result[key] for key in ("median", "best"))
            row += f"{median:{13 if peer == 'cnn' else 24}.2f}{best:8.2f}"
            if peer != "cnn":
                ratios = (result[key] / results["cnn"][key] for key in ("median", "best"))
                row += "".join(f"{ratio:{width}.2f}" for ratio, width in zip(ratios, (6, 5), strict=True))
        print(row, flush=True)
    save(args, figures)


if __name__ == "__main__":
    main()
