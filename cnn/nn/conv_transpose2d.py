"""Transposed 2-d convolution: what conv2d does backward. See docs/layers/conv_transpose2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html."""

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.backends import conv as settings
from cnn.errors import ShapeError

from .conv2d import _Conv
from .pad import pad
from .sizes import check_floating, pair


class ConvTranspose(Operation):
    """y is the input gradient of a convolution with weight w whose output gradient is x. So backward goes forward."""

    @staticmethod
    def forward(ctx, x, w, height, width, geometry):
        ctx.geometry = geometry
        ctx.saved = (x, w)
        return _cnn.conv2d_backward_input(x, w, height, width, *geometry, settings.code)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved
        want_dx, want_dw, *_ = ctx.needs
        dx = dw = None
        if want_dx:
            dx = _cnn.conv2d_forward(dy, w, None, *ctx.geometry, settings.code, 0, None)
        if want_dw:
            _, dw, _ = _cnn.conv2d_backward(x, dy, w, *ctx.geometry, settings.code, False, True, False, False)
        return dx, dw, None, None, None

    def name(self):
        return "ConvolutionBackward0"


def _axis(size, kernel, stride, padding, dilation, extra):
    """One axis: (output size, padding at its end, zeros after it), for `extra` of output_padding.

    conv2d must map the output back to `size`. An extra smaller than the stride is what conv2d rounds away. A larger
    one, which dilation allows, undoes padding at the end, and what is left of it are outputs that no input reaches.
    """
    if stride < 1 or dilation < 1 or padding < 0:
        raise ShapeError(
            "conv_transpose2d: stride and dilation must be at least 1 and padding at least 0, got stride "
            f"{stride}, dilation {dilation}, padding {padding}"
        )
    if not 0 <= extra < max(stride, dilation):
        raise ShapeError(
            "conv_transpose2d: output_padding must be smaller than stride or dilation, got output_padding "
            f"{extra}, stride {stride}, dilation {dilation}"
        )
    output = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
    if output < 1:
        raise ShapeError(
            f"conv_transpose2d: with input of size {size}, kernel {kernel}, stride {stride}, padding {padding} and "
            f"dilation {dilation} the output has size {output}: too small"
        )
    if output > 2**48:  # more than a machine addresses
        raise ShapeError(
            f"conv_transpose2d: with input of size {size}, stride {stride} and dilation {dilation} "
            "the output is too large"
        )
    if extra < stride:
        return output, padding, 0
    zeros = max(0, extra - padding)
    return output - zeros, max(0, padding - extra), zeros


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every input value adds a copy of the kernel, times itself, to the output: the adjoint of conv2d.

    input (N, C, H, W) or (C, H, W); weight (C, OC/groups, KH, KW); bias (OC) or None; result (N, OC, OH, OW) or
    (OC, OH, OW), with OH = (H-1)*stride - 2*padding + dilation*(KH-1) + output_padding + 1.

    output_padding, smaller than stride or dilation, chooses among the sizes that conv2d would map to H. Raises
    ShapeError where the shapes do not fit each other, DTypeError where the types differ.
    """
    name = "conv_transpose2d"
    unbatched = input.ndim == 3
    if unbatched:
        input = input.unsqueeze(0)
    if input.ndim != 4 or weight.ndim != 4 or input.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{name}: expected input (N, C, H, W) and weight (C, OC/groups, KH, KW), got input {tuple(input.shape)} "
            f"and weight {tuple(weight.shape)}"
        )
    check_floating(input, name)
    stride, padding = pair(stride, name, "stride"), pair(padding, name, "padding")
    dilation, output_padding = pair(dilation, name, "dilation"), pair(output_padding, name, "output_padding")
    axes = [
        _axis(*values)
        for values in zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding, strict=True)
    ]
    (height, bottom, below), (width, right, beside) = axes
    geometry = (*stride, padding[0], bottom, padding[1], right, *dilation, groups)
    output = ConvTranspose.apply(input, weight, height, width, geometry)
    if below or beside:
        output = pad(output, (0, beside, 0, below))
    if bias is not None:
        if bias.ndim != 1 or bias.shape[0] != output.shape[1]:
            raise ShapeError(f"{name}: expected bias of {output.shape[1]} elements, got shape {tuple(bias.shape)}")
        output = output + bias.reshape(1, -1, 1, 1)
    return output.squeeze(0) if unbatched else output


class ConvTranspose2d(_Conv):
    """conv_transpose2d with a weight (in_channels, out_channels/groups, KH, KW) and a bias of its own."""

    transposed = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        name = "ConvTranspose2d"
        if padding_mode != "zeros":
            raise ValueError(f"{name}: only 'zeros' padding_mode is supported, got {padding_mode!r}")
        sizes = [
            pair(value, name, what)
            for value, what in (
                (kernel_size, "kernel_size"),
                (stride, "stride"),
                (padding, "padding"),
                (dilation, "dilation"),
            )
        ]
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, device, dtype)
        self.output_padding = pair(output_padding, name, "output_padding")

    def forward(self, input, output_size=None):
        """output_size (OH, OW), or a whole shape, takes the place of output_padding."""
        extra = self.output_padding if output_size is None else self._extra(input, list(output_size)[-2:])
        return conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input, wanted):
        smallest = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(
                input.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        largest = [size + s - 1 for size, s in zip(smallest, self.stride, strict=True)]
        if len(wanted) != 2 or not all(a <= b <= c for a, b, c in zip(smallest, wanted, largest, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {smallest} to {largest} (for an "
                f"input of {tuple(input.shape[-2:])})"
            )
        return tuple(b - a for a, b in zip(smallest, wanted, strict=True))
