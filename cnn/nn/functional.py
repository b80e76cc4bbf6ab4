"""Layers as functions: see torch.nn.functional. This file only re-exports."""

from .relu import relu, relu_

__all__ = [name for name in dir() if not name.startswith("_")]
