"""MNIST and its relatives: 28 x 28 grey images of ten classes, in the IDX format."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from cnn.tensor import Tensor
from cnn.vision.datasets.cifar_files import DatasetError, search_path
from cnn.vision.datasets.download import RemoteFile, download
from cnn.vision.datasets.vision import VisionDataset
from cnn.vision.transforms.batch import transformed_batch
from cnn.vision.transforms.image import image_from_array

IMAGE_LIMIT = 1 << 28  # bytes that an IDX file may hold; the largest of these is 47 million


class MNIST(VisionDataset):
    """60,000 training or 10,000 test images of handwritten digits; item i is (image, class number).

    Args:
        root: its sub-folder MNIST/raw holds the four IDX files, as .gz or unpacked; CNN_DATA_DIR is searched as well.
        train: the training set or the test set.
        transform, target_transform: applied to the PIL image and to the label.
        download: bring the files into root/MNIST/raw if they are nowhere.

    Attributes: `data` uint8 tensor (N, 28, 28), `targets` int64 tensor (N,), `classes`, `class_to_idx`.

    Mirrors torchvision.datasets.MNIST. Raises DatasetError or DownloadError, both RuntimeError.
    """

    mirrors = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    resources = (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    classes = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        images, labels = self.resources[:2] if train else self.resources[2:]
        pixels = read_idx(self._file(*images, download), 3)
        targets = read_idx(self._file(*labels, download), 1)
        if len(pixels) != len(targets):
            raise DatasetError(f"{self.raw_folder}: {len(pixels):,} images, but {len(targets):,} labels")
        self.data = Tensor._wrap(pixels)
        self.targets = Tensor._wrap(targets.astype(np.int64))

    @property
    def raw_folder(self):
        return str(Path(self.root) / type(self).__name__ / "raw")

    @property
    def class_to_idx(self):
        return {name: i for i, name in enumerate(self.classes)}

    def _file(self, name, md5, bring):
        for folder in search_path(self.root):
            for candidate in (folder / type(self).__name__ / "raw" / name, folder / name):
                for path in (candidate.with_suffix(""), candidate):
                    if path.is_file():
                        return path
        remote = RemoteFile(name, tuple(mirror + name for mirror in self.mirrors), "md5:" + md5, magic=b"\x1f\x8b")
        if bring:
            return download(remote, self.raw_folder)
        raise DatasetError(
            f"Dataset not found: no {name} in {self.raw_folder}. You can use download=True to download it"
        )

    def __getitem__(self, index):
        return self._transformed(image_from_array(self.data._a[index]), int(self.targets._a[index]))

    def __getbatch__(self, indices):
        if self.target_transform is not None or not isinstance(self.data, Tensor):
            return NotImplemented
        labels = [int(self.targets._a[i]) for i in indices]
        return transformed_batch(self.transform, self.data._a, indices, labels)

    def __len__(self):
        return len(self.data)

    def extra_repr(self):
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Articles of clothing in place of digits. Mirrors torchvision.datasets.FashionMNIST."""

    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    resources = (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


class KMNIST(MNIST):
    """Japanese cursive characters in place of digits. Mirrors torchvision.datasets.KMNIST."""

    mirrors = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    resources = (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


def read_idx(path, dimensions):
    """The uint8 array in an IDX file, packed with gzip or not.

    Two zero bytes, the type (8: unsigned byte), the number of dimensions, each size as four bytes, the values.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise DatasetError(f"{path}: not an IDX file of unsigned bytes with {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", head[4:])
            size = math.prod(shape)
            if size > IMAGE_LIMIT:
                raise DatasetError(f"{path}: claims to hold {size:,} bytes, expected at most {IMAGE_LIMIT:,}")
            content = file.read(size + 1)
    except (OSError, EOFError, ValueError, gzip.zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); delete it and get it again") from error
    if len(content) != size:
        raise DatasetError(
            f"{path}: expected {size:,} bytes for the shape {shape}, got "
            f"{len(content):,}{' or more' if len(content) > size else ''}"
        )
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)
