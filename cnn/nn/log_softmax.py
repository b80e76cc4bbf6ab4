"""The logarithm of softmax. See docs/layers/log_softmax.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.ops.shape import wrap_dim

from .module import Module
from .sizes import check_tensor
from .softmax import implicit_dim


class LogSoftmaxOperation(Operation):
    @staticmethod
    def forward(ctx, x, dim):
        y = _cnn.log_softmax_forward(x, dim)
        ctx.saved = (y,)
        ctx.dim = dim
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        return _cnn.log_softmax_backward(dy, y, ctx.dim), None


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """x - log(sum of e^x) along `dim`, finite where the logarithm of softmax would not be. Any shape; `dtype` converts
    the input first. Mirrors torch.nn.functional.log_softmax.
    """
    check_tensor(input, "log_softmax")
    if dim is None:
        dim = implicit_dim("log_softmax", input.ndim, _stacklevel)
    if dtype is not None:
        input = input.to(dtype)
    return LogSoftmaxOperation.apply(input, wrap_dim(dim, input.ndim))


class LogSoftmax(Module):
    """log_softmax along `dim` as a layer."""

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return log_softmax(input, self.dim, _stacklevel=5)

    def extra_repr(self):
        return f"dim={self.dim}"
