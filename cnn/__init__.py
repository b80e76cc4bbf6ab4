"""cnn: convolutional networks in C, with PyTorch's names in front.

    import cnn
    from cnn import nn

    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8192, 10))
    loss = nn.functional.cross_entropy(net(cnn.randn(4, 3, 32, 32)), cnn.tensor([3, 1, 4, 1]))
    loss.backward()

`python -m cnn script.py` runs a PyTorch script on it, unchanged. Everything below is attached here, so that after
`import cnn` scripts may reach for cnn.nn, cnn.optim, cnn.utils.data and so on without importing them.
"""

# The order matters: Tensor, then what computes on it, then what is built from that.
from math import e, inf, nan, pi

from cnn import types, version
from cnn.types import *  # noqa: F403
from cnn.version import __version__
from cnn.tensor import Tensor, is_tensor  # isort: skip
from cnn import autograd, errors, ops  # isort: skip
from cnn.amp import GradScaler, autocast
from cnn.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from cnn.autograd.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from cnn.printing import set_printoptions
from cnn.random import *  # noqa: F403
from cnn.settings import *  # noqa: F403

from cnn.nn import as_methods  # isort: skip

globals().update(ops.FUNCTIONS)

from cnn import (
    accelerator,
    amp,
    backends,
    cuda,
    distributed,
    hub,
    jit,
    linalg,
    mps,
    nn,
    onnx,
    optim,
    testing,
    utils,
    xpu,
)  # isort: skip  # noqa: E402
from cnn.serialization import load, save  # isort: skip  # noqa: E402
import cnn.utils.data  # isort: skip  # noqa: E402

globals().update(ops.FUNCTIONS)  # again, for those that the layers have added


def __getattr__(name):
    if name in ("vision", "multiprocessing", "training"):  # loaded when they are asked for
        import importlib

        return importlib.import_module(f"cnn.{name}")
    raise AttributeError(f"module 'cnn' has no attribute {name!r}")
