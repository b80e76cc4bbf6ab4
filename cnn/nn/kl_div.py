"""The Kullback-Leibler divergence. See docs/layers/kl_div.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html.
"""

import warnings

from cnn import _cnn
from cnn.ops.shape import broadcast_tensors

from .class_target import check_tensors
from .pair_loss import PairLoss, same_type
from .reduction import Loss, legacy_reduction, reduction_number


class KlDiv(PairLoss):
    loss = _cnn.kl_div_forward
    slope = _cnn.kl_div_backward
    target_slope = _cnn.kl_div_backward_target

    @staticmethod
    def forward(ctx, x, target, each, log_target, reduction):
        loss = PairLoss.forward(ctx, x, target, each, log_target, reduction)
        # Only the target's gradient reads x. Of logarithms torch keeps what it made of them, not the tensors.
        if log_target:
            target = target.copy()
            x = x.copy() if ctx.needs[1] else target
        ctx.saved = (x if ctx.needs[1] else target, target, each)
        return loss


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log(target) - input), reduced: how far `target` is from the distribution whose logarithm is `input`. With
    log_target=True the target is a logarithm too. Any shape, broadcast, to a number (reduction="none": to that shape).
    reduction="batchmean" divides the sum by the batch size, as the definition has it. Mirrors
    torch.nn.functional.kl_div.
    """
    check_tensors("kl_div", input=input, target=target)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    by_batch = reduction == "batchmean"
    number = reduction_number("sum" if by_batch else reduction)
    x, t = same_type(input, target)
    if x._a.shape != t._a.shape:
        x, t = broadcast_tensors(x, t)
    loss = KlDiv.apply(x, t, None, float(bool(log_target)), number)
    return loss / input.shape[0] if by_batch and input.ndim else loss


class KLDivLoss(Loss):
    """kl_div as a layer."""

    def __init__(self, size_average=None, reduce=None, reduction="mean", log_target=False):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input, target):
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
