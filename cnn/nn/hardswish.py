"""Hardswish. See docs/layers/hardswish.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Hardswish.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class HardswishOperation(Operation):
    @staticmethod
    def forward(ctx, x):
        ctx.saved = (x,)
        return _cnn.hardswish_forward(x)

    @staticmethod
    def forward_(ctx, x):
        if ctx.needs[0]:  # y takes one value twice, so the old x is needed
            ctx.saved = (x.copy(order="K"),)
        return _cnn.hardswish_forward_(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.hardswish_backward(dy, *ctx.saved)


def hardswish(input, inplace=False):
    """x * min(max(x + 3, 0), 6) / 6, element by element; any shape. With inplace=True the input itself is changed."""
    apply = HardswishOperation.apply_ if inplace else HardswishOperation.apply
    return apply(input)


class Hardswish(Module):
    """x * min(max(x + 3, 0), 6) / 6, element by element: input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return hardswish(input, self.inplace)
