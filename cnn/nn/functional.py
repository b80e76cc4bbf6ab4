"""Layers as functions: see torch.nn.functional. This file only gathers and publishes them."""

from cnn.ops._register import public as _public

from .adaptive_avg_pool1d import adaptive_avg_pool1d
from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .adaptive_max_pool2d import adaptive_max_pool2d, adaptive_max_pool2d_with_indices
from .avg_pool1d import avg_pool1d
from .avg_pool2d import avg_pool2d
from .batch_norm import batch_norm
from .binary_cross_entropy import binary_cross_entropy
from .binary_cross_entropy_with_logits import binary_cross_entropy_with_logits
from .celu import celu, celu_
from .conv1d import conv1d
from .conv2d import conv2d
from .conv_transpose2d import conv_transpose2d
from .cross_entropy import cross_entropy
from .dropout import dropout, dropout1d, dropout2d, dropout3d
from .elu import elu, elu_
from .gelu import gelu
from .group_norm import group_norm
from .hardsigmoid import hardsigmoid
from .hardswish import hardswish
from .hardtanh import hardtanh, hardtanh_, relu6
from .huber_loss import huber_loss
from .interpolate import interpolate, upsample
from .kl_div import kl_div
from .l1_loss import l1_loss
from .layer_norm import layer_norm
from .leaky_relu import leaky_relu, leaky_relu_
from .linear import linear
from .log_softmax import log_softmax
from .logsigmoid import logsigmoid
from .max_pool1d import max_pool1d, max_pool1d_with_indices
from .max_pool2d import max_pool2d, max_pool2d_with_indices
from .mse_loss import mse_loss
from .nll_loss import nll_loss
from .normalize import cosine_similarity, normalize
from .one_hot import one_hot
from .pad import pad
from .pixel_shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .prelu import prelu
from .relu import relu, relu_
from .selu import selu, selu_
from .sigmoid import sigmoid
from .silu import silu
from .smooth_l1_loss import smooth_l1_loss
from .softmax import softmax
from .softplus import softplus
from .tanh import tanh
from .unfold import fold, unfold

__all__ = [name for name in dir() if not name.startswith("_")]
globals().update({name: _public(name, globals()[name], "cnn.nn.functional") for name in __all__})
