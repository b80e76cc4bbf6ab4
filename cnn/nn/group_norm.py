"""Group normalisation. See docs/layers/group_norm.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops.creation import empty

from . import init
from .module import Module
from .parameter import Parameter
from .sizes import whole


class NativeGroupNorm(Operation):
    @staticmethod
    def forward(ctx, x, groups, weight, bias, eps):
        y, mean, invstd = _cnn.group_norm_forward(x, groups, weight, bias, eps)
        ctx.saved = (x, groups, weight, mean, invstd)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, groups, weight, mean, invstd = ctx.saved
        parameters = ctx.needs[2] or ctx.needs[3]
        dx, dw, db = _cnn.group_norm_backward(dy, x, groups, weight, mean, invstd, ctx.needs[0], parameters)
        return dx, None, dw, db, None


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, with the mean and var of one group of channels in one sample.

    input         (N, C) or (N, C, d1, ...); num_groups divides C
    weight, bias  (C), or None for ones and zeros

    Mirrors torch.nn.functional.group_norm.
    """
    num_groups = whole(num_groups, "group_norm", "num_groups")
    if input.ndim > 1 and input.numel() and input.numel() == input.shape[0] * num_groups == num_groups:
        raise ShapeError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    return NativeGroupNorm.apply(input, num_groups, weight, bias, float(eps))


class GroupNorm(Module):
    """group_norm as a layer, for (N, C, ...)."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, bias=True):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter(
            "weight", Parameter(empty(num_channels, device=device, dtype=dtype)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(empty(num_channels, device=device, dtype=dtype)) if affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self):
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input):
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
