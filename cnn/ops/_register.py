"""How the functions of cnn/ops become functions of `cnn` and methods of `Tensor`."""

import functools
import inspect

import numpy as np

from cnn.tensor import Tensor

FUNCTIONS = {}  # what cnn/__init__.py exports
_TENSORS = ("input", "self", "tensor", "tensors", "condition", "equation", "elements", "a")  # what f takes first


def _named(name, f):
    """f as `cnn.name`: where an argument is no Tensor, and so has none of its attributes, the error says which."""
    code = getattr(f, "__code__", None)
    if code is None or code.co_varnames[:1] and code.co_varnames[0] not in _TENSORS:
        return f  # makes new tensors

    @functools.wraps(f)
    def call(*args, **kwargs):
        try:
            return f(*args, **kwargs)
        except AttributeError as error:
            problem = _no_tensor(name, f, error.obj, args, kwargs)
            if problem is None:
                raise
            raise problem from None

    return call


def _no_tensor(name, f, culprit, args, kwargs):
    """The TypeError for an argument that lacks an attribute of Tensors, or for an array that went some way as one."""
    given = inspect.signature(f).bind(*args, **kwargs).arguments
    for position, (argument, value) in enumerate(given.items(), 1):
        for item in (value, *(value if isinstance(value, (tuple, list)) else ())):
            if not isinstance(item, Tensor) and (item is culprit or isinstance(item, np.ndarray)):
                place = f"argument '{argument}' (position {position})"
                return TypeError(f"{name}(): {place} must be Tensor, not {type(item).__name__}")
    return None


def function(f):
    """`cnn.f` only."""
    FUNCTIONS[f.__name__] = _named(f.__name__, f)
    return f


def method(*names):
    """A method of Tensor only, under these names (its own name where none is given)."""

    def register(f):
        for name in names or (f.__name__,):
            setattr(Tensor, name, f)
        return f

    return register


def both(f):
    """`cnn.f(x, ...)` and `x.f(...)`."""
    setattr(Tensor, f.__name__, f)
    return function(f)


def alias(name, f, tensor=True):
    """Another name for f, in `cnn` and (unless tensor=False) on Tensor."""
    FUNCTIONS[name] = _named(name, f)
    if tensor:
        setattr(Tensor, name, f)


def inplace(name, operation):
    """`x.name(*args)` applies an Operation in place, where the arguments need no preparation."""

    def f(self, *args):
        return operation.apply_(self, *args)

    f.__name__ = name
    f.__doc__ = f"`{name[:-1]}` in place; returns the tensor."
    setattr(Tensor, name, f)
    return f
