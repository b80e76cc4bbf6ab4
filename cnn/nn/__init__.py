"""Layers: see torch.nn. One file per layer holds its function and its Module; this one only re-exports the Modules."""

from . import functional, init, parameter, utils
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .conv2d import Conv2d
from .flatten import Flatten, Unflatten
from .identity import Identity
from .module import Module
from .parallel import DataParallel
from .parameter import Buffer, Parameter
from .relu import ReLU

__all__ = [name for name in dir() if not name.startswith("_")]
