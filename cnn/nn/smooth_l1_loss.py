"""The smooth absolute error. See docs/layers/smooth_l1_loss.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html.
"""

from cnn import _cnn

from .l1_loss import L1LossOperation
from .pair_loss import PairLoss, same_size
from .reduction import Loss, legacy_reduction, reduction_number


class SmoothL1LossOperation(PairLoss):
    loss = _cnn.smooth_l1_loss_forward
    slope = _cnn.smooth_l1_loss_backward


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """With d = |input - target|: d^2 / (2 beta) where d < beta, else d - beta/2; reduced. Any shape, the same for both,
    to a number (reduction="none": to that shape). Mirrors torch.nn.functional.smooth_l1_loss.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    number = reduction_number(reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    x, t = same_size("smooth_l1_loss", input, target)
    operation = L1LossOperation if beta == 0 else SmoothL1LossOperation
    return operation.apply(x, t, None, float(beta), number)


class SmoothL1Loss(Loss):
    """smooth_l1_loss as a layer."""

    def __init__(self, size_average=None, reduce=None, reduction="mean", beta=1.0):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input, target):
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
