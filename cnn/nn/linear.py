"""linear: y = x A^T + b. The formulas are in csrc/kernels/linear.c, the derivation in docs/layers/linear.md."""

import math

from cnn import _cnn
from cnn.autograd.deferred import OuterProducts
from cnn.autograd.function import Operation
from cnn.ops.creation import empty

from . import init
from .module import Module
from .parameter import Parameter
from .sizes import whole


class Addmm(Operation):
    def name(self):
        return "AddmmBackward0" if self.has_bias else "MmBackward0"

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.has_bias, ctx.size = bias is not None, weight.size
        ctx.saved = (x if ctx.needs[1] else None, weight if ctx.needs[0] else None)
        return _cnn.linear_forward(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved
        want_dx, want_dw, want_db = ctx.needs
        few = dy.ndim == 2 and 1 <= dy.shape[0] <= OuterProducts.MOST_ROWS
        if want_dw and few and ctx.size >= OuterProducts.SMALLEST_WEIGHT:
            dx, _, db = _cnn.linear_backward(dy, x, weight, want_dx, False, want_db)
            return dx, OuterProducts(dy, x), db
        return _cnn.linear_backward(dy, x, weight, want_dx, want_dw, want_db)


def linear(input, weight, bias=None):
    """A weighted sum of the inputs for each output: y = x A^T + b.

    Mirrors torch.nn.functional.linear.

    Args:
        input: (*, in_features), any number of leading dimensions.
        weight: (out_features, in_features), or (in_features) for a single output without a dimension of its own.
        bias: (out_features), or None.

    Returns:
        (*, out_features), or (*) for a one-dimensional weight.

    Raises:
        ShapeError: input's last dimension is not in_features, or bias is not (out_features).
        DTypeError: the arguments are not all float32 or all float64.
    """
    if weight.ndim == 1:
        return _single_output(input, weight, bias)
    return Addmm.apply(input, weight, bias)


def _single_output(input, weight, bias):
    if bias is not None:
        bias = bias.reshape(1)
    return linear(input, weight.reshape(1, -1), bias).squeeze(-1)


class Linear(Module):
    """A fully connected layer: y = x A^T + b. Mirrors torch.nn.Linear.

    Shapes: input (*, in_features), output (*, out_features); weight (out_features, in_features), bias (out_features).
    Both start from U(-k, k) with k = 1 / sqrt(in_features).
    """

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__()
        self.in_features = in_features = whole(in_features, "Linear", "in_features")
        self.out_features = out_features = whole(out_features, "Linear", "out_features")
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values, in torch's order and from torch's stream."""
        # kaiming_uniform_ with a = sqrt(5) has the bound 1 / sqrt(fan_in): gain sqrt(2 / (1 + 5)), times sqrt(3).
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input):
        return linear(input, self.weight, self.bias)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
