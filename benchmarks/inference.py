"""Inference, cnn's beside PyTorch's and, where it is installed, ONNX Runtime's.

    python benchmarks/inference.py
    python benchmarks/inference.py --nets reference:1 --peers onnxruntime

ONNX Runtime gets the network as torch exports it.
"""

from compare import arguments, net_and_batches, networks

NETS = "reference:1,128 resnet18:1,128 mobilenet:1,128"


def main():
    parser = arguments(__doc__)
    parser.set_defaults(peers=["torch default", "torch channels_last", "onnxruntime"])
    parser.add_argument("--nets", nargs="+", type=net_and_batches, default=[*map(net_and_batches, NETS.split())])
    networks(parser.parse_args(), "infer", warm_up=3)


if __name__ == "__main__":
    main()
