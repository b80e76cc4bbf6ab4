"""How the functions of cnn/ops become functions of `cnn` and methods of `Tensor`."""

from cnn.tensor import Tensor

FUNCTIONS = {}  # what cnn/__init__.py exports


def function(f):
    """`cnn.f` only."""
    FUNCTIONS[f.__name__] = f
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
    FUNCTIONS[name] = f
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
