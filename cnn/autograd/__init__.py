"""Automatic differentiation: see torch.autograd. Double backward is not supported and says so."""

import warnings

from cnn.errors import kind_name
from cnn.tensor import Tensor

from . import history  # noqa: F401  (the methods of Tensor)
from .anomaly import detect_anomaly, is_anomaly_check_nan_enabled, is_anomaly_enabled, set_detect_anomaly
from .function import Function
from .grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .gradients import backward, grad

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


class _OfTensors(type):
    """isinstance(x, Variable) asks for a Tensor."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor)


class Variable(metaclass=_OfTensors):
    """Before torch 0.4 a wrapper around a tensor; today the tensor itself."""

    def __new__(cls, data=None, requires_grad=False, volatile=False):
        data = Tensor() if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {kind_name(data)}")
        if volatile:
            warning = "volatile was removed and now has no effect. Use `with torch.no_grad():` instead."
            warnings.warn(warning, stacklevel=2)
        return data.requires_grad_(True) if requires_grad else data
