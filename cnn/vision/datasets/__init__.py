"""Data sets with torchvision's names, and Shapes, which needs no files."""

from cnn.vision.datasets.cifar import CIFAR10, CIFAR100
from cnn.vision.datasets.cifar_files import DatasetError
from cnn.vision.datasets.download import DownloadError
from cnn.vision.datasets.fakedata import FakeData
from cnn.vision.datasets.folder import DatasetFolder, ImageFolder
from cnn.vision.datasets.mnist import KMNIST, MNIST, FashionMNIST
from cnn.vision.datasets.shapes import Shapes
from cnn.vision.datasets.vision import VisionDataset

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "DatasetError",
    "DatasetFolder",
    "DownloadError",
    "FakeData",
    "FashionMNIST",
    "ImageFolder",
    "Shapes",
    "VisionDataset",
]


def __getattr__(name):
    known = ", ".join(name for name in __all__ if not name.endswith("Error"))
    raise AttributeError(f"cnn.vision.datasets has no {name!r}; it has {known}")
