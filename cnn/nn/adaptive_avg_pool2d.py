"""2-d adaptive average pooling. See docs/layers/adaptive_avg_pool2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module
from .sizes import adaptive_pair, lies_channels_last


class AdaptiveAvgPool2D(Operation):
    @staticmethod
    def forward(ctx, x, size):
        ctx.input = (x.shape[-2], x.shape[-1], lies_channels_last(x)) if x.ndim > 1 else ()
        return _cnn.adaptive_avg_pool2d_forward(x, *size)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.adaptive_avg_pool2d_backward(dy, *ctx.input), None


def adaptive_avg_pool2d(input, output_size):
    """The means of OH x OW windows that together cover the input: (N, C, H, W) or (C, H, W) to (..., OH, OW).

    `output_size` is an int or a pair; None keeps that size of the input. Mirrors
    torch.nn.functional.adaptive_avg_pool2d.
    """
    return AdaptiveAvgPool2D.apply(input, adaptive_pair(output_size, input, "adaptive_avg_pool2d"))


class AdaptiveAvgPool2d(Module):
    """adaptive_avg_pool2d as a layer: (N, C, H, W) to (N, C, OH, OW)."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        return adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"
