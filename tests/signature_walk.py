"""What the tests of signatures walk over: every public function, method and class that has torch's name."""

import importlib
import inspect
from pathlib import Path

import cnn
import cnn.optim.lr_scheduler
from cnn.ops import _keywords
from cnn.vision import datasets, transforms, utils
from cnn.vision.transforms import v2

# A package of ours, and torch's name for it.
PLACES = {
    "": cnn, "Tensor": cnn.Tensor, "nn": cnn.nn, "nn.functional": cnn.nn.functional, "nn.init": cnn.nn.init,
    "nn.utils": cnn.nn.utils, "linalg": cnn.linalg, "optim": cnn.optim, "optim.lr_scheduler": cnn.optim.lr_scheduler,
    "optim.swa_utils": cnn.optim.swa_utils, "autograd": cnn.autograd, "utils.data": cnn.utils.data,
    "vision.transforms": transforms, "vision.transforms.functional": transforms.functional, "vision.transforms.v2": v2,
    "vision.datasets": datasets, "vision.utils": utils,
}  # fmt: skip


def surface():
    """(name as torch has it, the function, method or class), in order."""
    for place, package in PLACES.items():
        for name in sorted(n for n in dir(package) if not n.startswith("_")):
            f = getattr(package, name)
            if callable(f) and not inspect.ismodule(f) and not (isinstance(f, type) and issubclass(f, Exception)):
                yield f"{place}.{name}" if place else name, f


def of_torch(name):
    """torch's counterpart, or None."""
    import torch

    found = torch
    if name.startswith("vision."):
        found, name = importlib.import_module("vision_oracle").torchvision, name.removeprefix("vision.")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def keywords(f):
    """(the names that f takes as keywords, those that it refuses by name); None where it takes any (**kwargs)."""
    target = f.__init__ if isinstance(f, type) and "__new__" not in vars(f) else f
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # a class of Python's own
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    taken = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not isinstance(f, cnn._cnn.Function):
        return taken, set()
    taken |= {p.name for p in parameters if p.kind is p.VAR_POSITIONAL}
    taken |= {"input"} if taken & set(_keywords.FIRST_NAMES) and not f.path.startswith("Tensor.") else set()
    taken |= {numpy for numpy, ours in _keywords.NUMPY_NAMES.items() if ours in taken}
    taken |= {_keywords.ALSO_GATHERED[f.path]} if f.path in _keywords.ALSO_GATHERED else set()
    taken |= {"out"} if f.path in _keywords.TAKES_OUT else set()
    return taken, set(_keywords.REFUSED.get(f.path, ()))


def learned():
    """{name: the keywords that torch takes}, from tests/torch_signatures.txt."""
    lines = Path(__file__).with_name("torch_signatures.txt").read_text().splitlines()
    return {name: words.split() for name, words in (line.split(":") for line in lines)}
