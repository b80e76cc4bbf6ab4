"""Sliding windows as columns, and back. See https://docs.pytorch.org/docs/stable/generated/torch.nn.Unfold.html.

    unfold    y[n, (c, p, q), (i, j)] = x[n, c, i*SH - PH + p*DH, j*SW - PW + q*DW]
    fold      the transposed map: every column is added back to where it came from

Each is the other's backward.
"""

import numpy as np

from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops._quiet import quiet

from .module import Module
from .sizes import pair

__all__ = ["Fold", "Unfold", "fold", "unfold"]


def window_counts(size, kernel, dilation, padding, stride):
    """Windows along each axis: equation of the output size of a convolution."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


def to_columns(x, kernel, dilation, padding, stride):
    n, c, height, width = x.shape
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = kernel, dilation, padding, stride
    oh, ow = window_counts((height, width), kernel, dilation, padding, stride)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    y = np.empty((n, c, kh, kw, oh, ow), x.dtype)
    for p in range(kh):
        for q in range(kw):
            y[:, :, p, q] = padded[:, :, p * dh :: sh, q * dw :: sw][:, :, :oh, :ow]
    return y.reshape(n, c * kh * kw, oh * ow)


@quiet
def from_columns(y, size, kernel, dilation, padding, stride):
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = kernel, dilation, padding, stride
    oh, ow = window_counts(size, kernel, dilation, padding, stride)
    n, c = y.shape[0], y.shape[1] // (kh * kw)
    y = y.reshape(n, c, kh, kw, oh, ow)
    padded = np.zeros((n, c, size[0] + 2 * ph, size[1] + 2 * pw), y.dtype)
    for p in range(kh):
        for q in range(kw):
            padded[:, :, p * dh :: sh, q * dw :: sw][:, :, :oh, :ow] += y[:, :, p, q]
    return padded[:, :, ph : ph + size[0], pw : pw + size[1]]


class Im2Col(Operation):
    @staticmethod
    def forward(ctx, x, geometry):
        ctx.size, ctx.geometry = x.shape[2:], geometry
        return to_columns(x, *geometry)

    @staticmethod
    def backward(ctx, dy):
        return from_columns(dy, ctx.size, *ctx.geometry), None


class Col2Im(Operation):
    @staticmethod
    def forward(ctx, y, size, geometry):
        ctx.geometry = geometry
        return from_columns(y, size, *geometry)

    @staticmethod
    def backward(ctx, dx):
        return to_columns(dx, *ctx.geometry), None, None


def geometry_of(name, kernel_size, dilation, padding, stride):
    geometry = (
        pair(kernel_size, name, "kernel_size"),
        pair(dilation, name, "dilation"),
        pair(padding, name, "padding"),
        pair(stride, name, "stride"),
    )
    for (a, b), what, low in zip(geometry, ("kernel_size", "dilation", "padding", "stride"), (1, 1, 0, 1), strict=True):
        if a < low or b < low:
            raise ValueError(f"{name}: {what} must be at least {low}, got {(a, b)}")
    return geometry


def check_windows(name, size, geometry):
    counts = window_counts(size, *geometry)
    kernel, dilation, padding, _ = geometry
    if (size[0] + 2 * padding[0]) * (size[1] + 2 * padding[1]) > 2**48:  # more than a machine addresses
        what = "output_size" if name == "fold" else "input of spatial size"
        raise ShapeError(f"{name}: {what} {tuple(size)} with padding={padding} is too large")
    if min(counts) < 1:
        raise ShapeError(
            f"{name}: given input with spatial size {tuple(size)}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, calculated shape of the array of sliding blocks as {counts}, but its components must "
            "be at least one."
        )
    return counts


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C, H, W) or (C, H, W) to (N, C KH KW, L): a column for each of the L windows."""
    geometry = geometry_of("unfold", kernel_size, dilation, padding, stride)
    if input.dim() not in (3, 4):
        raise ShapeError(f"unfold: expected 3D or 4D input, got shape {tuple(input.shape)}")
    check_windows("unfold", tuple(input.shape[-2:]), geometry)
    if input.dim() == 3:
        return Im2Col.apply(input.unsqueeze(0), geometry).squeeze(0)
    return Im2Col.apply(input, geometry)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C KH KW, L) or (C KH KW, L) to (N, C, *output_size): values that overlap are added up."""
    size = pair(output_size, "fold", "output_size")
    if min(size) < 1:
        raise ShapeError(f"fold: output_size must be at least 1, got {size}")
    geometry = geometry_of("fold", kernel_size, dilation, padding, stride)
    if input.dim() not in (2, 3):
        raise ShapeError(f"fold: expected 2D or 3D input, got shape {tuple(input.shape)}")
    kernel = geometry[0]
    rows, columns = input.shape[-2:]
    if rows % (kernel[0] * kernel[1]):
        raise ShapeError(
            "fold: expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={kernel}."
        )
    height, width = check_windows("fold", size, geometry)
    if columns != height * width:
        raise ShapeError(
            f"fold: given output_size={size} and kernel_size={kernel}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {height} * {width} = {height * width}, but got "
            f"input.size(2)={columns}."
        )
    if input.dim() == 2:
        return Col2Im.apply(input.unsqueeze(0), size, geometry).squeeze(0)
    return Col2Im.apply(input, size, geometry)


class Unfold(Module):
    """(N, C, H, W) to (N, C KH KW, L): a column for each window."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input):
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """(N, C KH KW, L) to (N, C, *output_size): values that overlap are added up."""

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input):
        return fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self):
        return f"output_size={self.output_size}, {super().extra_repr()}"
