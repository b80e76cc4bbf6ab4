"""ReLU. See docs/layers/relu.md and https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html."""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.ops._register import both

from .module import Module


class Relu(Operation):
    @staticmethod
    def forward(ctx, x):
        y = _cnn.relu_forward(x) if x.dtype.char in "fd" else np.maximum(x, 0)
        ctx.saved = (y,)
        return y

    @staticmethod
    def forward_(ctx, x):
        ctx.saved = (x,)
        dense = x.flags.c_contiguous and x.dtype.char in "fd"
        return _cnn.relu_forward_(x) if dense else np.maximum(x, 0, out=x)

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        return _cnn.relu_backward(dy, y)


@both
def relu(input, inplace=False):
    """max(input, 0), element by element; any shape. With inplace=True the input itself is changed."""
    return Relu.apply_(input) if inplace else Relu.apply(input)


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
