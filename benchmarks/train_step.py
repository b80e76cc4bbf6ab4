"""One training step, cnn's beside PyTorch's, in one run: time, peak memory, page faults.

    python benchmarks/train_step.py                       two networks at batches 4, 128 and 4096
    python benchmarks/train_step.py --nets reference resnet18 --batches 128 --peers "torch channels_last"

"ratio" is the peer's median over cnn's. The peers to look at are torch channels_last, its better float32 mode, and
torch default (NCHW), which is what a script gets that asks for nothing.
"""

from compare import PEERS, arguments, compare, save, table


def main():
    parser = arguments(__doc__)
    parser.add_argument("--nets", nargs="+", default=["reference", "student"])
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 128, 4096])
    args = parser.parse_args()
    figures = {}
    for net in args.nets:
        for batch in args.batches:
            base = {"mode": "train", "net": net, "batch": batch, "warm_up": 2}
            jobs = {"cnn": base | {"library": "cnn"}} | {name: base | PEERS[name] for name in args.peers}
            figures[f"{net}, batch {batch}"] = results = compare(jobs, args)
            table(f"training step: {net}, batch {batch}, {args.threads} threads", results)
    save(args, figures)


if __name__ == "__main__":
    main()
