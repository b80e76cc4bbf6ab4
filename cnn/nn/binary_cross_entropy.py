"""Binary cross-entropy of probabilities. See docs/layers/binary_cross_entropy.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html.
"""

from cnn import _cnn
from cnn.errors import DTypeError, ShapeError

from .class_target import check_tensors
from .pair_loss import PairLoss
from .reduction import WeightedLoss, legacy_reduction, reduce_loss, reduction_number


class BinaryCrossEntropy(PairLoss):
    loss = _cnn.binary_cross_entropy_forward
    slope = _cnn.binary_cross_entropy_backward
    target_slope = _cnn.binary_cross_entropy_backward_target


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(target log(input) + (1 - target) log(1 - input)), reduced; logarithms are cut off at -100. Any shape, the same
    for both, values in [0, 1], to a number (reduction="none": to that shape). `weight` is broadcast to that shape. For
    raw scores use binary_cross_entropy_with_logits. Mirrors torch.nn.functional.binary_cross_entropy.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    number = reduction_number(reduction)
    check_tensors("binary_cross_entropy", input=input, target=target)
    if input._a.shape != target._a.shape:
        raise ShapeError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please ensure they have the same size."
        )
    if input.dtype != target.dtype and input.is_floating_point():
        raise DTypeError(
            f"binary_cross_entropy: input is {input.dtype}, target is {target.dtype}: make them the same with "
            f"target.to({input.dtype})"
        )
    for name, values in (("input", input), ("target", target)):
        outside = _cnn.outside_unit(values._a)
        if outside:
            hint = ": pass it through sigmoid, or use binary_cross_entropy_with_logits" if name == "input" else ""
            raise RuntimeError(f"all elements of {name} should be between 0 and 1; {outside} are not{hint}")
    if weight is not None:
        return reduce_loss(BinaryCrossEntropy.apply(input, target, None, 0.0, 0) * weight, reduction)
    return BinaryCrossEntropy.apply(input, target, None, 0.0, number)


class BCELoss(WeightedLoss):
    """binary_cross_entropy as a layer."""

    def forward(self, input, target):
        return binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)
