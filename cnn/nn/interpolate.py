"""Images at another resolution. See docs/layers/interpolate.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html."""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError

from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .module import Module
from .sizes import check_floating, check_tensor, whole

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "interpolate", "upsample"]

# mode: number of dimensions that it works in; None for any
MODES = {"nearest": None, "nearest-exact": None, "linear": 1, "bilinear": 2, "bicubic": 2, "area": None}


class Interpolate(Operation):
    """rows, columns: (sources, weights) along each axis, as csrc/kernels/interpolate.c takes them."""

    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.tables, ctx.size = (*rows, *columns), x.shape[2:]
        return _cnn.interpolate_forward(x, *ctx.tables)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.interpolate_backward(dy, *ctx.tables, *ctx.size), None, None


def axis_table(n, out, scale, mode, align_corners, kind):
    """(sources, weights), each (out, taps): where output position i takes its value from.

    With corners aligned, the first and last values of input and output coincide; without, the pixels are squares with
    centres at i + 1/2, and the edges coincide. `scale` is the factor that the user gave, or None. `kind` is the type of
    the image: torch computes positions in it.
    """
    i = np.arange(out).astype(kind)
    if align_corners:
        step = kind(n - 1) / kind(out - 1) if out > 1 else kind(0)
    else:
        step = kind(1 / scale) if scale is not None else kind(n) / kind(out)
    if mode.startswith("nearest"):
        position = i * step if mode == "nearest" else (i + kind(0.5)) * step
        sources = np.minimum(np.floor(position).astype(np.int64), n - 1)
        return sources[:, None], np.ones((out, 1))
    position = i * step if align_corners else (i + kind(0.5)) * step - kind(0.5)
    if mode == "bicubic":
        first = np.floor(position)
        weights = cubic_weights((position - first).astype(np.float64))
        sources = first.astype(np.int64)[:, None] + np.arange(-1, 3)
        return np.clip(sources, 0, n - 1), weights
    position = np.maximum(position, 0)
    left = np.minimum(position.astype(np.int64), n - 1)
    right = np.minimum(left + 1, n - 1)
    share = np.clip(position - left.astype(kind), 0, 1).astype(np.float64)
    return np.stack([left, right], 1), np.stack([1 - share, share], 1)


def cubic_weights(t):
    """Keys, Cubic convolution interpolation for digital image processing (1981), with a = -3/4 as in torch."""
    a = -0.75

    def near(x):  # |x| <= 1
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):  # 1 < |x| < 2
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], 1)


def output_size(input, size, scale_factor):
    """(sizes, factors) for each dimension after the channels."""
    spatial = tuple(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = size if size is not None else scale_factor
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(spatial)
    if len(values) != len(spatial):
        what = "output size" if size is not None else "scale_factor"
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(spatial)} and {what} of {values!r:.80}."
        )
    if size is not None:
        return tuple(whole(n, "interpolate", "size") for n in values), (None,) * len(spatial)
    return tuple(int(np.floor(float(n) * f)) for n, f in zip(spatial, values, strict=True)), values


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """(N, C, W) or (N, C, H, W) at another resolution: `size`, or `scale_factor` times the old one.

    Args:
        mode: "nearest", "nearest-exact", "linear" (one dimension), "bilinear", "bicubic" or "area" (average).
        align_corners: for the linear and cubic modes, whether the outermost pixels' centres coincide, or their edges.

    Raises:
        ValueError: size and scale_factor both or neither, or not one per dimension; align_corners with another mode.
        RuntimeError: a size that is not positive.
        NotImplementedError: an unknown mode, or one for another number of dimensions; antialias.
    """
    check_tensor(input, "interpolate")
    if input._a.dtype == np.uint8 and mode in ("nearest", "nearest-exact"):  # float32 holds every byte
        return interpolate(input.float(), size, scale_factor, mode, align_corners, recompute_scale_factor).byte()
    if mode not in MODES or input.dim() not in (3, 4):
        raise NotImplementedError(
            f"interpolate: 3D and 4D input is supported with the modes {', '.join(MODES)}; got {input.dim()}D and "
            f"{mode}"
        )
    if MODES[mode] not in (None, input.dim() - 2):
        raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {MODES[mode] + 2}D input")
    if align_corners is not None and mode not in ("linear", "bilinear", "bicubic"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic"
        )
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported by cnn")
    sizes, factors = output_size(input, size, scale_factor)
    if recompute_scale_factor:
        factors = (None,) * len(factors)
    if min(*sizes, *input.shape[2:]) < 1:
        raise ShapeError(
            f"Input and output sizes should be greater than 0, but got input {tuple(input.shape[2:])} output {sizes}"
        )
    if max(sizes) > 1 << 24:
        raise ShapeError(f"interpolate: an output of size {sizes} is too large: float32 counts pixels up to {1 << 24}")
    check_floating(input, f"interpolate (mode {mode})")
    if input.dim() == 3:
        sizes, factors = (1, *sizes), (None, *factors)
        return resize(input.unsqueeze(2), sizes, factors, mode, align_corners).squeeze(2)
    return resize(input, sizes, factors, mode, align_corners)


def resize(input, sizes, factors, mode, align_corners):
    if mode == "area":
        return adaptive_avg_pool2d(input, sizes)
    kind = input._a.dtype.type
    axes = zip(input.shape[2:], sizes, factors, strict=True)
    rows, columns = (axis_table(n, out, scale, mode, bool(align_corners), kind) for n, out, scale in axes)
    return Interpolate.apply(input, rows, columns)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """The old name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


class Upsample(Module):
    """(N, C, W) or (N, C, H, W) at another resolution: see interpolate."""

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input):
        return interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self):
        size = f"scale_factor={self.scale_factor!r}" if self.scale_factor is not None else f"size={self.size!r}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample with mode "nearest"."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample with mode "bilinear" and aligned corners."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
