"""SiLU, also called swish. See docs/layers/silu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.SiLU.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class Silu(Operation):
    @staticmethod
    def forward(ctx, x):
        ctx.saved = (x,)
        return _cnn.silu_forward(x)

    @staticmethod
    def forward_(ctx, x):
        if ctx.needs[0]:  # y takes one value twice, so the old x is needed
            ctx.saved = (x.copy(order="K"),)
        return _cnn.silu_forward_(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.silu_backward(dy, *ctx.saved)


def silu(input, inplace=False):
    """x * sigmoid(x), element by element; any shape. With inplace=True the input itself is changed."""
    return Silu.apply_(input) if inplace else Silu.apply(input)


class SiLU(Module):
    """x * sigmoid(x), element by element: input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return silu(input, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""
