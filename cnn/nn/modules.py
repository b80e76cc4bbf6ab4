"""torch.nn.modules, where PyTorch keeps its layers and their base classes. Scripts that reach for torch's places, as
`nn.modules.batchnorm._BatchNorm`, find everything in this one module; cnn/nn/__init__.py fills it.
"""

# ruff: noqa: F401

import sys
from collections.abc import Iterable

from .batch_norm import _BatchNorm
from .conv2d import _Conv as _ConvNd
from .dropout import _Dropout as _DropoutNd
from .max_pool2d import _MaxPool as _MaxPoolNd
from .reduction import Loss as _Loss
from .reduction import WeightedLoss as _WeightedLoss

__path__ = []  # a package, so that `import torch.nn.modules.conv` may look inside
for _name in (
    "activation batchnorm channelshuffle container conv distance dropout flatten fold linear loss module normalization "
    "padding pixelshuffle pooling upsampling utils"
).split():
    globals()[_name] = sys.modules[__name__]

_NormBase = _BatchNorm


def _ntuple(n):
    """A function that gives `n` times the same number, and what is a sequence already as a tuple."""
    return lambda x: tuple(x) if isinstance(x, Iterable) else (x,) * n


_single, _pair, _triple, _quadruple = _ntuple(1), _ntuple(2), _ntuple(3), _ntuple(4)
