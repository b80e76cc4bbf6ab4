"""`torch.backends` as scripts use it, and cnn's own switches."""

from . import conv, cuda, cudnn, mkldnn, mps

__all__ = ["conv", "cuda", "cudnn", "mkldnn", "mps"]
