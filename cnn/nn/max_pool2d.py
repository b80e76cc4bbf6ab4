"""2-d max pooling. See docs/layers/max_pool2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html.
"""

import numpy as np

from cnn import _cnn
from cnn.autograd.deferred import Snapshot, Unrectified
from cnn.autograd.function import Operation
from cnn.autograd.grad_mode import mode
from cnn.tensor import Tensor

from .module import Module
from .relu import WaitingRelu
from .sizes import lies_channels_last, pair

SIDE_BY_SIDE = (2, 2, 2, 2, 0, 0, 1, 1)  # windows of 2x2


class PooledGradient(Unrectified):
    """dy, before it goes back to where each maximum was. A maximum that no ReLU let through is 0, so passing a ReLU can
    come first, where there is less of it."""

    def __init__(self, dy, pool):
        self.dy, self.argmax, self.sizes, self.pooled = dy, pool.saved[0], (*pool.input, *pool.window), pool.saved[1]

    def array(self):
        return _cnn.max_pool2d_backward(self.dy, self.argmax, *self.sizes)

    def rectified(self, y):
        pooled = self.pooled.array()
        if pooled is None:
            return None
        return _cnn.max_pool2d_backward(_cnn.relu_backward(self.dy, pooled), self.argmax, *self.sizes)


class MaxPool2DWithIndices(Operation):
    """It saves argmax and, where it is in the graph, a Snapshot of its output."""

    @classmethod
    def apply(cls, x, window, ceil_mode, return_indices):
        pending = x._pending
        if isinstance(pending, WaitingRelu) and window == SIDE_BY_SIDE and not ceil_mode and not return_indices:
            keep = mode.enabled and x._requires_grad
            result = pending.pooled(keep)
            if result is not None:
                y, argmax, height, width = result
                y = Tensor._wrap(y)
                if keep:
                    ctx = cls()
                    ctx.needs, ctx.saved, ctx.window = (True, False, False, False), (argmax,), window
                    ctx.input = (height, width, lies_channels_last(argmax))
                    ctx.record((x, window, ceil_mode, return_indices), (y,))
                    ctx.saved = (argmax, Snapshot(y))
                return y
        result = _cnn.apply(cls, x, window, ceil_mode, return_indices)
        y = result[0] if return_indices else result
        if y._node is not None:
            y._node.saved += (Snapshot(y),)
        return result

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
        return PooledGradient(dy, ctx), None, None, None


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value of each window: (N, C, H, W) or (C, H, W) to (..., OH, OW), where (and likewise for OW)

        OH = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1

    Sizes are an int or a pair. `stride` is `kernel_size` where it is not given; `ceil_mode` rounds up instead of down.
    With return_indices=True also the position of each maximum in its (H, W) plane (int64). On a tie the first position
    wins; NaN wins over everything. Mirrors torch.nn.functional.max_pool2d.

    Raises ShapeError (a ValueError and RuntimeError) if the window does not fit into the padded input, or the padding
    exceeds half of the window.
    """
    kernel = pair(kernel_size, "max_pool2d", "kernel_size")
    steps = kernel if stride is None or type(stride) is tuple and not stride else pair(stride, "max_pool2d", "stride")
    window = (*kernel, *steps, *pair(padding, "max_pool2d", "padding"), *pair(dilation, "max_pool2d", "dilation"))
    return MaxPool2DWithIndices.apply(input, window, bool(ceil_mode), bool(return_indices))


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
