"""Do batches arrive as fast as the network trains? DataLoader and transforms beside torch's and torchvision's.

    python benchmarks/data_loading.py
    python benchmarks/data_loading.py --net student --batch 1024

Random 32 x 32 images in CIFAR-10's class, so that no data set is needed, in batches, shuffled:
    augmented   RandomCrop(32, padding=4), RandomHorizontalFlip, ToTensor, Normalize
    images      ToTensor, Normalize
    tensors     float images in a TensorDataset
    none        the same batch again and again

First the loader alone, then training with it; times are means, since an epoch has costs of its own at its beginning.
"waiting" is the share of a training step that goes by until its batch is there. What workers take from the network by
working beside it is not in it, but in the time of a step. Workers are threads of cnn, processes of torch.
"""

from compare import arguments, compare, save

LIBRARIES = {
    "cnn": {"library": "cnn"},
    "torch": {"library": "torch", "layout": "channels_last", "needs": ["torchvision"]},
}
WORKERS = (0, 2)


def main():
    parser = arguments(__doc__)
    parser.set_defaults(peers=["torch"])
    parser.add_argument("--net", default="reference")
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    libraries = {name: job for name, job in LIBRARIES.items() if name in ("cnn", *args.peers)}
    figures = {}

    def run(mode, data):
        base = {"mode": mode, "net": args.net, "batch": args.batch, "data": data}
        jobs = {
            f"{name}, {workers} workers": base | job | {"workers": workers}
            for name, job in libraries.items()
            for workers in (WORKERS if data != "none" else WORKERS[:1])
        }
        if data == "none":
            jobs = {name: job | {"mode": "train"} for name, job in jobs.items()}
        figures[f"{mode}, {data}"] = results = compare(jobs, args)
        return results

    print(f"\nbatches of {args.batch}, the loader alone, {args.threads} threads")
    print(f"  {'':32}{'ms a batch':>12}{'images/s':>12}")
    for data in ("tensors", "images", "augmented"):
        for name, r in run("load", data).items():
            print(f"  {data:12}{name:20}{r['mean']:12.3f}{1e3 * args.batch / r['mean']:12,.0f}", flush=True)

    print(f"\ntraining {args.net} with them")
    print(f"  {'':32}{'ms a step':>12}{'images/s':>12}{'waiting':>9}")
    for data in ("none", "images", "augmented"):
        for name, r in run("epoch", data).items():
            images, waiting = 1e3 * args.batch / r["mean"], r.get("waiting", 0) / r["mean"]
            print(f"  {data:12}{name:20}{r['mean']:12.3f}{images:12,.0f}{waiting:9.1%}", flush=True)
    save(args, figures)


if __name__ == "__main__":
    main()
