"""Inference in eval mode, cnn's beside PyTorch's and onnxruntime's.

python benchmarks/inference.py --nets reference resnet18 mobilenet --batches 1 128
"""

from compare import PEERS, arguments, compare, save, table


def main():
    parser = arguments(__doc__)
    parser.add_argument("--nets", nargs="+", default=["reference", "resnet18", "mobilenet"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 128])
    args = parser.parse_args()
    figures = {}
    for net in args.nets:
        for batch in args.batches:
            base = {"mode": "infer", "net": net, "batch": batch, "warm_up": 3}
            jobs = {"cnn": base | {"library": "cnn"}} | {name: base | PEERS[name] for name in args.peers}
            figures[f"{net}, batch {batch}"] = results = compare(jobs, args)
            table(f"inference: {net}, batch {batch}, {args.threads} threads", results)
    save(args, figures)


if __name__ == "__main__":
    main()
