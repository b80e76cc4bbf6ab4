"""Layers as functions: see torch.nn.functional. This file only re-exports."""

__all__ = [name for name in dir() if not name.startswith("_")]
