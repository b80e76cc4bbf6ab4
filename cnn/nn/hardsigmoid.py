"""Hardsigmoid. See docs/layers/hardsigmoid.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Hardsigmoid.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class HardsigmoidOperation(Operation):
    saves_output_for_input = True

    @staticmethod
    def forward(ctx, x):
        y = _cnn.hardsigmoid_forward(x)
        ctx.saved = (y,)
        return y

    @staticmethod
    def forward_(ctx, x):
        ctx.saved = (x,)
        return _cnn.hardsigmoid_forward_(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.hardsigmoid_backward(dy, *ctx.saved)


def hardsigmoid(input, inplace=False):
    """min(max(x + 3, 0), 6) / 6, element by element; any shape. With inplace=True the input itself is changed."""
    apply = HardsigmoidOperation.apply_ if inplace else HardsigmoidOperation.apply
    return apply(input)


class Hardsigmoid(Module):
    """min(max(x + 3, 0), 6) / 6, element by element: input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return hardsigmoid(input, self.inplace)
