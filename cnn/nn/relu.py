"""ReLU. See docs/layers/relu.md and https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html."""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Node, Operation
from cnn.ops._register import both

from . import fusion
from .module import Module
from .sizes import check_tensor, lies_channels_last


def _maximum_of_zero(x, out=None):
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return np.maximum(x, 0, out=out)


class Relu(Operation):
    """It saves its output, or the fusion.PendingRelu that gives it."""

    takes = fusion.Unrectified

    @classmethod
    def apply_(cls, x):
        array = fusion.relu_in_place(x._pending)
        if array is not None:
            x._a = array
        return super().apply_(x, array is not None)

    @staticmethod
    def forward(ctx, x):
        y = _cnn.relu_forward(x) if x.dtype.char in "fd" else _maximum_of_zero(x)
        ctx.saved = (y,)
        return y

    @staticmethod
    def forward_(ctx, x, done):
        ctx.saved = (x,)
        if done:
            return x
        dense = (x.flags.c_contiguous or lies_channels_last(x)) and x.dtype.char in "fd"
        return _cnn.relu_forward_(x) if dense else _maximum_of_zero(x, x)

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        source = y if type(y) is fusion.PendingRelu else None
        if source is not None:
            y = source.array
        if isinstance(dy, fusion.Unrectified):
            dx = dy.rectified(y)
            if dx is not None:
                return dx
            dy = dy.array()
        y = source() if y is None else y
        target = ctx.edges[0][0]
        waits = isinstance(target, Node) and target.takes is fusion.Rectified
        return fusion.Rectified(dy=dy, y=y) if waits else _cnn.relu_backward(dy, y)


@both
def relu(input, inplace=False):
    """max(input, 0), element by element; any shape. With inplace=True the input itself is changed."""
    try:
        if inplace:
            return Relu.apply_(input)
        y = fusion.rectified(Relu, input) if input._pending is not None else None
        return Relu.apply(input) if y is None else y
    except AttributeError:
        check_tensor(input, "relu")
        raise


@both
def relu_(input):
    """relu in place."""
    return Relu.apply_(input)


class ReLU(Module):
    """max(x, 0), element by element: input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return relu(input, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""
