"""What all losses share: how the losses of the elements become one number."""

import warnings

from .module import Module

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # numbered as in csrc/binding/class_target.h


def legacy_reduction(size_average, reduce, reduction, stacklevel=3):
    """The reduction that torch's old arguments `size_average` and `reduce` mean; `reduction` where they are None."""
    if size_average is None and reduce is None:
        return reduction
    average = size_average is None or size_average
    result = "none" if reduce is not None and not reduce else "mean" if average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{result}' instead.",
        stacklevel=stacklevel,
    )
    return result


def reduction_number(reduction):
    """The number of a reduction; ValueError if there is none of that name."""
    try:
        return REDUCTIONS[reduction]
    except (KeyError, TypeError):
        raise ValueError(f"{reduction} is not a valid value for reduction: choose 'none', 'mean' or 'sum'") from None


def reduce_loss(loss, reduction):
    """A tensor of losses, reduced."""
    number = reduction_number(reduction)
    return loss if number == 0 else loss.mean() if number == 1 else loss.sum()


class Loss(Module):
    """Base of the losses without a weight. `size_average` and `reduce` are torch's old names for `reduction`."""

    def __init__(self, size_average=None, reduce=None, reduction="mean"):
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction, stacklevel=4)


class WeightedLoss(Loss):
    """Base of the losses with a buffer `weight`."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction="mean"):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
