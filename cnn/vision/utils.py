"""make_grid and save_image: many images as one. Mirrors torchvision.utils."""

import math
import os

import numpy as np

from cnn.ops._quiet import quiet_all
from cnn.tensor import Tensor
from cnn.vision.transforms.image import image_from_array


def make_grid(tensor, nrow=8, padding=2, normalize=False, value_range=None, scale_each=False, pad_value=0.0):
    """One image (C, H, W) of a batch (N, C, H, W), or of a list of images (C, H, W) of one size.

    `nrow` images in a row, `padding` pixels of `pad_value` around each. `normalize` shifts the values from
    `value_range` (default: from the smallest to the largest) to 0..1, with `scale_each` for each image on its own.
    One channel becomes three. A single image is returned as it is. Raises TypeError for anything but tensors.
    """
    images = _batch(tensor)
    if normalize:
        images = _normalized(images, value_range, scale_each)
    count, channels, height, width = images.shape
    if count == 1:
        return Tensor._wrap(images[0])
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    step_y, step_x = height + padding, width + padding
    grid = np.full((channels, step_y * rows + padding, step_x * columns + padding), pad_value, images.dtype)
    for k, image in enumerate(images):
        y, x = (k // columns) * step_y + padding, (k % columns) * step_x + padding
        grid[:, y : y + height, x : x + width] = image
    return Tensor._wrap(grid)


def _batch(tensor):
    """The images as an array (N, C, H, W) with three channels for one."""
    if isinstance(tensor, (list, tuple)):
        for image in tensor:
            if not isinstance(image, Tensor):
                raise TypeError(f"tensor or list of tensors expected, got a list containing {type(image)}")
        images = np.stack([image._a for image in tensor])
    elif isinstance(tensor, Tensor):
        images = tensor._a
    else:
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    images = images.reshape((1,) * (4 - images.ndim) + images.shape)
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images


def _normalized(images, value_range, scale_each):
    if value_range is not None and not isinstance(value_range, tuple):
        raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
    groups = images if scale_each else images[None]
    out = []
    for group in groups:
        low, high = value_range or (float(group.min()), float(group.max()))
        out.append((np.clip(group, low, high) - group.dtype.type(low)) / group.dtype.type(max(high - low, 1e-5)))
    return np.stack(out) if scale_each else out[0]


def save_image(tensor, fp, format=None, **kwargs):
    """Write an image, or the grid of a batch, to a file; values are taken to lie in 0..1. Options as for make_grid."""
    grid = make_grid(tensor, **kwargs)._a
    pixels = np.clip(grid * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    image_from_array(np.ascontiguousarray(pixels)).save(
        os.fspath(fp) if isinstance(fp, os.PathLike) else fp, format=format
    )


quiet_all(globals())
