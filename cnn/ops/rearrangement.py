"""The elements in another order, or more often: flip, roll, rot90, repeat, tile, repeat_interleave. All are copies."""

import math

import numpy as np

from cnn.autograd.function import Operation
from cnn.tensor import Tensor

from ._register import both, method
from .promotion import title
from .shape import distinct_dims, shape_argument, whole, wrap_dim


class Repeat(Operation):
    @staticmethod
    def forward(ctx, x, sizes):
        ctx.shape, ctx.sizes = x.shape, sizes
        return np.tile(x, sizes)

    @staticmethod
    def backward(ctx, dy):
        lead = len(ctx.sizes) - len(ctx.shape)
        shape = (1,) * lead + ctx.shape
        split = dy.reshape([n for pair in zip(ctx.sizes, shape, strict=True) for n in pair])
        return split.sum(axis=tuple(range(0, 2 * len(shape), 2))).reshape(ctx.shape), None


class Flip(Operation):
    @staticmethod
    def forward(ctx, x, dims):
        ctx.dims = dims
        return np.flip(x, dims).copy()

    @staticmethod
    def backward(ctx, dy):
        return np.flip(dy, ctx.dims), None


class Roll(Operation):
    @staticmethod
    def forward(ctx, x, shifts, dims):
        ctx.shifts, ctx.dims = shifts, dims
        return np.roll(x, shifts, dims)

    @staticmethod
    def backward(ctx, dy):
        back = [-s for s in ctx.shifts] if isinstance(ctx.shifts, (tuple, list)) else -ctx.shifts
        return np.roll(dy, back, ctx.dims), None, None


class Rot90(Operation):
    @staticmethod
    def forward(ctx, x, k, dims):
        ctx.turn = k, dims
        return np.rot90(x, k, dims).copy()

    @staticmethod
    def backward(ctx, dy):
        k, dims = ctx.turn
        return np.rot90(dy, -k, dims), None, None


@method()
def repeat(self, *repeats):
    """The tensor repeated along its dimensions. See torch.Tensor.repeat."""
    sizes = shape_argument("repeat", repeats)
    if len(sizes) < self._a.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = [a * b for a, b in zip(sizes, (1,) * (len(sizes) - self._a.ndim) + self._a.shape, strict=True)]
    if min(sizes, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {shape}")
    if math.prod(n for n in shape if n) * self._a.itemsize >= 2**63:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={shape}")
    return Repeat.apply(self, sizes)


@both
def tile(input, *dims):
    """The tensor repeated; missing dimensions count as 1. See torch.tile."""
    dims = shape_argument("tile", dims)
    return input.repeat((1,) * (input._a.ndim - len(dims)) + dims)


@both
def flip(input, *dims):
    """The order along some dimensions reversed (a copy). See torch.flip."""
    if not dims:
        raise TypeError('flip() missing 1 required positional arguments: "dims"')
    dims = distinct_dims(shape_argument("flip", dims), input._a.ndim)
    return Flip.apply(input, dims if input._a.ndim else ())


def _flipped(name, dim, ndim):
    def f(input):
        if input._a.ndim < ndim:
            raise RuntimeError(f"{name}(): Input must be >= {ndim}-d.")
        return flip(input, dim)

    f.__name__, f.__doc__ = name, f"flip along dimension {dim}. See torch.{name}."
    both(f)


_flipped("flipud", 0, 1)
_flipped("fliplr", 1, 2)


@both
def roll(input, shifts, dims=None):
    """Elements moved round along dimensions. See torch.roll."""
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    shifts = tuple(whole("roll", "shifts", s) for s in shifts)
    if dims is None:
        if len(shifts) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
        return Roll.apply(input, shifts[0], None)
    dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if not input._a.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return Roll.apply(input, shifts, tuple(wrap_dim(d, input._a.ndim) for d in dims))


@both
def rot90(input, k=1, dims=(0, 1)):
    """Turned by k quarter turns in a plane. See torch.rot90."""
    n, k = input._a.ndim, whole("rot90", "k", k)
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"rot90: expected total dims >= 2, but got total dims = {n}")
    places = tuple(wrap_dim(d, n) for d in dims)
    if places[0] == places[1]:
        raise RuntimeError(
            f"rot90: expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    return Rot90.apply(input, k, places)


@both
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element repeated; with counts alone, each number as often as it says. See torch.repeat_interleave."""
    if repeats is None:
        if input._a.ndim != 1:
            raise RuntimeError(f"repeat_interleave only accepts 1D vector as repeat, got {input._a.ndim} dimensions")
        whole = input._a.dtype if input._a.dtype.kind == "i" else np.int64
        input, repeats = Tensor._wrap(np.arange(input._a.shape[0], dtype=whole)), input
    x = input.reshape(-1) if dim is None else input
    dim = 0 if dim is None else wrap_dim(dim, x._a.ndim)
    if not x._a.ndim:
        raise IndexError(f"repeat_interleave(): Dimension specified as {dim} but tensor has no dimensions")
    if isinstance(repeats, int) and repeats >= 0 and output_size is None:
        shape = x._a.shape
        each = x.unsqueeze(dim + 1).expand(*shape[: dim + 1], repeats, *shape[dim + 1 :])
        return each.reshape(*shape[:dim], shape[dim] * repeats, *shape[dim + 1 :])
    counts = repeats._a if isinstance(repeats, Tensor) else repeats
    if isinstance(repeats, Tensor) and counts.dtype not in (np.int32, np.int64):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{title(counts.dtype)}'")
    size = x._a.shape[dim] if x._a.ndim else 1
    if isinstance(repeats, Tensor) and (counts.ndim > 1 or counts.size not in (1, size)):
        raise RuntimeError(
            "repeat_interleave: repeats must have the same size as input along dim, but got repeats of shape "
            f"{list(counts.shape)} and input.size({dim}) = {size}"
        )
    if np.size(counts) and np.min(counts) < 0:
        raise RuntimeError("repeat_interleave: repeats can not be negative")
    index = np.repeat(np.arange(size), counts)
    if output_size not in (None, index.size):
        raise RuntimeError(f"repeat_interleave(): output_size is {output_size}, but the repeats make {index.size}")
    return x.index_select(dim, Tensor._wrap(index))
