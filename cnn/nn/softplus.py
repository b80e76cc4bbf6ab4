"""Softplus. See docs/layers/softplus.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Softplus.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class SoftplusOperation(Operation):
    @staticmethod
    def forward(ctx, x, beta, threshold):
        ctx.saved, ctx.options = (x,), (beta, threshold)
        return _cnn.softplus_forward(x, beta, threshold)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.softplus_backward(dy, *ctx.saved, *ctx.options), None, None


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold; any shape."""
    return SoftplusOperation.apply(input, beta, threshold)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold: input and output have the same shape."""

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input):
        return softplus(input, self.beta, self.threshold)

    def extra_repr(self):
        return f"beta={self.beta}, threshold={self.threshold}"
