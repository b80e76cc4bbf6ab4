"""Layers one by one, forward and each backward pass, as a share of the machine's multiply-add peak.

    python benchmarks/layers.py                 all layers
    python benchmarks/layers.py --only 5x5      those whose name holds "5x5"
    python benchmarks/layers.py --only 3x3 --algorithm direct

The share counts the multiplications of the direct algorithm, so Winograd can exceed 100 %. The peak is probed in turns
with the layer. Behind the share stand the peers' times over cnn's, of the medians and of the best times.
"""

from compare import PEERS, arguments, compare, save

CONVOLUTIONS = {  # name: (channels in, size, channels out, kernel)
    "3x3 32->32 at 32x32": (32, 32, 32, 3),
    "3x3 32->64 at 16x16": (32, 16, 64, 3),
    "3x3 64->64 at 16x16": (64, 16, 64, 3),
    "3x3 256->256 at 8x8": (256, 8, 256, 3),
    "3x3 3->32 at 32x32": (3, 32, 32, 3),
    "5x5 3->6 at 32x32": (3, 32, 6, 5),
    "5x5 6->12 at 32x32": (6, 32, 12, 5),
    "5x5 12->12 at 16x16": (12, 16, 12, 5),
    "5x5 12->24 at 16x16": (12, 16, 24, 5),
    "1x1 128->128 at 16x16": (128, 16, 128, 1),
}
PASSES = ("forward", "backward_input", "backward_weight")


def layer_jobs(batch):
    """{name: (job, multiply-adds x 2)}"""
    jobs = {}
    for name, (c, size, oc, k) in CONVOLUTIONS.items():
        for which in PASSES:
            if c == 3 and which == "backward_input":
                continue  # the first layer has no gradient to pass on
            job = {
                "layer": "Conv2d",
                "arguments": [c, oc, k],
                "options": {"padding": k // 2},
                "channels": c,
                "size": size,
            }
            jobs[f"{name}, {which}"] = (job | {"pass": which}, 2 * batch * size * size * c * oc * k * k)
    for which in PASSES:
        job = {"layer": "Linear", "arguments": [4096, 512], "channels": 4096, "size": 1, "pass": which}
        jobs[f"linear 4096->512, {which}"] = (job, 2 * batch * 4096 * 512)
    return jobs


def main():
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="part of a layer's name")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument(
        "--algorithm", default="auto", help="cnn.backends.conv.algorithm: auto, direct, winograd, precise"
    )
    args = parser.parse_args()
    figures = {}
    print(
        f"  {'batch ' + str(args.batch):40}{'best ms':>9}{'median':>9}{'% peak':>8}"
        + "".join(f"{peer:>24}" for peer in args.peers)
    )
    for name, (job, operations) in layer_jobs(args.batch).items():
        if args.only not in name:
            continue
        base = {"mode": "layer", "batch": args.batch, **job}
        jobs = {
            "cnn": base | {"library": "cnn", "algorithm": args.algorithm},
            "peak": {"library": "cnn", "mode": "peak"},
        }
        jobs |= {peer: base | PEERS[peer] for peer in args.peers}
        results = compare(jobs, args)
        peak = results["peak"]["operations"] / results["peak"]["best"] / 1e6  # GFLOP/s
        share = operations / results["cnn"]["best"] / 1e6 / peak
        ratios = ""
        for peer in args.peers:
            if peer in results:
                median, best = (results[peer][key] / results["cnn"][key] for key in ("median", "best"))
                ratios += f"{median:16.2f}{best:8.2f}"
        r = results["cnn"]
        print(f"  {name:40}{r['best']:9.3f}{r['median']:9.3f}{share:8.0%}{ratios}", flush=True)
        figures[name] = results | {"share": share, "peak_gflops": peak}
    save(args, figures)


if __name__ == "__main__":
    main()
