"""ELU. See docs/layers/elu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.ELU.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class Elu(Operation):
    """With other constants also selu and celu: see csrc/kernels/elu.c for alpha, scale and k."""

    @staticmethod
    def forward(ctx, x, alpha, scale=1.0, k=1.0):
        ctx.saved, ctx.options, ctx.kernel = (x,), (alpha, scale, k), _cnn.elu_backward
        return _cnn.elu_forward(x, alpha, scale, k)

    @staticmethod
    def forward_(ctx, x, alpha, scale=1.0, k=1.0):
        ctx.saved, ctx.options, ctx.kernel = (x,), (alpha, scale, k), _cnn.elu_backward_from_y
        return _cnn.elu_forward_(x, alpha, scale, k)

    @staticmethod
    def backward(ctx, dy):
        return ctx.kernel(dy, *ctx.saved, *ctx.options), None, None, None


def apply_elu(operation, name, input, inplace, alpha, scale, k):
    """In place, y stands in for x in backward; that takes an alpha that is not negative."""
    if not inplace:
        return operation.apply(input, alpha, scale, k)
    if alpha < 0 and input.requires_grad:
        raise RuntimeError(f"{name}: inplace=True needs an alpha of at least 0 for its gradient, got {alpha}")
    return operation.apply_(input, alpha, scale, k)


def elu(input, alpha=1.0, inplace=False):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere; any shape. With inplace=True the input itself is changed."""
    return apply_elu(Elu, "elu", input, inplace, alpha, 1.0, 1.0)


def elu_(input, alpha=1.0):
    """elu in place."""
    return elu(input, alpha, inplace=True)


class ELU(Module):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere: input and output have the same shape."""

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return elu(input, self.alpha, self.inplace)

    def extra_repr(self):
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")
