"""PReLU. See docs/layers/prelu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.PReLU.html."""

import cnn
from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops._register import both

from . import init
from .module import Module
from .parameter import Parameter


class PreluOperation(Operation):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.saved = (x, weight)
        return _cnn.prelu_forward(x, weight.reshape(-1))

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved
        dx, dweight = _cnn.prelu_backward(dy, x, weight.reshape(-1))
        return dx, dweight.reshape(weight.shape)

    def name(self):
        return "PreluKernelBackward0"


@both
def prelu(input, weight):
    """x where x > 0, weight * x elsewhere; any shape. `weight` has one value, or one for each channel (dimension 1)."""
    if weight.ndim > 1:
        raise ShapeError(f"prelu: expected weight to have at most 1 dimension, got shape {tuple(weight.shape)}")
    return PreluOperation.apply(input, weight)


class PReLU(Module):
    """x where x > 0, weight * x elsewhere, with a learnt weight of `num_parameters` values: 1, or one for each channel.
    Input and output have the same shape."""

    def __init__(self, num_parameters=1, init=0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(cnn.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        init.constant_(self.weight, self.init)

    def forward(self, input):
        return prelu(input, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"
