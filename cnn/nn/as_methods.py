"""Layer functions that torch also has as `torch.relu(x)` and `x.relu()`. Imported once, when everything is there."""

from cnn.ops import FUNCTIONS
from cnn.tensor import Tensor

from . import functional

_FUNCTIONS = (
    "avg_pool1d", "batch_norm", "celu", "celu_", "conv1d", "conv2d", "conv_transpose2d", "cosine_similarity",
    "dropout", "group_norm", "layer_norm", "log_softmax", "max_pool1d", "max_pool2d", "pixel_shuffle",
    "pixel_unshuffle", "prelu", "relu", "relu_", "selu", "selu_", "sigmoid", "softmax", "tanh",
)  # fmt: skip
_METHODS = ("log_softmax", "relu", "relu_", "sigmoid", "softmax", "tanh")

for _name in _FUNCTIONS:
    if hasattr(functional, _name):
        FUNCTIONS[_name] = getattr(functional, _name)
for _name in _METHODS:
    setattr(Tensor, _name, getattr(functional, _name))
