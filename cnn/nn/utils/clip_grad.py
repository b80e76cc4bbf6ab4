"""Clipping gradients. See torch.nn.utils.clip_grad_norm_ and clip_grad_value_."""

import math
import warnings
from types import GeneratorType

import numpy as np

import cnn
from cnn.autograd.grad_mode import no_grad
from cnn.ops._quiet import quiet
from cnn.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters):
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not given and isinstance(parameters, GeneratorType):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur. (A generator, as net.parameters() "
            "gives, can be walked through once only.)",
            stacklevel=4,
        )
    return [p.grad for p in given if p.grad is not None]


@quiet
def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors seen as one vector, a 0-d tensor.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    norms = [np.linalg.norm(t._a.reshape(-1), norm_type) for t in tensors if t._a.size or not math.isinf(norm_type)]
    total = cnn.tensor(np.linalg.norm(np.array(norms), norm_type) if norms else 0.0, dtype=_result_type(tensors))
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _result_type(tensors):
    return cnn.float64 if any(t.dtype is cnn.float64 for t in tensors) else cnn.float32


@quiet
@no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales all gradients so that their common norm is at most `max_norm`; returns the norm they had, a 0-d tensor.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    gradients = _gradients(parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    # The 1e-6 is torch's, against a norm of zero. A NaN passes through min() as torch's clamp lets it.
    scale = float(max_norm) / (total._a + total._a.dtype.type(1e-6))
    if not scale >= 1:
        for gradient in gradients:
            gradient.mul_(float(scale))
    return total


@quiet
@no_grad()
def clip_grad_value_(parameters, clip_value, foreach=None):
    """Clamps every value of every gradient to [-clip_value, clip_value]."""
    limit = float(clip_value)
    for gradient in _gradients(parameters):
        gradient.clamp_(-limit, limit)


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The name of clip_grad_norm_ from before torch 0.4."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
