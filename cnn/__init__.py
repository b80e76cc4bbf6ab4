"""cnn: convolutional networks in C, with PyTorch's names in front.

    import cnn
    from cnn import nn

    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8192, 10))
    loss = nn.functional.cross_entropy(net(cnn.randn(4, 3, 32, 32)), cnn.tensor([3, 1, 4, 1]))
    loss.backward()

`python -m cnn script.py` runs a PyTorch script on it, unchanged.
"""

from cnn.version import __version__

from cnn import types
from cnn.types import *  # noqa: F403
from cnn.tensor import Tensor, is_tensor  # isort: skip
from cnn import autograd, errors, ops  # isort: skip
from cnn.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from cnn.printing import set_printoptions

globals().update(ops.FUNCTIONS)

from cnn import nn, utils  # isort: skip  # noqa: E402
