"""Cross-entropy. See docs/layers/cross_entropy.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html.
"""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError

from .class_target import check_scores, check_tensors, class_indices
from .log_softmax import log_softmax
from .pair_loss import same_type
from .reduction import WeightedLoss, legacy_reduction, reduce_loss, reduction_number


class CrossEntropy(Operation):
    def name(self):
        return "NllLossBackward0"  # what torch prints

    @staticmethod
    def forward(ctx, x, target, weight, ignore_index, reduction, label_smoothing):
        ctx.lone = x.ndim == 1
        scores = x[None] if ctx.lone else x
        loss, gradient = _cnn.cross_entropy_forward(
            scores, target, weight, ignore_index, reduction, label_smoothing, ctx.needs[0]
        )
        ctx.saved = (gradient,)
        return loss.reshape(()) if ctx.lone else loss

    @staticmethod
    def backward(ctx, dy):
        (gradient,) = ctx.saved
        # For loss.backward() itself it is complete: no copy, the engine never writes to what somebody else holds.
        dx = gradient if dy.ndim == 0 and dy == 1 else _cnn.cross_entropy_backward(dy, gradient)
        return dx.reshape(-1) if ctx.lone else dx, None, None, None, None, None


class CrossEntropyOfProbabilities(Operation):
    @staticmethod
    def forward(ctx, x, target, weight, reduction, label_smoothing):
        ctx.axis = min(1, x.ndim - 1)
        classes_last = np.moveaxis(x, ctx.axis, -1)
        ctx.shape = classes_last.shape
        rows = (-1, x.shape[ctx.axis])
        loss, gradient = _cnn.cross_entropy_probabilities_forward(
            classes_last.reshape(rows),
            np.moveaxis(target, ctx.axis, -1).reshape(rows),
            weight,
            reduction,
            label_smoothing,
            ctx.needs[0],
        )
        ctx.saved = (gradient,)
        return loss.reshape(ctx.shape[:-1]) if reduction == 0 else loss

    @staticmethod
    def backward(ctx, dy):
        (gradient,) = ctx.saved
        dx = _cnn.cross_entropy_backward(dy.reshape(-1) if dy.ndim else dy, gradient)
        return np.moveaxis(dx.reshape(ctx.shape), -1, ctx.axis), None, None, None, None


def _of_probabilities(input, target, weight, reduction, label_smoothing):
    """The cross-entropy with given probabilities."""
    number = reduction_number(reduction)
    check_scores(input._a, target._a, "cross_entropy")
    input, target = same_type(input, target)
    if input._a.size == 0 and input._a.shape[min(1, input.ndim - 1)] == 0:
        raise ShapeError(f"cross_entropy: no classes in input of shape {list(input.shape)}")
    if not target._requires_grad:
        return CrossEntropyOfProbabilities.apply(
            input, target, None if weight is None else weight._a, number, float(label_smoothing)
        )
    # A target that is learned: rare enough to be put together from small operations.
    axis = min(1, input.ndim - 1)
    classes = input.shape[axis]
    target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = log_softmax(input, axis) * target
    if weight is not None:
        terms = terms * weight.reshape([-1] + [1] * (input.ndim - 1 - axis))
    return reduce_loss(-terms.sum(axis), reduction)


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """Softmax over the classes, then the negative logarithm of the right class's probability.

    input   (N, C), (N, C, d1, ...) or (C): scores ("logits"), not probabilities
    target  (N), (N, d1, ...) or (): class numbers, int64, in 0..C-1 or `ignore_index`; or probabilities of all
            classes in the shape of the input
    weight  (C): one factor for each class
    result  a number; with reduction="none" the shape of the class numbers

    "mean" divides by the sum of the weights of the targets that count (for probabilities: by their number).
    `label_smoothing` mixes the target with 1/C for every class. Mirrors torch.nn.functional.cross_entropy.

    Raises IndexError for a class that does not exist, ShapeError and DTypeError for what does not fit.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    check_tensors("cross_entropy", input=input, target=target)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target._a.dtype.kind == "f" and target._a.shape == input._a.shape and input._a.ndim:
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    number = reduction_number(reduction)
    _, classes = class_indices(input, target, "cross_entropy")
    weight = None if weight is None else weight._a
    return CrossEntropy.apply(input, classes, weight, int(ignore_index), number, float(label_smoothing))


class CrossEntropyLoss(WeightedLoss):
    """cross_entropy as a layer: (N, C) and (N) to a number."""

    def __init__(
        self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
