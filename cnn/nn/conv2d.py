"""2-d convolution. See docs/layers/conv2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html."""

import math

from cnn import _cnn
from cnn.autograd import aliases, deferred
from cnn.autograd.deferred import Unrectified
from cnn.autograd.function import Operation
from cnn.autograd.grad_mode import mode
from cnn.backends import conv as settings
from cnn.errors import ShapeError
from cnn.ops.creation import empty
from cnn.tensor import Tensor

from . import init
from .module import Module
from .pad import pad
from .parameter import Parameter
from .relu import Relu, WaitingRelu
from .sizes import pair, whole


class WaitingConvolution:
    """A convolution that is checked and not yet computed (cnn/autograd/deferred.py). Calling it does that.

    Its input may wait as well: `before` is then the depthwise convolution that makes it, or the WaitingRelu of one, and
    the array among the arguments is None.
    """

    __slots__ = ("arguments", "scale", "before")

    def __init__(self, arguments, scale=None, before=None):
        self.arguments, self.scale, self.before = arguments, scale, before

    def __call__(self, relu=False):
        if self.before is not None:
            has_relu = isinstance(self.before, WaitingRelu)
            first = self.before.convolution if has_relu else self.before
            _, w, b, *geometry = self.arguments
            y = _cnn.conv2d_separable_forward(*first.arguments, first.scale, has_relu, w, b, self.scale, relu)
            if y is not None:
                return y
            self.arguments, self.before = (self.before(), w, b, *geometry), None
        return _cnn.conv2d_forward(*self.arguments, relu, self.scale)

    def pooled(self, keep):
        """Through a ReLU and 2x2 max-pooling: (y, argmax or None, H, W); None where there is no way to that."""
        if self.before is not None:
            return None
        result = _cnn.conv2d_pool_forward(*self.arguments, self.scale, keep)
        x, w, b, *rest = self.arguments
        if keep and result is not None and b is not None:  # backward may have to compute what was between
            self.arguments = (x, w, b.copy(), *rest)
        return result

    def is_depthwise(self):
        _, w, *_, groups, _ = self.arguments
        return w.shape[:2] == (groups, 1) and self.before is None

    def with_batch_norm(self, weight, bias, running_mean, running_var, eps):
        """This convolution and a batch_norm in evaluation mode behind it, as one; None where that cannot be."""
        if self.scale is not None:
            return None
        x, w, b, *rest = self.arguments
        folded = _cnn.batch_norm_fold(w, b, weight, bias, running_mean, running_var, eps)
        if folded is None:
            return None
        scale, shift = folded
        return WaitingConvolution((x, w, shift, *rest), scale, self.before)


POINTWISE = (1, 1, 0, 0, 0, 0, 1, 1, 1)  # the geometry of a 1x1 convolution of all pixels


def behind_depthwise(input, weight, bias):
    """A pointwise convolution of what a depthwise one, still waiting, will compute: both are one pass, and what is
    between them is not stored (MobileNets: Howard et al. 2017, section 3.1). None where that is not what is asked for,
    or where somebody may want gradients."""
    before = getattr(input, "_pending", None)
    first = before.convolution if isinstance(before, WaitingRelu) and before.array is None else before
    if not isinstance(first, WaitingConvolution) or not first.is_depthwise():
        return None
    if not all(isinstance(t, Tensor) for t in (weight, bias) if t is not None):
        return None
    if mode.enabled and any(t is not None and t._requires_grad for t in (input, weight, bias)):
        return None
    w, b = weight._a, None if bias is None else bias._a
    channels = first.arguments[1]
    if w.ndim != 4 or w.shape[1:] != (channels.shape[0], 1, 1) or w.dtype != channels.dtype:
        return None
    if b is not None and (b.shape != w.shape[:1] or b.dtype != w.dtype) or _cnn.owners_in(aliases.exposed, w, b):
        return None
    return deferred.wait(WaitingConvolution((None, w, b, *POINTWISE, settings.code), before=before))


class Convolution(Operation):
    @classmethod
    def apply(cls, x, w, b, geometry):
        if not deferred.state.depth:
            return super().apply(x, w, b, geometry)
        arrays = (x._a, w._a, None if b is None else b._a)
        how = (*geometry, settings.code)
        _cnn.conv2d_check(*arrays, *how)
        arguments = arrays
        outside = _cnn.owners_in(aliases.exposed, *arrays)
        if outside:  # somebody may change them before the result is looked at
            if outside != 1 or 4 * x._a.shape[1] > w._a.shape[0]:
                return super().apply(x, w, b, geometry)
            arguments = (x._a.copy(order="K"), *arrays[1:])  # an image: less than a pass over the result
        pending = WaitingConvolution((*arguments, *how))
        return cls.wait((x, w, b, geometry), pending, geometry=geometry, saved=arrays[:2])

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
            return InputGradient(dy, x, w, how), dw, db, None
        return *_cnn.conv2d_backward(dy, x, w, *how, want_dx, want_dw, want_db, False), None


class InputGradient(Unrectified):
    """Where x came out of a ReLU, the kernel can pass the gradient through the ReLU while it is in the cache."""

    def __init__(self, dy, x, w, how):
        self.dy, self.x, self.w, self.how = dy, x, w, how

    def _compute(self, rectified):
        return _cnn.conv2d_backward(self.dy, self.x, self.w, *self.how, True, False, False, rectified)[0]

    def array(self):
        return self._compute(False)

    def rectified(self, y):
        return self._compute(True) if y is self.x else None


def same_padding(kernel, stride, dilation):
    """(before, after) along one axis, so that output and input have one size; the odd one goes after, as in torch."""
    if stride != 1:
        raise ValueError("conv2d: padding='same' is not supported for strided convolutions")
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def geometry_of(kernel_size, stride, padding, dilation, groups):
    """What _cnn takes: stride (h, w), padding (top, bottom, left, right), dilation (h, w), groups."""
    stride, dilation = pair(stride, "conv2d", "stride"), pair(dilation, "conv2d", "dilation")
    if not isinstance(padding, str):
        ph, pw = pair(padding, "conv2d", "padding")
        sides = (ph, ph, pw, pw)
    elif padding == "same":
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
    if deferred.state.depth and geometry == POINTWISE:
        output = behind_depthwise(input, weight, bias)
        if output is not None:
            return output
    unbatched = input.ndim == 3
    if unbatched:
        input = input.unsqueeze(0)
    output = Convolution.apply(input, weight, bias, geometry)
    return output.squeeze(0) if unbatched else output


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
