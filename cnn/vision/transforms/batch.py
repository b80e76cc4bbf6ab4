"""Whole batches of bytes at once, where that gives the same bits as one image at a time.

    [RandomCrop, RandomHorizontalFlip, RandomVerticalFlip]*, ToTensor, [Normalize]*

Crops and flips only move bytes: the draws are made image by image in the usual order, the bytes are moved without
Pillow. What follows depends on one byte and its channel, so it is computed once for the 256 possible bytes by the very
functions that would be called for each image, and then looked up.
"""

import numpy as np

from cnn.tensor import Tensor
from cnn.vision.transforms import functional
from cnn.vision.transforms.compose import Compose
from cnn.vision.transforms.convert import Normalize, ToTensor


def transformed_batch(transform, data, targets, indices):
    """[images (N, C, H, W), labels (N,)] of the bytes data[indices] (N, H, W, C); else NotImplemented."""
    steps = transform.transforms if type(transform) is Compose else [transform]
    kinds = [type(step) for step in steps]
    if ToTensor not in kinds:
        return NotImplemented
    place = kinds.index(ToTensor)
    moves = [step.on_pixels() if hasattr(step, "on_pixels") else None for step in steps[:place]]
    values = steps[place + 1 :]
    supported = None not in moves and all(kind is Normalize for kind in kinds[place + 1 :])
    if not supported or not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 4:
        return NotImplemented
    planes = data.transpose(0, 3, 1, 2)
    pixels = _moved(planes, indices, moves) if moves else planes[indices]
    labels = np.array([targets[i] for i in indices])
    return [_looked_up(pixels, values), Tensor._wrap(labels)]


def _moved(planes, indices, moves):
    images = []
    for i in indices:
        image = planes[i]
        for move in moves:
            image = move(image)
        images.append(image)
    return np.stack(images)


def _looked_up(pixels, values):
    """ToTensor and `values` for each byte of each channel, then one look-up."""
    channels = pixels.shape[1]
    table = functional.to_tensor(np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], channels, axis=2))
    for step in values:
        table = step(table)
    rows = table._a.reshape(channels, 256)
    out = np.empty(pixels.shape, rows.dtype)
    for channel in range(channels):
        out[:, channel] = rows[channel][pixels[:, channel]]
    return Tensor._wrap(out)
