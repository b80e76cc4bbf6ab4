"""Dropout, Dropout1d, Dropout2d and Dropout3d. See docs/layers/dropout.md and
https://docs.pytorch.org/docs/2.13/generated/torch.nn.Dropout.html."""

import warnings

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.layout import new_like
from cnn.random import default_generator

from .module import Module
from .sizes import check_number, check_tensor


class DropoutOperation(Operation):
    """The mask is drawn in the order in which torch would have x lie in memory, and lies so itself."""

    @staticmethod
    def forward(ctx, x, p):
        mask = new_like(draw_mask, x, p)
        ctx.saved, ctx.p = (mask,), p
        return _cnn.dropout(x, mask, p)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.dropout(dy, *ctx.saved, ctx.p), None

    def name(self):
        return "MulBackward0"


class FeatureDropoutOperation(Operation):
    """One draw for each (image, channel)."""

    @staticmethod
    def forward(ctx, x, p):
        mask = draw_mask(x.shape[:2], p)
        ctx.saved, ctx.p = (mask,), p
        return _cnn.feature_dropout(x, mask, p)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.feature_dropout(dy, *ctx.saved, ctx.p), None

    def name(self):
        return "MulBackward0"


def draw_mask(shape, p):
    """One byte for each value: 1 keep, 0 drop. p = 1 draws nothing, as in torch."""
    mask = np.zeros(shape, np.uint8)
    if p < 1:
        default_generator._bernoulli(mask, 1 - p)
    return mask


def _apply(operation, input, p, training, inplace):
    if type(p) is not float:
        check_number(p, "dropout", "p")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.numel() == 0:
        return input
    return operation.apply_(input, p) if inplace else operation.apply(input, p)


def dropout(input, p=0.5, training=True, inplace=False):
    """Each value 0 with probability p, else divided by 1 - p; any shape. Without training the input itself."""
    check_tensor(input, "dropout")
    return _apply(DropoutOperation, input, p, training, inplace)


def dropout1d(input, p=0.5, training=True, inplace=False):
    """dropout of whole channels: input (N, C, L) or (C, L)."""
    check_tensor(input, "dropout1d")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that dropout1d exists to "
            f"provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional "
            f"batch dimension (i.e. 2D or 3D inputs)."
        )
    return _dropout_channels(input, p, training, inplace, batched=input.ndim == 3)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """dropout of whole channels: input (N, C, H, W). (N, C, L) is taken too, with a warning, as torch does."""
    check_tensor(input, "dropout2d")
    if input.ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated and will result in an error "
            f"in a future release. To retain the behavior and silence this warning, please use dropout instead.",
            stacklevel=2,
        )
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L), where C is the channel dim. To maintain this behavior, please "
            "switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _apply(FeatureDropoutOperation, _at_least_2d(input), p, training, inplace)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """dropout of whole channels: input (N, C, D, H, W) or (C, D, H, W)."""
    check_tensor(input, "dropout3d")
    if input.ndim not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {input.ndim}-D input to dropout3d, which is deprecated and will result in an error "
            f"in a future release. To retain the behavior and silence this warning, please use dropout instead.",
            stacklevel=2,
        )
    return _dropout_channels(input, p, training, inplace, batched=input.ndim != 4)


def _dropout_channels(input, p, training, inplace, batched):
    if batched:
        return _apply(FeatureDropoutOperation, _at_least_2d(input), p, training, inplace)
    result = _apply(FeatureDropoutOperation, input.unsqueeze(0), p, training, inplace)
    return input if inplace else result.squeeze(0)


def _at_least_2d(input):
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return input


class _Dropout(Module):
    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        check_number(p, type(self).__name__, "p")
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """While training, each value is 0 with probability p, and else divided by 1 - p; any shape. The mask is torch's for
    the same seed."""

    def forward(self, input):
        return dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """While training, each channel of (N, C, L) or (C, L) is 0 with probability p, and else divided by 1 - p."""

    def forward(self, input):
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """While training, each channel of (N, C, H, W) is 0 with probability p, and else divided by 1 - p."""

    def forward(self, input):
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """While training, each channel of (N, C, D, H, W) or (C, D, H, W) is 0 with probability p, and else divided by
    1 - p."""

    def forward(self, input):
        return dropout3d(input, self.p, self.training, self.inplace)
