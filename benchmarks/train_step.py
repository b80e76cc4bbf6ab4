"""One training step, cnn's beside PyTorch's, in one run: time, peak memory, page faults.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --nets reference:4,128 resnet18:128 --peers "torch channels_last"

"ratio" is the peer's time over cnn's. The peers to look at are torch channels_last, its better float32 mode, and
torch default (NCHW), which is what a script gets that asks for nothing.
"""

from compare import arguments, net_and_batches, networks

NETS = "reference:1,16,128,1024 course:128,4096 student:4,128,4096 tutorial:4 resnet18:128 mobilenet:128"


def main():
    parser = arguments(__doc__)
    parser.add_argument("--nets", nargs="+", type=net_and_batches, default=[*map(net_and_batches, NETS.split())])
    networks(parser.parse_args(), "train", warm_up=2)


if __name__ == "__main__":
    main()
