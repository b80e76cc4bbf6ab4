"""Layer functions that torch also has as `torch.softmax(x, 1)` and `x.softmax(1)`: under the same name, with arguments
of their own. Imported once, when everything is there."""

from cnn.ops._register import alias, both, function
from cnn.tensor import Tensor

from . import functional as F

for _name in ("celu_", "conv1d", "conv2d", "conv_transpose2d", "cosine_similarity", "avg_pool1d", "pixel_shuffle",
              "pixel_unshuffle", "selu_"):  # fmt: skip
    alias(_name, getattr(F, _name).__wrapped__, tensor=False)

# What torch also has as a function: torch.exp_(x).
for _name in """
    abs_ acos_ asin_ atan_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ detach_ exp2_ exp_ expm1_ fill_ floor_
    frac_ index_put_ log10_ log1p_ log2_ log_ nan_to_num_ neg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_ sinh_ sqrt_
    square_ tan_ tanh_ trunc_ zero_
""".split():
    _method = getattr(Tensor, _name)
    alias(_name, getattr(_method, "__wrapped__", _method), tensor=False)


@both
def softmax(input, dim, dtype=None):
    """functional.softmax. See torch.softmax."""
    return F.softmax(input, dim, dtype=dtype)


@both
def log_softmax(input, dim, dtype=None):
    """functional.log_softmax. See torch.log_softmax."""
    return F.log_softmax(input, dim, dtype=dtype)


@function
def celu(input, alpha=1.0):
    """functional.celu. See torch.celu."""
    return F.celu(input, alpha)


@function
def selu(input):
    """functional.selu. See torch.selu."""
    return F.selu(input)


@function
def dropout(input, p, train):
    """functional.dropout. See torch.dropout."""
    return F.dropout(input, p, train)


@function
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """functional.max_pool1d. See torch.max_pool1d."""
    return F.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


@function
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """functional.max_pool2d. See torch.max_pool2d."""
    return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


@function
def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """functional.batch_norm, its arguments in another order. See torch.batch_norm."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@function
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """functional.group_norm. See torch.group_norm."""
    return F.group_norm(input, num_groups, weight, bias, eps)


@function
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """functional.layer_norm. See torch.layer_norm."""
    return F.layer_norm(input, normalized_shape, weight, bias, eps)
