"""What the tests of signatures walk over: every public function, method and class that has torch's name."""

import inspect

import cnn
import cnn.optim.lr_scheduler

# A package of ours, and torch's name for it.
PLACES = {
    "": cnn, "Tensor": cnn.Tensor, "nn": cnn.nn, "nn.functional": cnn.nn.functional, "nn.init": cnn.nn.init,
    "nn.utils": cnn.nn.utils, "linalg": cnn.linalg, "optim": cnn.optim, "optim.lr_scheduler": cnn.optim.lr_scheduler,
    "optim.swa_utils": cnn.optim.swa_utils, "autograd": cnn.autograd, "utils.data": cnn.utils.data,
}  # fmt: skip


def surface():
    """(name as torch has it, the function, method or class), in order."""
    for place, package in PLACES.items():
        for name in sorted(n for n in dir(package) if not n.startswith("_")):
            f = getattr(package, name)
            if callable(f) and not inspect.ismodule(f):
                yield f"{place}.{name}" if place else name, f


def of_torch(name):
    """torch's counterpart, or None."""
    import torch

    found = torch
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def keywords(f):
    """The names that f takes as keywords; None where it takes any (**kwargs)."""
    target = f.__init__ if isinstance(f, type) else f
    parameters = inspect.signature(target).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
