"""Tanh. See docs/layers/tanh.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Tanh.html."""

from cnn import _cnn, types
from cnn.autograd.function import Operation
from cnn.ops._register import both, inplace

from .module import Module
from .sizes import check_tensor


class TanhOperation(Operation):
    @staticmethod
    def forward(ctx, x):
        y = _cnn.tanh_forward(x)
        ctx.saved = (y,)
        return y

    @staticmethod
    def forward_(ctx, x):
        ctx.saved = (x,)
        return _cnn.tanh_forward_(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.tanh_backward(dy, *ctx.saved)


@both
def tanh(input):
    """The hyperbolic tangent of x, element by element; any shape. Integers become the default floating-point type."""
    check_tensor(input, "tanh")
    if input._a.dtype.kind != "f":
        input = input.to(types.get_default_dtype())
    return TanhOperation.apply(input)


inplace("tanh_", TanhOperation)


class Tanh(Module):
    """The hyperbolic tangent of x, element by element: input and output have the same shape."""

    def forward(self, input):
        return tanh(input)
