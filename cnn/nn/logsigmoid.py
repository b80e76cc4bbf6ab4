"""LogSigmoid. See docs/layers/logsigmoid.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.LogSigmoid.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class LogSigmoidOperation(Operation):
    @staticmethod
    def forward(ctx, x):
        ctx.saved = (x,)
        return _cnn.logsigmoid_forward(x)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.logsigmoid_backward(dy, *ctx.saved)


def logsigmoid(input):
    """log(1 / (1 + exp(-x))), element by element, finite for every finite x; any shape."""
    return LogSigmoidOperation.apply(input)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))), element by element: input and output have the same shape."""

    def forward(self, input):
        return logsigmoid(input)
