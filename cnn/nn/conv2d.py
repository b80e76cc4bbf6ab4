"""2-d convolution. See docs/layers/conv2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html."""

import math

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.backends import conv as settings
from cnn.errors import ShapeError
from cnn.ops.creation import empty

from . import fusion, init
from .module import Module
from .pad import pad
from .parameter import Parameter
from .relu import Relu
from .sizes import pair, whole


class Convolution(Operation):
    @staticmethod
    def forward(ctx, x, w, b, geometry):
        ctx.geometry = geometry
        ctx.saved = (x, w)
        return _cnn.conv2d_forward(x, w, b, *geometry, settings.code, 0, None)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved
        want_dx, want_dw, want_db, _ = ctx.needs
        how = (*ctx.geometry, settings.code)
        if want_dx and type(ctx.edges[0][0]) is Relu:
            _, dw, db = _cnn.conv2d_backward(dy, x, w, *how, False, want_dw, want_db, False)
            return fusion.ConvolutionGradient(dy=dy, x=x, w=w, how=how), dw, db, None
        return *_cnn.conv2d_backward(dy, x, w, *how, want_dx, want_dw, want_db, False), None


def same_padding(kernel, stride, dilation):
    """(before, after) along one axis, so that output and input have one size; the odd one goes after, as in torch."""
    if stride != 1:
        raise ValueError("conv2d: padding='same' is not supported for strided convolutions")
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def geometry_of(kernel_size, stride, padding, dilation, groups):
    """What _cnn takes: stride (h, w), padding (top, bottom, left, right), dilation (h, w), groups."""
    if not isinstance(padding, str):
        names = ("stride", "padding", "dilation")
        sh, sw, ph, pw, dh, dw = _cnn.pairs("conv2d", names, stride, padding, dilation)
        return sh, sw, ph, ph, pw, pw, dh, dw, groups
    stride, dilation = pair(stride, "conv2d", "stride"), pair(dilation, "conv2d", "dilation")
    if padding == "same":
        if len(kernel_size) != 2:
            raise ShapeError(
                f"conv2d: weight must have 4 dimensions (OC, C/groups, KH, KW), got {len(kernel_size) + 2}"
            )
        (kh, kw), (sh, sw), (dh, dw) = kernel_size, stride, dilation
        sides = (*same_padding(kh, sh, dh), *same_padding(kw, sw, dw))
    elif padding == "valid":
        sides = (0, 0, 0, 0)
    else:
        raise ValueError(f"conv2d: padding must be 'same', 'valid' or integers, got {padding!r}")
    return (*stride, *sides, *dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Sliding weighted sums: y[n,oc,oh,ow] = b[oc] + sum of w[oc,ic,kh,kw] * x[n,ic,ih,iw] over the window.

    input (N, C, H, W) or (C, H, W); weight (OC, C/groups, KH, KW); bias (OC) or None;
    result (N, OC, OH, OW) or (OC, OH, OW), with OH = floor((H + 2*padding - dilation*(KH-1) - 1) / stride) + 1.

    padding is an int, two of them, 'valid' (none) or 'same' (the size stays; stride 1 only).
    Raises ShapeError where the shapes do not fit each other, DTypeError where the types differ.
    """
    kernel_size = weight.shape[2:] if isinstance(padding, str) else None
    geometry = geometry_of(kernel_size, stride, padding, dilation, groups)
    if type(groups) is int and geometry == fusion.POINTWISE:
        output = fusion.pointwise(input, weight, bias, settings.code)
        if output is not None:
            return output
    unbatched = input.ndim == 3
    if unbatched:
        input = input.unsqueeze(0)
    output = fusion.convolution(Convolution, input, weight, bias, geometry, settings.code)
    if output is None:
        output = Convolution.apply(input, weight, bias, geometry)
    return output.squeeze(0) if unbatched else output


def explain(input, weight, stride=1, padding=0, dilation=1, groups=1):
    """Which way F.conv2d(input, weight, ...) takes now, forward and backward, and why: a text of three lines."""
    geometry = geometry_of(weight.shape[2:], stride, padding, dilation, groups)
    passes = ("forward", "backward to the input", "backward to the weight")
    ways = _cnn.conv2d_explain(input._a, weight._a, *geometry, settings.code)
    return "\n".join(f"{name}: {way}" for name, way in zip(passes, ways, strict=True))


settings.explain = explain

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What Conv1d, Conv2d and the transposed ones share: the settings, the parameters and how they are printed.

    The sizes arrive as tuples, one value per dimension.
    """

    transposed = False
    output_padding = ()

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode,
        device,
        dtype,
    ):
        super().__init__()
        name = type(self).__name__
        in_channels, out_channels = whole(in_channels, name, "in_channels"), whole(out_channels, name, "out_channels")
        groups = whole(groups, name, "groups")
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
        if in_channels % groups != 0:
            raise ValueError(f"{name}: in_channels must be divisible by groups, got {in_channels} and {groups}")
        if out_channels % groups != 0:
            raise ValueError(f"{name}: out_channels must be divisible by groups, got {out_channels} and {groups}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"{name}: padding_mode must be one of {PADDING_MODES}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.padding_mode = padding_mode
        channels = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (channels[0], channels[1] // groups, *kernel_size)
        self.weight = Parameter(empty(shape, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw weight and bias anew, in torch's order and from its distribution."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self):
        dimensions = len(self.kernel_size)
        s = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * dimensions:
            s += f", padding={self.padding}"
        if self.dilation != (1,) * dimensions:
            s += f", dilation={self.dilation}"
        if any(self.output_padding):
            s += f", output_padding={self.output_padding}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self.bias is None:
            s += ", bias=False"
        if self.padding_mode != "zeros":
            s += f", padding_mode={self.padding_mode}"
        return s


class Conv2d(_Conv):
    """conv2d with a weight (out_channels, in_channels/groups, KH, KW) and a bias (out_channels) of its own.

    Both start uniform in ±1/sqrt(in_channels/groups * KH * KW), as in torch. padding_mode other than 'zeros' pads with
    values of the image instead (F.pad).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        kernel_size = pair(kernel_size, "Conv2d", "kernel_size")
        stride, dilation = pair(stride, "Conv2d", "stride"), pair(dilation, "Conv2d", "dilation")
        padding = padding if isinstance(padding, str) else pair(padding, "Conv2d", "padding")
        geometry_of(kernel_size, stride, padding, dilation, groups)  # complains now and not at the first call
        sizes = (kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, device, dtype)

    def forward(self, input):
        if self.padding_mode == "zeros":
            return conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        _, _, top, bottom, left, right, *_ = geometry_of(self.kernel_size, self.stride, self.padding, self.dilation, 1)
        padded = pad(input, (left, right, top, bottom), mode=self.padding_mode)
        return conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
