"""Load CIFAR-10 from the unpacked python archive; download it first if need be (run this file directly)."""
import pathlib
import pickle
import tarfile
import urllib.request

import numpy as np

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


def download(root):
    root = pathlib.Path(root)
    archive = root / "cifar-10-python.tar.gz"
    if not archive.exists():
        urllib.request.urlretrieve(URL, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(root)


def load(root, train):
    """images (N, 32, 32, 3) uint8 and labels, a list of int"""
    folder = pathlib.Path(root) / "cifar-10-batches-py"
    names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    images, labels = [], []
    for name in names:
        with open(folder / name, "rb") as f:
            entry = pickle.load(f, encoding="latin1")
        images.append(entry["data"])
        labels += entry["labels"]
    images = np.vstack(images).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, labels


if __name__ == "__main__":
    download(".")
