"""What the losses share that compare an input and a target of the same shape, element by element."""

import warnings

from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops.conversion import result_type
from cnn.ops.shape import broadcast_tensors

from .class_target import check_tensors
from .reduction import reduce_loss


class PairLoss(Operation):
    """A subclass names its C functions: `loss`, `slope` (dloss/dx) and, where that is not -dloss/dx, `target_slope`."""

    target_slope = None

    @staticmethod
    def forward(ctx, x, target, each, p, reduction):
        ctx.saved = (x, target, each)
        ctx.arguments = (p, reduction)
        return ctx.loss(x, target, each, p, reduction)

    @staticmethod
    def backward(ctx, dy):
        dx = dt = None
        if ctx.needs[0] or ctx.target_slope is None:
            dx = ctx.slope(dy, *ctx.saved, *ctx.arguments)
        if ctx.needs[1]:
            dt = -dx if ctx.target_slope is None else ctx.target_slope(dy, *ctx.saved, *ctx.arguments)
        return dx, dt, None, None, None


def same_type(input, target):
    """Both in their common type: what torch computes in."""
    if input._a.dtype == target._a.dtype:
        return input, target
    common = result_type(input, target)
    return input.to(common), target.to(common)


def same_size(layer, input, target):
    """Both in one type and, with torch's warning, one shape."""
    check_tensors(layer, input=input, target=target)
    if input._a.shape != target._a.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )
        try:
            input, target = broadcast_tensors(input, target)
        except ValueError:
            raise ShapeError(
                f"{layer}: input and target must have the same shape, got {list(input.shape)} and {list(target.shape)}"
            ) from None
    return same_type(input, target)


def weighted(losses, weight, input, reduction):
    """Losses times weights, reduced; a mean divides by the sum of the weights."""
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduce_loss(losses, reduction)
