"""Batch normalisation. See docs/layers/batch_norm.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html.
"""

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.ops.creation import empty, ones, tensor, zeros
from cnn.types import int64

from . import fusion, init
from .module import Module
from .parameter import Parameter
from .sizes import whole


class NativeBatchNorm(Operation):
    takes = fusion.Rectified
    bias = None

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, training, momentum, eps):
        y, mean, invstd = _cnn.batch_norm_forward(
            x, weight, bias, running_mean, running_var, training, momentum, eps, False
        )
        ctx.saved = (x, weight, mean, invstd)
        ctx.training = training
        return y

    @staticmethod
    def backward(ctx, dy):
        relu = isinstance(dy, fusion.Rectified)
        if relu:
            dy = dy.dy  # what the ReLU let through is told by the output, which the kernel computes again
        parameters = ctx.needs[1] or ctx.needs[2]
        gradients = _cnn.batch_norm_backward(dy, *ctx.saved, ctx.training, ctx.needs[0], parameters, relu, ctx.bias)
        return *gradients, None, None, None, None, None


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel.

    input                            (N, C) or (N, C, d1, ...), in any memory order
    weight, bias                     (C), or None for ones and zeros
    running_mean, running_var        (C), or None; changed in place where training is True

    In training, mean and var are those of the batch, over all dimensions but C, and the running statistics become
    (1 - momentum) * running + momentum * batch (with the unbiased variance); otherwise the running ones are used.
    Mirrors torch.nn.functional.batch_norm.

    Raises ValueError in training with one value per channel, whose variance says nothing; ShapeError and DTypeError for
    arguments that do not fit.
    """
    for name, x in (("momentum", momentum), ("eps", eps)):
        if isinstance(x, str):
            raise TypeError(f"batch_norm: {name} must be float, not str")
    momentum, eps = float(momentum), float(eps)
    if training and eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    tensors = (input, weight, bias, running_mean, running_var)
    try:
        y = fusion.norm(NativeBatchNorm, tensors, momentum, eps) if training else fusion.scaled(tensors, eps)
        if y is None:
            y = NativeBatchNorm.apply(*tensors, bool(training), momentum, eps)
    except ShapeError as error:
        channels = next((t.numel() for t in (running_mean, weight) if t is not None), None)
        if input.ndim == 4 and input.shape[1] != channels == input.shape[3]:
            raise ShapeError(f"{error}; are they last? x.permute(0, 3, 1, 2) brings them to the front") from None
        raise
    if y._node is not None and bias is not None:
        y._node.bias = bias._a.copy()  # nobody expects a change of the bias to matter to backward
    if training:
        for statistic in (running_mean, running_var):
            if statistic is not None:
                statistic._bump()
    return y


class _BatchNorm(Module):
    """What BatchNorm1d, BatchNorm2d and BatchNorm3d share. Mirrors torch.nn.modules.batchnorm._BatchNorm."""

    _version = 2  # version 1 had no num_batches_tracked
    dimensions = None  # how many an input may have

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        num_features = whole(num_features, type(self).__name__, "num_features")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter(
            "weight", Parameter(empty(num_features, device=device, dtype=dtype)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(empty(num_features, device=device, dtype=dtype)) if affine and bias else None
        )
        self.register_buffer(
            "running_mean", zeros(num_features, device=device, dtype=dtype) if track_running_stats else None
        )
        self.register_buffer(
            "running_var", ones(num_features, device=device, dtype=dtype) if track_running_stats else None
        )
        self.register_buffer("num_batches_tracked", tensor(0, dtype=int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self):
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        """weight 1, bias 0, and fresh running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input):
        if input.ndim not in self.dimensions:
            expected = " or ".join(f"{n}D" for n in self.dimensions)
            got = f"{input.ndim}D input of shape {list(input.shape)}"
            raise ShapeError(f"{type(self).__name__}: expected {expected} input (got {got})")

    def forward(self, input):
        self._check_input_dim(input)
        training, tracked = self.training, self.training and self.track_running_stats
        factor = 0.0 if self.momentum is None else self.momentum
        if tracked and self.num_batches_tracked is not None:
            _cnn.increment(self.num_batches_tracked)
            if self.momentum is None:  # the plain average of all batches so far
                factor = 1.0 / self.num_batches_tracked.item()
        use_running = tracked or not training
        mean, var = (self.running_mean, self.running_var) if use_running else (None, None)
        training = training or (mean is None and var is None)
        return batch_norm(input, mean, var, self.weight, self.bias, training, factor, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *others):
        key = prefix + "num_batches_tracked"
        old = local_metadata.get("version") is None or local_metadata["version"] < 2
        if old and self.track_running_stats and key not in state_dict:
            state_dict[key] = tensor(0, dtype=int64)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


class BatchNorm1d(_BatchNorm):
    """batch_norm as a layer, for (N, C) and (N, C, L)."""

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """batch_norm as a layer, for (N, C, H, W)."""

    dimensions = (4,)


class BatchNorm3d(_BatchNorm):
    """batch_norm as a layer, for (N, C, D, H, W)."""

    dimensions = (5,)
