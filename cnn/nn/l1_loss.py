"""The mean absolute error. See docs/layers/l1_loss.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html.
"""

import numpy as np

from cnn import _cnn

from .pair_loss import PairLoss, same_size, weighted
from .reduction import Loss, legacy_reduction, reduction_number


class L1LossOperation(PairLoss):
    loss = _cnn.l1_loss_forward
    slope = _cnn.l1_loss_backward

    @staticmethod
    def forward(ctx, x, target, each, p, reduction):
        loss = PairLoss.forward(ctx, x, target, each, p, reduction)
        if ctx.needs[0] or ctx.needs[1]:  # as torch, which puts this loss together from a difference and abs
            difference = np.asarray(x - target)
            ctx.saved = (difference, np.zeros_like(difference), each)
        return loss

    def name(self):
        # torch puts this loss together from abs and a reduction
        return {0: "AbsBackward0", 1: "MeanBackward0", 2: "SumBackward0"}[self.arguments[1]]


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, reduced: any shape, the same for both, to a number (reduction="none": to that shape).
    `weight` has one factor for each element. Mirrors torch.nn.functional.l1_loss.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    number = reduction_number(reduction)
    x, t = same_size("l1_loss", input, target)
    if weight is not None:
        return weighted(L1LossOperation.apply(x, t, None, 0.0, 0), weight, input, reduction)
    return L1LossOperation.apply(x, t, None, 0.0, number)


class L1Loss(Loss):
    """l1_loss as a layer."""

    def forward(self, input, target):
        return l1_loss(input, target, reduction=self.reduction)
