"""NumPy's error state is the user's affair: whatever `np.seterr` says, the library computes as torch does, without a
warning or a FloatingPointError. csrc/binding/quiet.c sets it aside around every public function that may use NumPy."""

import inspect

import numpy as np

from cnn import _cnn


def _enter():
    state = np.errstate(all="ignore")
    state.__enter__()
    return state


try:
    from numpy._core import umath

    _cnn.set_quiet(umath._extobj_contextvar, umath._make_extobj(all="ignore"))
except (ImportError, AttributeError):  # NumPy 1, or one that keeps its state elsewhere
    _cnn.set_quiet(None, _enter)

# Files of functions that move values and compute none, or compute them in C: there the state does not matter.
_WITHOUT_ARITHMETIC = ("shape", "rearrangement", "joining", "relu", "dropout", "max_pool2d")
_CREATION = ("tensor", "zeros", "ones", "empty")  # called often; what of them computes is quiet itself


def may_compute(f):
    """Whether f may come to NumPy's arithmetic: its file imports NumPy, and not for moving values only."""
    file = f.__module__.rpartition(".")[2]
    if file == "creation" and f.__name__ in _CREATION:
        return False
    return f.__globals__.get("np") is np and file not in _WITHOUT_ARITHMETIC


def quiet(f):
    """f with the error state set aside: for functions and operators that _register does not publish."""
    made = _cnn.Function(f, None, True)
    made.__name__, made.__doc__, made.__wrapped__ = f.__name__, f.__doc__, f
    made.__module__, made.__qualname__ = f.__module__, f.__qualname__
    made.path = f.__qualname__
    return made


def quiet_all(namespace):
    """The same for all public functions of a module, whose globals() `namespace` is."""
    for name, f in list(namespace.items()):
        if inspect.isfunction(f) and f.__module__ == namespace["__name__"] and not name.startswith("_"):
            namespace[name] = quiet(f)
