"""2-d max pooling. See docs/layers/max_pool2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html.
"""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation

from . import fusion
from .module import Module
from .sizes import lies_channels_last

WINDOW = ("kernel_size", "stride", "padding", "dilation")
SIDE_BY_SIDE = (2, 2, 2, 2, 0, 0, 1, 1)  # windows of 2x2


class MaxPool2DWithIndices(Operation):
    """It saves argmax and, where it is in the graph, a Snapshot of its output."""

    @staticmethod
    def forward(ctx, x, window, ceil_mode, return_indices):
        keep = return_indices or ctx.needs[0]
        y, argmax = _cnn.max_pool2d_forward(x, *window, ceil_mode, keep)
        if ctx.needs[0]:
            ctx.saved = (argmax,)
            ctx.window = window
            ctx.input = (x.shape[-2], x.shape[-1], lies_channels_last(x))
        return (y, argmax.astype(np.int64)) if return_indices else y

    @staticmethod
    def backward(ctx, dy, *_):
        argmax, pooled = ctx.saved
        sizes = (*ctx.input, *ctx.window)
        return fusion.PooledGradient(dy=dy, argmax=argmax, sizes=sizes, pooled=pooled), None, None, None


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value of each window: (N, C, H, W) or (C, H, W) to (..., OH, OW), where (and likewise for OW)

        OH = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1

    Sizes are an int or a pair. `stride` is `kernel_size` where it is not given; `ceil_mode` rounds up instead of down.
    With return_indices=True also the position of each maximum in its (H, W) plane (int64). On a tie the first position
    wins; NaN wins over everything. Mirrors torch.nn.functional.max_pool2d.

    Raises ShapeError (a ValueError and RuntimeError) if the window does not fit into the padded input, or the padding
    exceeds half of the window.
    """
    if stride is None or type(stride) is tuple and not stride:
        stride = kernel_size
    window = _cnn.pairs("max_pool2d", WINDOW, kernel_size, stride, padding, dilation)
    arguments = (input, window, bool(ceil_mode), bool(return_indices))
    y = None
    if input._pending is not None and window == SIDE_BY_SIDE and not ceil_mode and not return_indices:
        y = fusion.pooled(MaxPool2DWithIndices, *arguments)
    result = MaxPool2DWithIndices.apply(*arguments) if y is None else y
    y = result[0] if return_indices else result
    if y._node is not None:
        box = y._version_box()
        y._node.saved = (*y._node.saved, fusion.Snapshot(saved=y._a, box=box, version=box[0]))
    return result


def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """max_pool2d with return_indices=True, whatever is said here (as in torch)."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)


class _MaxPool(Module):
    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self):
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool2d(_MaxPool):
    """max_pool2d as a layer: (N, C, H, W) to (N, C, OH, OW)."""

    def forward(self, input):
        return max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )
