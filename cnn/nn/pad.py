"""Padding with a constant or with values of the image. See docs/layers/pad.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html."""

import numpy as np

from cnn.autograd.function import Operation
from cnn.errors import ShapeError

from .module import Module
from .sizes import whole

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "pad",
]


def cut(ndim, axis, begin, end):
    """The index of [begin, end) along one axis, all of the others."""
    index = [slice(None)] * ndim
    index[axis] = slice(begin, end)
    return tuple(index)


def reflected(n, before, after):
    """Where the border comes from: what lies beside the outermost value on its other side, outwards."""
    return np.arange(before, 0, -1), n - 2 - np.arange(after)


def replicated(n, before, after):
    return np.zeros(before, np.intp), np.full(after, n - 1)


def wrapped(n, before, after):
    return np.arange(n - before, n), np.arange(after)


SOURCES = {"reflect": reflected, "replicate": replicated, "circular": wrapped}


class Pad(Operation):
    """pads: one (before, after) per axis; negative numbers cut off instead."""

    @staticmethod
    def forward(ctx, x, pads, mode, value):
        ctx.pads, ctx.mode, ctx.shape = pads, mode, x.shape
        kept = tuple(slice(max(-p[0], 0), n - max(-p[1], 0)) for n, p in zip(x.shape, pads, strict=True))
        starts = [max(before, 0) for before, _ in pads]
        inner = tuple(slice(i, i + s.stop - s.start) for i, s in zip(starts, kept, strict=True))
        ctx.kept, ctx.inner = kept, inner
        y = empty_in_order_of(x, tuple(n + sum(p) for n, p in zip(x.shape, pads, strict=True)))
        if mode == "constant":
            y[...] = value
            y[inner] = x[kept]
            return y
        y[inner] = x[kept]
        # Axis by axis: the corners come from borders that the axes before have filled.
        for axis, (before, after) in enumerate(pads):
            n = inner[axis].stop - inner[axis].start
            first, last = SOURCES[mode](n, max(before, 0), max(after, 0))
            offset = inner[axis].start
            y[cut(y.ndim, axis, 0, offset)] = y.take(first + offset, axis)
            y[cut(y.ndim, axis, offset + n, None)] = y.take(last + offset, axis)
        return y

    @staticmethod
    def backward(ctx, dy):
        if ctx.mode != "constant":
            dy = dy.copy(order="K")
            # The way back: the gradient of a border value goes to where the value came from.
            for axis in reversed(range(dy.ndim)):
                before, after = ctx.pads[axis]
                offset, end = ctx.inner[axis].start, ctx.inner[axis].stop
                sources = SOURCES[ctx.mode](end - offset, max(before, 0), max(after, 0))
                borders = dy[cut(dy.ndim, axis, 0, offset)], dy[cut(dy.ndim, axis, end, None)]
                for source, border in zip(sources, borders, strict=True):
                    for k, position in enumerate(source):
                        position = int(position) + offset
                        dy[cut(dy.ndim, axis, position, position + 1)] += border[cut(dy.ndim, axis, k, k + 1)]
        dx = np.zeros(ctx.shape, dy.dtype)
        dx[ctx.kept] = dy[ctx.inner]
        return dx, None, None, None


def empty_in_order_of(x, shape):
    """A new array that lies in memory as x does: planes or channels last."""
    if x.ndim == 4 and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous:
        n, c, h, w = shape
        return np.empty((n, h, w, c), x.dtype).transpose(0, 3, 1, 2)
    return np.empty(shape, x.dtype)


def pad(input, pad, mode="constant", value=None):
    """Adds values around `input`, or cuts some off where `pad` is negative.

    pad = (left, right), (left, right, top, bottom), ...: two numbers for the last dimension, two for the one before
    it, and so on.

    mode "constant" adds `value` (0) in any number of dimensions; "reflect" mirrors without repeating the outermost
    value, "replicate" repeats it, "circular" goes on with the other end. These three take (N, C, W), (N, C, H, W) or
    (N, C, D, H, W), or one of them without N, and a `pad` for all of the dimensions after C.

    Raises:
        RuntimeError: more is to be cut off than there is, or reflected or wrapped than there is to take.
        NotImplementedError: an unknown mode, or dimensions that it does not do.
    """
    pad = tuple(whole(p, "pad", "pad") for p in pad)
    ndim = input.dim()
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(pad)} numbers: {pad}")
    if len(pad) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {ndim}"
        )
    pairs = [(0, 0)] * (ndim - len(pad) // 2) + list(zip(pad[-2::-2], pad[::-2], strict=True))
    if mode == "constant":
        value = 0 if value is None else value
    else:
        check_borders(tuple(input.shape), pairs, len(pad) // 2, mode, value)
    for axis, (n, sides) in enumerate(zip(input.shape, pairs, strict=True)):
        cut_off = max(-sides[0], 0) + max(-sides[1], 0)
        if n + sum(sides) < 0 or cut_off > n and mode in ("constant", "circular"):
            shape = tuple(input.shape)
            raise ShapeError(f"pad: {sides} leaves less than nothing of dimension {axis} of an input of shape {shape}")
        if n + sum(sides) > 2**48:  # more than a machine addresses: NumPy's own message would name nothing
            shape = tuple(input.shape)
            raise ShapeError(f"pad: {sides} makes dimension {axis} of an input of shape {shape} too large")
    if mode in ("reflect", "replicate") and min(map(min, pairs)) < 0:  # of the whole image, not of what is left of it
        input = Pad.apply(input, tuple((max(before, 0), max(after, 0)) for before, after in pairs), mode, value)
        pairs, mode, value = [(min(before, 0), min(after, 0)) for before, after in pairs], "constant", 0
    return Pad.apply(input, tuple(pairs), mode, value)


def check_borders(shape, pairs, padded, mode, value):
    """What reflect, replicate and circular need."""
    if mode not in SOURCES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if not 1 <= padded <= 3 or len(shape) - padded not in (1, 2):
        raise NotImplementedError(
            f"Padding size {2 * padded} is not supported for {len(shape)}D input tensor: mode {mode!r} pads every "
            "dimension after the channels"
        )
    for axis in range(len(shape) - padded, len(shape)):
        sides, n = pairs[axis], shape[axis]
        if n == 0:
            raise ShapeError(f"pad: mode {mode!r} finds no values in dimension {axis} of an input of shape {shape}")
        if mode == "reflect" and max(sides) >= n:
            raise ShapeError(
                "Padding size should be less than the corresponding input dimension, but got: padding "
                f"{sides} at dimension {axis} of input {list(shape)}"
            )
        if mode == "circular" and max(sides) > n + min(sides[0], 0) + min(sides[1], 0):  # what is left goes around
            raise ShapeError(
                f"Padding value causes wrapping around more than once: padding {sides} at dimension {axis} of input "
                f"{list(shape)}"
            )


class _Padding(Module):
    """What the layers below share: `padding` is one number for all sides or one per side, as `pad` takes them."""

    dimensions = 2
    mode = "constant"
    value = None

    def __init__(self, padding):
        super().__init__()
        sides = (padding,) * (2 * self.dimensions) if isinstance(padding, int) else tuple(padding)
        if len(sides) != 2 * self.dimensions:
            count = 2 * self.dimensions
            raise ValueError(f"{self._get_name()}: padding is a number or {count} of them, got {padding!r}")
        self.padding = sides

    def forward(self, input):
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self):
        return f"{self.padding}"


class ConstantPad2d(_Padding):
    """Adds `value` at (left, right, top, bottom) of (N, C, H, W); negative numbers cut off."""

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad2d):
    """Adds `value` at (left, right) of (N, C, W)."""

    dimensions = 1


class ConstantPad3d(ConstantPad2d):
    """Adds `value` at (left, right, top, bottom, front, back) of (N, C, D, H, W)."""

    dimensions = 3


class ZeroPad2d(_Padding):
    """Adds zeros at (left, right, top, bottom) of (N, C, H, W); negative numbers cut off."""

    value = 0.0


class ZeroPad1d(ZeroPad2d):
    """Adds zeros at (left, right) of (N, C, W)."""

    dimensions = 1


class ZeroPad3d(ZeroPad2d):
    """Adds zeros at (left, right, top, bottom, front, back) of (N, C, D, H, W)."""

    dimensions = 3


class ReflectionPad2d(_Padding):
    """Mirrors (N, C, H, W) at its edges; the outermost row is not repeated."""

    mode = "reflect"


class ReflectionPad1d(ReflectionPad2d):
    """Mirrors (N, C, W) at its ends."""

    dimensions = 1


class ReplicationPad2d(_Padding):
    """Repeats the outermost values of (N, C, H, W)."""

    mode = "replicate"


class ReplicationPad1d(ReplicationPad2d):
    """Repeats the outermost values of (N, C, W)."""

    dimensions = 1


class CircularPad2d(_Padding):
    """Goes on with the other end of (N, C, H, W)."""

    mode = "circular"


class CircularPad1d(CircularPad2d):
    """Goes on with the other end of (N, C, W)."""

    dimensions = 1
