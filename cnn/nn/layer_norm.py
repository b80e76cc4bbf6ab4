"""Layer normalisation: group_norm with one group. See docs/layers/layer_norm.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html.
"""

import math

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops.creation import empty

from . import init
from .module import Module
from .parameter import Parameter
from .sizes import whole


def _flat(array):
    return None if array is None else array.reshape(-1)


class NativeLayerNorm(Operation):
    @staticmethod
    def forward(ctx, x, shape, weight, bias, eps):
        rows = x.reshape(math.prod(x.shape[: x.ndim - len(shape)]), math.prod(shape))
        y, mean, invstd = _cnn.group_norm_forward(rows, 1, _flat(weight), _flat(bias), eps)
        ctx.saved = (rows, weight, mean, invstd)
        ctx.shapes = x.shape, shape
        return y.reshape(x.shape)

    @staticmethod
    def backward(ctx, dy):
        rows, weight, mean, invstd = ctx.saved
        x_shape, shape = ctx.shapes
        dx, dw, db = _cnn.group_norm_backward(
            dy.reshape(rows.shape), rows, 1, _flat(weight), mean, invstd, ctx.needs[0], ctx.needs[2] or ctx.needs[3]
        )
        gradients = [None if a is None else a.reshape(s) for a, s in ((dx, x_shape), (dw, shape), (db, shape))]
        return gradients[0], None, gradients[1], gradients[2], None


def _shape_of(sizes):
    """normalized_shape as a tuple of ints."""
    sizes = sizes if isinstance(sizes, (tuple, list)) else (sizes,)
    return tuple(whole(n, "layer_norm", "normalized_shape") for n in sizes)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are those of the last dimensions of one sample.

    input             (*, *normalized_shape)
    normalized_shape  an int or a sequence of ints
    weight, bias      of shape normalized_shape, or None for ones and zeros

    Mirrors torch.nn.functional.layer_norm.
    """
    shape = _shape_of(normalized_shape)
    if not shape:
        raise ShapeError("layer_norm: expected normalized_shape to be at least 1-dimensional, got ()")
    if input._a.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"Given normalized_shape={list(shape)!r:.80}, expected input with shape [*, "
            f"{', '.join(map(str, shape)):.80}], but got input of size{list(input.shape)}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and tuple(parameter.shape) != shape:
            raise ShapeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(parameter.shape)} and normalized_shape = {list(shape)}"
            )
    return NativeLayerNorm.apply(input, shape, weight, bias, float(eps))


class LayerNorm(Module):
    """layer_norm as a layer."""

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = _shape_of(normalized_shape)
        self.eps = eps
        self.elementwise_affine = affine = elementwise_affine
        self.register_parameter(
            "weight", Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) if affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self):
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input):
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
