"""ReLU. See docs/layers/relu.md and https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html."""

import numpy as np

from cnn import _cnn
from cnn.autograd.deferred import Rectified, Unrectified
from cnn.autograd.function import Node, Operation
from cnn.autograd.grad_mode import mode
from cnn.ops._register import both
from cnn.tensor import Tensor

from .module import Module
from .sizes import check_tensor, lies_channels_last


class WaitingRelu:
    """A convolution and the ReLU behind it: the array, once it is asked for, or its 2x2 max-pooling right away."""

    __slots__ = ("convolution", "array")

    def __init__(self, convolution):
        self.convolution, self.array = convolution, None

    def __call__(self):
        if self.array is None:
            self.array = self.convolution(relu=True)
        return self.array

    def pooled(self, keep):
        """(y, argmax or None, H, W), without the array before; None where there is no way to that."""
        return self.convolution.pooled(keep) if self.array is None else None


def _maximum_of_zero(x, out=None):
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return np.maximum(x, 0, out=out)


class Relu(Operation):
    """It saves its output, or the WaitingRelu that gives it."""

    takes = Unrectified

    @classmethod
    def apply(cls, x):
        pending = x._pending
        if pending is None or isinstance(pending, WaitingRelu):
            return _cnn.apply(cls, x)
        if hasattr(pending, "pooled"):
            source = WaitingRelu(pending)
            y = cls.wait((x,), source, saved=(source,))
            if y._node is not None:
                box = y._version_box()
                y._node._versions = ((box, box[0]),)
            return y
        # Something that nobody has looked at: it writes its result through the ReLU, in one pass.
        y = Tensor._wrap(pending(relu=True))
        if mode.enabled and x._requires_grad:
            ctx = cls()
            ctx.needs, ctx.saved = (True,), (y._a,)
            ctx.record((x,), (y,))
        return y

    @classmethod
    def apply_(cls, x):
        pending = x._pending
        waits = pending is not None and not isinstance(pending, WaitingRelu)
        if waits:
            x._a = pending(relu=True)
        return super().apply_(x, waits)

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
        source = y if type(y) is WaitingRelu else None
        if source is not None:
            y = source.array
        if isinstance(dy, Unrectified):
            dx = dy.rectified(y)
            if dx is not None:
                return dx
            dy = dy.array()
        y = source() if y is None else y
        target = ctx.edges[0][0]
        waits = isinstance(target, Node) and target.takes is Rectified
        return Rectified(dy, y) if waits else _cnn.relu_backward(dy, y)


@both
def relu(input, inplace=False):
    """max(input, 0), element by element; any shape. With inplace=True the input itself is changed."""
    try:
        return Relu.apply_(input) if inplace else Relu.apply(input)
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
