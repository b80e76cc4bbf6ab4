"""The negative log-likelihood. See docs/layers/nll_loss.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation

from .class_target import check_tensors, class_indices
from .reduction import WeightedLoss, legacy_reduction, reduction_number
from .sizes import lies_channels_last


class NllLoss(Operation):
    @staticmethod
    def forward(ctx, x, target, weight, ignore_index, reduction, _):
        ctx.lone = x.ndim == 1
        scores = x[None] if ctx.lone else x
        loss, scale = _cnn.nll_loss_forward(scores, target, weight, ignore_index, reduction)
        ctx.saved = (target, weight)
        ctx.arguments = (ignore_index, scale, scores.shape[1], lies_channels_last(x))
        return loss.reshape(()) if ctx.lone else loss

    @staticmethod
    def backward(ctx, dy):
        dx = _cnn.nll_loss_backward(dy, *ctx.saved, *ctx.arguments)
        return dx.reshape(-1) if ctx.lone else dx, None, None, None, None


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Minus the log-probability of the right class: cross_entropy for inputs that went through log_softmax already.

    input   (N, C), (N, C, d1, ...) or (C): log-probabilities
    target  (N), (N, d1, ...) or (): class numbers, int64, in 0..C-1 or `ignore_index`
    weight  (C): one factor for each class
    result  a number; with reduction="none" the shape of target

    "mean" divides by the sum of the weights of the targets that count. Mirrors torch.nn.functional.nll_loss.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    check_tensors("nll_loss", input=input, target=target)
    number = reduction_number(reduction)
    _, classes = class_indices(input, target, "nll_loss")
    weight = None if weight is None else weight.detach()
    return NllLoss.apply(input, classes, weight, int(ignore_index), number, target)


class NLLLoss(WeightedLoss):
    """nll_loss as a layer: (N, C) and (N) to a number."""

    def __init__(self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input, target):
        return nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)
