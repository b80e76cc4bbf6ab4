"""Layers as functions: see torch.nn.functional. This file only re-exports."""

from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .adaptive_max_pool2d import adaptive_max_pool2d, adaptive_max_pool2d_with_indices
from .avg_pool2d import avg_pool2d
from .conv2d import conv2d
from .max_pool1d import max_pool1d, max_pool1d_with_indices
from .max_pool2d import max_pool2d, max_pool2d_with_indices
from .linear import linear
from .relu import relu, relu_

__all__ = [name for name in dir() if not name.startswith("_")]
