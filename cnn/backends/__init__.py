"""`torch.backends` as scripts use it, and cnn's own switches."""

from . import cuda, cudnn, mkldnn, mps

__all__ = ["cuda", "cudnn", "mkldnn", "mps"]
