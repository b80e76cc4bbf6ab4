"""Binary cross-entropy of raw scores. See docs/layers/binary_cross_entropy_with_logits.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html.
"""

import numpy as np

from cnn import _cnn
from cnn.errors import ShapeError

from .class_target import check_tensors
from .pair_loss import PairLoss, same_type
from .reduction import WeightedLoss, legacy_reduction, reduce_loss, reduction_number


class BinaryCrossEntropyWithLogits(PairLoss):
    loss = _cnn.binary_cross_entropy_with_logits_forward
    slope = _cnn.binary_cross_entropy_with_logits_backward
    target_slope = _cnn.binary_cross_entropy_with_logits_backward_target


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """binary_cross_entropy(sigmoid(input), target), but exact for every score. Any shape, the same for both, to a
    number (reduction="none": to that shape). `weight` multiplies the losses, `pos_weight` the part of the answer 1;
    both are broadcast. Mirrors torch.nn.functional.binary_cross_entropy_with_logits.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    number = reduction_number(reduction)
    check_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    if input._a.shape != target._a.shape:
        raise ShapeError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    x, t = same_type(input, target)
    each = None
    if pos_weight is not None:
        try:
            each = np.broadcast_to(pos_weight._a, x._a.shape)
        except ValueError:
            raise ShapeError(
                f"binary_cross_entropy_with_logits: pos_weight of shape {list(pos_weight.shape)} cannot be broadcast "
                f"to the input's {list(input.shape)}"
            ) from None
    if weight is not None:
        return reduce_loss(BinaryCrossEntropyWithLogits.apply(x, t, each, 1.0, 0) * weight, reduction)
    return BinaryCrossEntropyWithLogits.apply(x, t, each, 1.0, number)


class BCEWithLogitsLoss(WeightedLoss):
    """binary_cross_entropy_with_logits as a layer."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        return binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
