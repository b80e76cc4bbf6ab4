"""Softmax. See docs/layers/softmax.md and https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html."""

import warnings

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.ops.shape import wrap_dim

from .module import Module
from .sizes import check_tensor


class SoftmaxOperation(Operation):
    @staticmethod
    def forward(ctx, x, dim):
        y = _cnn.softmax_forward(x, dim)
        ctx.saved = (y,)
        ctx.dim = dim
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        return _cnn.softmax_backward(dy, y, ctx.dim), None


def implicit_dim(name, ndim, stacklevel):
    """The dimension that torch takes when none is given, with its warning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """e^x / sum of e^x along `dim`: positive numbers that sum to one. Any shape; `dtype` converts the input first.
    Mirrors torch.nn.functional.softmax.
    """
    check_tensor(input, "softmax")
    if dim is None:
        dim = implicit_dim("softmax", input.ndim, _stacklevel)
    if dtype is not None:
        input = input.to(dtype)
    return SoftmaxOperation.apply(input, wrap_dim(dim, input.ndim))


class Softmax(Module):
    """softmax along `dim` as a layer."""

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return softmax(input, self.dim, _stacklevel=5)

    def extra_repr(self):
        return f"dim={self.dim}"


class Softmax2d(Module):
    """softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input):
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return softmax(input, -3)
