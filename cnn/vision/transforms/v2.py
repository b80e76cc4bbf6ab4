"""torchvision.transforms.v2: the same transforms under the newer name, and those that only v2 has for single images.

A transform here takes one image. Labels, boxes and masks beside it, which torchvision's v2 can take, are not supported.
"""

import numpy as np

from cnn import types
from cnn.tensor import Tensor
from cnn.vision.transforms import functional
from cnn.vision.transforms.base import Transform

__all__ = ["Identity", "ToDtype", "ToImage", "Transform"]  # and all of cnn.vision.transforms, which adds it


class ToImage(Transform):
    """A Pillow image or array (H, W, C) as a tensor (C, H, W) of the same type; a tensor stays as it is."""

    def forward(self, pic):
        if isinstance(pic, Tensor):
            return pic
        if isinstance(pic, np.ndarray):
            return Tensor._wrap(np.atleast_3d(pic).transpose(2, 0, 1))
        return functional.pil_to_tensor(pic)


class ToDtype(Transform):
    """A tensor in another type; with `scale`, white stays white."""

    def __init__(self, dtype=types.float32, scale=False):
        super().__init__()
        self.dtype = dtype
        self.scale = scale

    def forward(self, image):
        return functional.convert_image_dtype(image, self.dtype) if self.scale else image.to(self.dtype)

    def __repr__(self):
        return self.described(scale=self.scale)


class Identity(Transform):
    """Nothing changes."""

    def forward(self, img):
        return img
