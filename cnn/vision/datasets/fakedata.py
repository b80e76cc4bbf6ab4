"""FakeData: random pixels with random labels, to try a program without any data."""

import cnn
from cnn.vision.datasets.vision import VisionDataset
from cnn.vision.transforms import functional


class FakeData(VisionDataset):
    """`size` images of random pixels; image i depends on i + `random_offset` only.

    Mirrors torchvision.datasets.FakeData.
    """

    def __init__(
        self,
        size=1000,
        image_size=(3, 224, 224),
        num_classes=10,
        transform=None,
        target_transform=None,
        random_offset=0,
    ):
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = cnn.Generator().manual_seed(index + self.random_offset)
        image = functional.to_pil_image(cnn.randn(*self.image_size, generator=generator))
        target = cnn.randint(0, self.num_classes, (1,), generator=generator)[0]
        image, target = self._transformed(image, target)
        return image, target.item()

    def __len__(self):
        return self.size
