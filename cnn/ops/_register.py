"""How the functions of cnn/ops become functions of `cnn` and methods of `Tensor`.

Each is published as a `cnn._cnn.Function` around the Python function that computes: calls go straight through; only one
with a keyword that the Python function does not have comes by `_translate`, and only an error by `_explain`.
"""

import functools
import inspect
from collections import namedtuple

import numpy as np

from cnn import _cnn
from cnn.errors import is_torchs, kind_name
from cnn.tensor import Tensor

from ._keywords import (
    ALSO_GATHERED,
    FIRST_NAMES,
    INTEGERS,
    NUMBERS,
    NUMPY_NAMES,
    REFUSED,
    TAKES_OUT,
    TYPES,
)
from ._out import into
from ._quiet import may_compute

FUNCTIONS = {}  # what cnn/__init__.py exports
_TENSORS = (
    "input",
    "self",
    "tensor",
    "tensors",
    "condition",
    "equation",
    "elements",
    "a",
    "operands",
    "sorted_sequence",
)  # f's first


def public(name, f, place="cnn"):
    """f as the function `name` of a module or class."""
    parameters = inspect.signature(f).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    looks_itself = any(p.kind is p.VAR_KEYWORD for p in parameters)  # at its keywords
    made = _cnn.Function(f, None if looks_itself else frozenset(named), may_compute(f))
    made.__name__, made.__doc__, made.__wrapped__ = name, f.__doc__, f
    made.__module__, made.__qualname__ = (place, name) if place != "Tensor" else ("cnn", f"Tensor.{name}")
    made.path = f"{place}.{name}".removeprefix("cnn.")
    return made


@functools.cache
def _gathered(f):
    """(the parameters before *sizes, "sizes") of view(self, *sizes); ((), None) where none is starred."""
    before = []
    for p in inspect.signature(f).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            return tuple(before), p.name
        before.append(p.name)
    return (), None


def _translate(function, _, args, kwargs):
    """The call with the keywords that function does not know: NumPy's names, the values of *sizes by name, out=."""
    name, before, starred = function.__name__, *_gathered(function.__wrapped__)
    out = gathered = None
    for key in [k for k in kwargs if k not in function.names]:
        value = kwargs.pop(key)
        known = NUMPY_NAMES.get(key)
        if "input" in (key, known) and "input" not in function.names:
            known = next((n for n in FIRST_NAMES if n in function.names), None)
        if known in function.names:
            if known in kwargs:
                raise TypeError(f"{name}() got multiple values for argument '{known}' (also as '{key}')")
            kwargs[known] = value
        elif key in (starred, ALSO_GATHERED.get(function.path)):
            gathered = value
        elif key == "out" and function.path in TAKES_OUT:
            out = value
        elif key in REFUSED.get(function.path, ()):
            raise NotImplementedError(f"cnn.{function.path}(): argument '{key}' is not supported")
        else:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
    if gathered is not None:
        args = (*args, *[kwargs.pop(p) for p in before[len(args) :] if p in kwargs], gathered)
    return function(*args, **kwargs) if out is None else into(function, out, args, kwargs)


def _explain(function, error, args, kwargs):
    """A better error than the one that came out of the call, or None."""
    foreign = next((value for value in (*args, *kwargs.values()) if is_torchs(value)), None)
    if foreign is not None and "PyTorch" not in str(error):
        return _no_tensor(function, foreign, args, kwargs)
    if type(error).__module__ == "cnn.errors":
        return None
    better = _no_tensor(function, error.obj, args, kwargs) if isinstance(error, AttributeError) else None
    return better or _wrong_kind(function, error, args, kwargs)


def _wrong_kind(function, error, args, kwargs):
    """The TypeError for text, a float or a list where torch wants integers, a number or a type."""
    name, words = function.__name__, str(error)
    if (
        f"{name}()" in words
        or words.startswith(f"{name}: ")
        or function.__module__ not in ("cnn", "cnn.linalg", "cnn.nn.functional")
    ):
        return None  # our own words, or a function whose arguments only share the names
    try:
        given = inspect.signature(function.__wrapped__).bind(*args, **kwargs).arguments
    except TypeError:
        return None
    for position, (argument, value) in enumerate(given.items(), not function.path.startswith("Tensor.")):
        for item in value if isinstance(value, (tuple, list)) and argument in INTEGERS else (value,):
            if argument in INTEGERS and isinstance(item, (str, bytes, float, dict, set)):
                wanted = "int" if item is value else "tuple of ints"
            elif argument in NUMBERS and isinstance(item, (str, bytes, list, tuple, dict, set)):
                wanted = "Tensor or Number" if argument == "other" else "Number"
            elif argument in NUMBERS and item is None and argument in ("other", "value", "fill_value", "exponent"):
                wanted = "Tensor or Number"
            elif argument in TYPES and isinstance(item, (str, int, float)):
                wanted = "torch.dtype"
            else:
                continue
            place = f"argument '{argument}' (position {position})"
            return TypeError(f"{name}(): {place} must be {wanted}, not {kind_name(item)}")
    return None


def _no_tensor(function, culprit, args, kwargs):
    """The TypeError for an argument that lacks an attribute of Tensors, or for an array that went some way as one."""
    f = function.__wrapped__
    if f.__code__.co_varnames[:1] and f.__code__.co_varnames[0] not in _TENSORS and not is_torchs(culprit):
        return None  # makes new tensors
    given = inspect.signature(f).bind(*args, **kwargs).arguments
    for position, (argument, value) in enumerate(given.items(), 1):
        for item in (value, *(value if isinstance(value, (tuple, list)) else ())):
            if not isinstance(item, Tensor) and (item is culprit or isinstance(item, np.ndarray)):
                place = f"argument '{argument}' (position {position})"
                return TypeError(f"{function.__name__}(): {place} must be Tensor, not {kind_name(item)}")
    return None


_cnn.set_function_hooks(_translate, _explain)


def function(f):
    """`cnn.f` only."""
    FUNCTIONS[f.__name__] = public(f.__name__, f)
    return f


def method(*names):
    """A method of Tensor only, under these names (its own name where none is given)."""

    def register(f):
        for name in names or (f.__name__,):
            setattr(Tensor, name, f if name.startswith("__") else public(name, f, "Tensor"))
        return f

    return register


def both(f):
    """`cnn.f(x, ...)` and `x.f(...)`."""
    method()(f)
    return function(f)


def alias(name, f, tensor=True):
    """Another name for f, in `cnn` and (unless tensor=False) on Tensor."""
    FUNCTIONS[name] = public(name, f)
    if tensor:
        method(name)(f)


def inplace(name, operation):
    """`x.name()` applies an Operation in place, where it has no arguments."""

    def f(self):
        return operation.apply_(self)

    f.__name__ = name
    f.__doc__ = f"`{name[:-1]}` in place; returns the tensor."
    return method()(f)


def return_type(name, *fields):
    """A tuple with named fields that prints as torch.return_types.NAME."""
    base = namedtuple(name, fields)

    def text(self):
        lines = [f"{field}={value!r}" for field, value in zip(fields, self, strict=True)]
        return f"torch.return_types.{name}(\n" + ",\n".join(lines) + ")"

    return type(name, (base,), {"__repr__": text, "__slots__": ()})
