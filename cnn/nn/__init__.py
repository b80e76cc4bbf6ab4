"""Layers: see torch.nn. One file per layer holds its function and its Module; this one only re-exports the Modules."""

from . import functional, init, parameter, utils
from .adaptive_avg_pool2d import AdaptiveAvgPool2d
from .adaptive_max_pool2d import AdaptiveMaxPool2d
from .avg_pool2d import AvgPool2d
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .conv2d import Conv2d
from .flatten import Flatten, Unflatten
from .identity import Identity
from .max_pool1d import MaxPool1d
from .max_pool2d import MaxPool2d
from .linear import Linear
from .module import Module
from .parallel import DataParallel
from .parameter import Buffer, Parameter
from .relu import ReLU

# The layers' files have the names of functions, and must not come along with `import *`.
__all__ = ["functional", "init", "parameter", "utils"]
__all__ += [name for name, value in list(globals().items()) if isinstance(value, type)]
