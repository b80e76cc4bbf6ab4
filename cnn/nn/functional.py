"""Layers as functions: see torch.nn.functional. This file only re-exports."""

from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .adaptive_max_pool2d import adaptive_max_pool2d, adaptive_max_pool2d_with_indices
from .avg_pool2d import avg_pool2d
from .conv2d import conv2d
from .interpolate import interpolate, upsample
from .linear import linear
from .max_pool1d import max_pool1d, max_pool1d_with_indices
from .max_pool2d import max_pool2d, max_pool2d_with_indices
from .normalize import cosine_similarity, normalize
from .one_hot import one_hot
from .pad import pad
from .pixel_shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .relu import relu, relu_
from .unfold import fold, unfold
from .cross_entropy import cross_entropy
from .log_softmax import log_softmax
from .nll_loss import nll_loss
from .softmax import softmax

__all__ = [name for name in dir() if not name.startswith("_")]
