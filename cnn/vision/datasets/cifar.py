"""CIFAR-10 and CIFAR-100: 32 x 32 colour photographs of 10 or 100 classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from cnn.vision.datasets import cifar_files
from cnn.vision.datasets.vision import VisionDataset
from cnn.vision.transforms.batch import transformed_batch
from cnn.vision.transforms.image import image_from_array


class CIFAR10(VisionDataset):
    """50,000 training or 10,000 test images of 10 classes; item i is (image, class number).

    Args:
        root: folder with cifar-10-batches-py/, or with an archive, which is read without unpacking it; the folder that
            the environment variable CNN_DATA_DIR names is looked into as well. A local copy may differ from the public
            one and hold fewer images: a warning says so, once.
        train: the training set or the test set.
        transform, target_transform: applied to the PIL image and to the label.
        download: bring the archive into `root` if it is nowhere (mirrors, resumed, verified).

    Attributes: `data` uint8 (N, 32, 32, 3), `targets` list of int, `classes`, `class_to_idx`.

    Mirrors torchvision.datasets.CIFAR10. Raises cifar_files.DatasetError or DownloadError, both RuntimeError.
    """

    base_folder = "cifar-10-batches-py"
    filename = "cifar-10-python.tar.gz"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    layouts = cifar_files.CIFAR10

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        source = cifar_files.fetch(self.layouts, self.root) if download else cifar_files.find(self.layouts, self.root)
        if source is None:
            raise cifar_files.missing(self.layouts, self.root)
        images = cifar_files.read(source, train)
        self.data = images.pixels.transpose(0, 2, 3, 1)  # a view: in memory the colours stay planes
        self.targets = images.labels
        self.classes = images.classes
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def __getitem__(self, index):
        return self._transformed(image_from_array(self.data[index]), self.targets[index])

    def __getbatch__(self, indices):
        if self.target_transform is not None:
            return NotImplemented
        return transformed_batch(self.transform, self.data, indices, [self.targets[i] for i in indices])

    def __len__(self):
        return len(self.data)

    def extra_repr(self):
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """50,000 training or 10,000 test images of 100 classes; otherwise as CIFAR10.

    Mirrors torchvision.datasets.CIFAR100.
    """

    base_folder = "cifar-100-python"
    filename = "cifar-100-python.tar.gz"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    layouts = cifar_files.CIFAR100
