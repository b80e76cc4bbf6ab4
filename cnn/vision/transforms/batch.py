"""Whole batches of bytes at once, where that gives the same bits as one image at a time.

    [RandomCrop, RandomHorizontalFlip, RandomVerticalFlip, CenterCrop, Pad, ToTensor, ...]*, [Normalize, ...]*

Crops and flips only move bytes: they say where each pixel of the result comes from. What follows depends on one byte
and its channel, so it is computed once for the 256 possible bytes, by the very functions that would be called for each
image, and then looked up. csrc/kernels/image_batch.c does both in one pass.

Each step draws as many words of the random stream for one image as for any other. They are drawn for all images at
once, image by image, and so are those that the transforms would draw one at a time.
"""

import operator
from typing import Any, NamedTuple

import numpy as np

from cnn import _cnn, random
from cnn.tensor import Tensor
from cnn.utils.data.collate import default_collate
from cnn.vision.transforms import functional, v2
from cnn.vision.transforms.compose import Compose
from cnn.vision.transforms.convert import ConvertImageDtype, Normalize, ToTensor
from cnn.vision.transforms.geometry import CenterCrop, Pad, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip

ROWS, COLUMNS = 0, 1


def transformed_batch(transform, data, indices, labels):
    """default_collate of transform(data[i]) for all indices, and of their labels; else NotImplemented.

    `data`: bytes (N, H, W, 3) or (N, H, W).
    """
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or not (data.ndim == 3 or data.shape[3:] == (3,)):
        return NotImplemented
    planes = data[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
    moves, values = _split(_flat(transform), planes.shape[2:])
    table = None if values is None else _table(values, planes.shape[1])
    places = _places(indices, len(data))
    if moves is None or table is None or places is None:
        return NotImplemented
    table_of_moves, (height, width) = _moved(moves, len(places), planes.shape[2:])
    pixels = _cnn.image_batch(planes, places, table_of_moves, table, height, width)
    return [Tensor._wrap(pixels), default_collate(labels)]


def _flat(transform):
    """The steps of a transform; those of a Compose within a Compose are steps as well."""
    if type(transform) is not Compose:
        return [transform]
    return [step for part in transform.transforms for step in _flat(part)]


def _places(indices, count):
    """Indices counted from the beginning; None where they are no plain numbers."""
    try:
        places = np.array([operator.index(i) for i in indices], np.int64)
    except TypeError:
        return None
    return np.where(places < 0, places + count, places)


# ---- what moves -----------------------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """Of rows or columns keep `length` from `start` on, or from start + a number below `choices` that is drawn."""

    axis: int
    start: int
    length: int
    choices: int | None = None


class Flip(NamedTuple):
    """Reverse rows or columns with probability p."""

    axis: int
    p: Any


def _random_crop(crop, size):
    if crop.pad_if_needed or (crop.padding is not None and not _plain_padding(crop)):
        return None
    moves = []
    if crop.padding is not None:
        moves = _padded(crop.padding, size)
        size = [move.length for move in moves]
    if tuple(size) == tuple(crop.size):
        return moves
    if any(have < want for have, want in zip(size, crop.size, strict=True)):
        return None  # an error, which RandomCrop itself explains
    return moves + [Cut(axis, 0, crop.size[axis], size[axis] - crop.size[axis] + 1) for axis in (ROWS, COLUMNS)]


def _plain_padding(step):
    return step.fill == 0 and step.padding_mode == "constant" and isinstance(step.padding, (int, tuple, list))


def _padded(padding, size):
    left, top, right, bottom = functional._margins(padding)
    return [Cut(ROWS, -top, size[0] + top + bottom), Cut(COLUMNS, -left, size[1] + left + right)]


def _center_crop(crop, size):
    if any(have < want for have, want in zip(size, crop.size, strict=True)):
        return None
    return [Cut(axis, round((size[axis] - crop.size[axis]) / 2.0), crop.size[axis]) for axis in (ROWS, COLUMNS)]


MOVES = {
    RandomCrop: _random_crop,
    CenterCrop: _center_crop,
    Pad: lambda pad, size: _padded(pad.padding, size) if _plain_padding(pad) else None,
    RandomHorizontalFlip: lambda flip, size: [Flip(COLUMNS, flip.p)],
    RandomVerticalFlip: lambda flip, size: [Flip(ROWS, flip.p)],
}


def _split(steps, size):
    """(moves, steps that change values); None in place of either where one of the steps is none of these.

    All moves stand before Normalize: what is padded later is black in the normalised image, not in the photograph.
    """
    moves, values = [], []
    for step in steps:
        kind = type(step)
        if kind in VALUES:
            values.append(step)
        elif kind in MOVES and not any(type(value) is Normalize for value in values):
            more = MOVES[kind](step, size)
            if more is None or any(isinstance(move, Cut) and move.length < 1 for move in more):
                return None, None
            moves += more
            size = _size_after(more, size)
        else:
            return None, None
    return moves, values


def _size_after(moves, size):
    size = list(size)
    for move in moves:
        if isinstance(move, Cut):
            size[move.axis] = move.length
    return size


def _moved(moves, n, size):
    """(the argument `moves` of _cnn.image_batch for n images, the size of the result)."""
    table = np.empty((n, 2, 4), np.int64)
    table[...] = [[0, 1, 0, length] for length in size]  # row i is row 0 + 1 * i for 0 <= i < length
    draws = [_draws(move) for move in moves]
    words = iter(random._current()._words(n * sum(draws)).reshape(n, -1).T if any(draws) else ())
    size = list(size)
    for move, drawn in zip(moves, draws, strict=True):
        word = next(words) if drawn else None
        if isinstance(move, Cut):
            _cut(table[:, move.axis], move.start if word is None else move.start + word % move.choices, move.length)
            size[move.axis] = move.length
        else:
            # The 24 low bits are what torch.rand makes its float32 of.
            chosen = (word & 0xFFFFFF).astype(np.float32) * np.float32(2**-24) < np.float32(move.p)
            table[chosen, move.axis] = _flipped(table[chosen, move.axis], size[move.axis])
    return table, size


def _draws(move):
    return isinstance(move, Flip) or move.choices is not None


def _cut(table, start, length):
    """Row i of the result is row start + i of what there was."""
    first, step, begin, end = table.T
    first += step * start
    for bound in (begin, end):
        bound[:] = np.clip(bound - start, 0, length)


def _flipped(table, length):
    """Row i of the result is row length - 1 - i of what there was."""
    first, step, begin, end = table.T
    return np.stack([first + step * (length - 1), -step, length - end, length - begin], axis=1)


# ---- what changes values --------------------------------------------------------------------------------------------

VALUES = {ToTensor, Normalize, ConvertImageDtype, v2.ToImage, v2.ToDtype, v2.Identity}


def _table(steps, channels):
    """What each byte becomes in each channel, (channels, 256); None where that is no float tensor."""
    if not any(type(step) in (ToTensor, v2.ToImage) for step in steps[:1]):
        return None
    if any(np.ndim(each) > 1 for step in steps if type(step) is Normalize for each in (step.mean, step.std)):
        return None  # not one value a channel
    image = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], channels, axis=2)
    for step in steps:
        image = step(image)
    values = image._a
    fits = values.shape == (channels, 256, 1) and values.dtype in (np.float32, np.float64)
    return values.reshape(channels, 256) if fits else None
