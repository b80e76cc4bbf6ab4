"""The mean squared error. See docs/layers/mse_loss.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html.
"""

from cnn import _cnn

from .pair_loss import PairLoss, same_size, weighted
from .reduction import Loss, legacy_reduction, reduction_number


class MseLoss(PairLoss):
    loss = _cnn.mse_loss_forward
    slope = _cnn.mse_loss_backward


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)^2, reduced: any shape, the same for both, to a number (reduction="none": to that shape).
    `weight` has one factor for each element. Mirrors torch.nn.functional.mse_loss.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    number = reduction_number(reduction)
    x, t = same_size("mse_loss", input, target)
    if weight is not None:
        return weighted(MseLoss.apply(x, t, None, 0.0, 0), weight, input, reduction)
    return MseLoss.apply(x, t, None, 0.0, number)


class MSELoss(Loss):
    """mse_loss as a layer."""

    def forward(self, input, target):
        return mse_loss(input, target, reduction=self.reduction)
