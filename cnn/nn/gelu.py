"""GELU. See docs/layers/gelu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.GELU.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module

KERNELS = {
    "none": (_cnn.gelu_forward, _cnn.gelu_backward),
    "tanh": (_cnn.gelu_tanh_forward, _cnn.gelu_tanh_backward),
}


class Gelu(Operation):
    @staticmethod
    def forward(ctx, x, approximate):
        forward, ctx.kernel = KERNELS[approximate]
        ctx.saved = (x,)
        return forward(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.kernel(dy, *ctx.saved), None


def gelu(input, approximate="none"):
    """x times the normal distribution at x, element by element; any shape. approximate="tanh" takes the formula with
    tanh for the distribution."""
    if approximate not in KERNELS:
        raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return Gelu.apply(input, approximate)


class GELU(Module):
    """x times the normal distribution at x: input and output have the same shape."""

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return gelu(input, self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"
