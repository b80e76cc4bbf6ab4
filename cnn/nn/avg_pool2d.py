"""2-d average pooling. See docs/layers/avg_pool2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module
from .sizes import lies_channels_last, pair, whole


class AvgPool2D(Operation):
    @staticmethod
    def forward(ctx, x, window, ceil_mode, count_include_pad, divisor_override):
        ctx.input = (x.shape[-2:], lies_channels_last(x))
        ctx.arguments = (window, count_include_pad, divisor_override)
        return _cnn.avg_pool2d_forward(x, *window, ceil_mode, count_include_pad, divisor_override)

    @staticmethod
    def backward(ctx, dy):
        (size, channels_last), (window, count_include_pad, divisor_override) = ctx.input, ctx.arguments
        dx = _cnn.avg_pool2d_backward(dy, *size, channels_last, *window, count_include_pad, divisor_override)
        return dx, None, None, None, None


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window: (N, C, H, W) or (C, H, W) to (..., OH, OW), where (and likewise for OW)

        OH = floor((H + 2 padding - kernel_size) / stride) + 1

    Sizes are an int or a pair. `stride` is `kernel_size` where it is not given; `ceil_mode` rounds up instead of down.
    Padding counts as zeros, or with count_include_pad=False not at all; `divisor_override` replaces the count. Mirrors
    torch.nn.functional.avg_pool2d.

    Raises ShapeError (a ValueError and RuntimeError) if the window does not fit into the padded input, or the padding
    exceeds half of the window.
    """
    kernel = pair(kernel_size, "avg_pool2d", "kernel_size")
    steps = kernel if stride is None or type(stride) is tuple and not stride else pair(stride, "avg_pool2d", "stride")
    window = (*kernel, *steps, *pair(padding, "avg_pool2d", "padding"))
    divisor = 0 if divisor_override is None else whole(divisor_override, "avg_pool2d", "divisor_override")
    if divisor == 0 and divisor_override is not None:
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    return AvgPool2D.apply(input, window, bool(ceil_mode), bool(count_include_pad), divisor)


class AvgPool2d(Module):
    """avg_pool2d as a layer: (N, C, H, W) to (N, C, OH, OW)."""

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input):
        return avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
