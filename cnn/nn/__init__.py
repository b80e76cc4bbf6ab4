"""Layers: see torch.nn. One file per layer holds its function and its Module; this one only re-exports the Modules."""

import inspect as _inspect

from . import functional, init, parameter, utils
from .adaptive_avg_pool1d import AdaptiveAvgPool1d
from .adaptive_avg_pool2d import AdaptiveAvgPool2d
from .adaptive_max_pool2d import AdaptiveMaxPool2d
from .avg_pool1d import AvgPool1d
from .avg_pool2d import AvgPool2d
from .batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .binary_cross_entropy import BCELoss
from .binary_cross_entropy_with_logits import BCEWithLogitsLoss
from .celu import CELU
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .conv1d import Conv1d
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .cross_entropy import CrossEntropyLoss
from .dropout import Dropout, Dropout1d, Dropout2d, Dropout3d
from .elu import ELU
from .flatten import Flatten, Unflatten
from .gelu import GELU
from .group_norm import GroupNorm
from .hardsigmoid import Hardsigmoid
from .hardswish import Hardswish
from .hardtanh import Hardtanh, ReLU6
from .huber_loss import HuberLoss
from .identity import Identity
from .interpolate import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d
from .layer_norm import LayerNorm
from .leaky_relu import LeakyReLU
from .kl_div import KLDivLoss
from .l1_loss import L1Loss
from .linear import Linear
from .log_softmax import LogSoftmax
from .logsigmoid import LogSigmoid
from .max_pool1d import MaxPool1d
from .max_pool2d import MaxPool2d
from .module import Module
from .mse_loss import MSELoss
from .nll_loss import NLLLoss
from .normalize import CosineSimilarity
from .pad import (
    CircularPad1d,
    CircularPad2d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from .parallel import DataParallel
from .parameter import Buffer, Parameter
from .pixel_shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from .prelu import PReLU
from .relu import ReLU
from .selu import SELU
from .sigmoid import Sigmoid
from .silu import SiLU
from .smooth_l1_loss import SmoothL1Loss
from .softmax import Softmax, Softmax2d
from .softplus import Softplus
from .tanh import Tanh
from .unfold import Fold, Unfold

__all__ = ["functional", "init", "parameter", "utils"]
__all__ += [name for name, value in list(globals().items()) if isinstance(value, type)]

from . import modules, parallel  # isort: skip  # noqa: E402

vars(modules).update({name: globals()[name] for name in __all__})

# The layers' files have the names of functions: nn.relu(x) is an AttributeError, as in torch, and calls no module.
_PACKAGES = {"functional", "init", "modules", "parallel", "parameter", "utils"}
for _name in [n for n, value in globals().items() if _inspect.ismodule(value) and n not in _PACKAGES and n[0] != "_"]:
    del globals()[_name]


def __getattr__(name):
    hint = f": it is a function, nn.functional.{name}" if name in functional.__all__ else ""
    layer = next((known for known in __all__ if known.lower() == name.replace("_", "")), None)
    if layer is not None and hint:
        hint += f", or the layer nn.{layer}"
    raise AttributeError(f"module 'cnn.nn' has no attribute {name!r}{hint}")
