"""Huber's loss. See docs/layers/huber_loss.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html.
"""

from cnn import _cnn

from .pair_loss import PairLoss, same_size
from .reduction import Loss, reduce_loss, reduction_number


class HuberLossOperation(PairLoss):
    loss = _cnn.huber_loss_forward
    slope = _cnn.huber_loss_backward


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """With d = |input - target|: d^2 / 2 where d <= delta, else delta (d - delta/2); reduced. Any shape, the same for
    both, to a number (reduction="none": to that shape). `weight` has one factor for each element. Mirrors
    torch.nn.functional.huber_loss.
    """
    number = reduction_number(reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    x, t = same_size("huber_loss", input, target)
    if weight is None:
        return HuberLossOperation.apply(x, t, None, float(delta), number)
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    return reduce_loss(HuberLossOperation.apply(x, t, None, float(delta), 0) * weight, reduction)


class HuberLoss(Loss):
    """huber_loss as a layer."""

    def __init__(self, reduction="mean", delta=1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input, target):
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)
