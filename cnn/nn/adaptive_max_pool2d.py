"""2-d adaptive max pooling. See docs/layers/adaptive_max_pool2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html.
"""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module
from .sizes import adaptive_pair, lies_channels_last


class AdaptiveMaxPool2D(Operation):
    @staticmethod
    def forward(ctx, x, size, return_indices):
        y, argmax = _cnn.adaptive_max_pool2d_forward(x, *size)
        ctx.saved = (argmax,)
        ctx.input = (x.shape[-2], x.shape[-1], lies_channels_last(x))
        return (y, argmax.astype(np.int64)) if return_indices else y

    @staticmethod
    def backward(ctx, dy, *_):
        (argmax,) = ctx.saved
        return _cnn.adaptive_max_pool2d_backward(dy, argmax, *ctx.input), None, None


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The largest values of OH x OW windows that together cover the input: (N, C, H, W) or (C, H, W) to (..., OH, OW).

    `output_size` is an int or a pair; None keeps that size of the input. With return_indices=True also the position of
    each maximum in its (H, W) plane (int64). Mirrors torch.nn.functional.adaptive_max_pool2d.
    """
    size = adaptive_pair(output_size, input, "adaptive_max_pool2d")
    return AdaptiveMaxPool2D.apply(input, size, bool(return_indices))


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """adaptive_max_pool2d with return_indices=True, whatever is said here (as in torch)."""
    return adaptive_max_pool2d(input, output_size, return_indices=True)


class AdaptiveMaxPool2d(Module):
    """adaptive_max_pool2d as a layer: (N, C, H, W) to (N, C, OH, OW)."""

    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input):
        return adaptive_max_pool2d(input, self.output_size, self.return_indices)

    def extra_repr(self):
        return f"output_size={self.output_size}"
