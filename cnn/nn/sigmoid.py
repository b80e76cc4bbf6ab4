"""Sigmoid. See docs/layers/sigmoid.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Sigmoid.html."""

from cnn import _cnn, types
from cnn.autograd.function import Operation
from cnn.ops._register import both, inplace

from .module import Module
from .sizes import check_tensor


class SigmoidOperation(Operation):
    @staticmethod
    def forward(ctx, x):
        y = _cnn.sigmoid_forward(x)
        ctx.saved = (y,)
        return y

    @staticmethod
    def forward_(ctx, x):
        ctx.saved = (x,)
        return _cnn.sigmoid_forward_(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.sigmoid_backward(dy, *ctx.saved)


@both
def sigmoid(input):
    """1 / (1 + exp(-x)), element by element; any shape. Integers become the default floating-point type."""
    check_tensor(input, "sigmoid")
    if input._a.dtype.kind != "f":
        input = input.to(types.get_default_dtype())
    return SigmoidOperation.apply(input)


inplace("sigmoid_", SigmoidOperation)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element by element: input and output have the same shape."""

    def forward(self, input):
        return sigmoid(input)
