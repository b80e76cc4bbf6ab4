import argparse

import torch

from algo_train import evaluate, sup_trn
from build_net import CNN
from data_feed import loaders
from utils import fingerprint, trace


def main():
    parser = argparse.ArgumentParser(description="CIFAR-10 classifier")
    parser.add_argument("--root", default=".")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log-every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", default="best.pth")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, test_loader = loaders(args.root, args.batch_size, args.workers)
    net = CNN().to(device)
    print(net)
    print("parameters:", sum(p.numel() for p in net.parameters() if p.requires_grad))
    for name, p in net.state_dict().items():
        trace(f"weights {name}", p)
    net.drop.register_forward_hook(lambda module, inputs, output: trace("mask", output == 0))

    sup_trn(net, train_loader, test_loader, args, device)

    # the best network again, from its file
    checkpoint = torch.load(args.checkpoint, map_location=device)
    best = CNN().to(device)
    best.load_state_dict(checkpoint["net"])
    loss, acc = evaluate(best, test_loader, device)
    print(f"best epoch {checkpoint['epoch'] + 1}: loss {loss:.6f} acc {acc:.2f}%")
    assert acc == checkpoint["acc"]
    print("shape of the first kernel:", best.features[0].weight.shape, fingerprint(best.features[0].weight) != "")


if __name__ == "__main__":
    main()
