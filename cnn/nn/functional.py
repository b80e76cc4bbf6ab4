"""Layers as functions: see torch.nn.functional. This file only re-exports."""

from .conv2d import conv2d
from .relu import relu, relu_

__all__ = [name for name in dir() if not name.startswith("_")]
