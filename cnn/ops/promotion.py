"""Which type a result has: torch's promotion rules, where they differ from NumPy's.

Three classes of operand, the weaker ones giving way: tensors with dimensions, 0-d tensors, Python numbers. A weaker
operand counts only if it is of a higher category (bool < integer < float); a float number beside integers gives the
default type. See https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc.
"""

import numpy as np

from cnn import types
from cnn.tensor import Tensor

from ._register import function

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}
_OF_NUMBER = {bool: 0, int: 1, float: 2}


def _category_of_number(x):
    for python_type, category in _OF_NUMBER.items():
        if type(x) is python_type:
            return category
    if isinstance(x, np.bool_):
        return 0
    if isinstance(x, (int, np.integer)):
        return 1
    if isinstance(x, (float, np.floating)):
        return 2
    return None


def promote(*operands):
    """The common NumPy type of Tensors and Python numbers."""
    ranked = [None, None, None]  # types of numbers, 0-d tensors, tensors with dimensions
    categories = [-1, -1, -1]
    for x in operands:
        if isinstance(x, Tensor):
            rank, kind = (2 if x._a.ndim else 1), x._a.dtype
        else:
            category = _category_of_number(x)
            rank = 0
            kind = (np.dtype(np.bool_), np.dtype(np.int64), types.get_default_dtype().numpy)[category]
        ranked[rank] = kind if ranked[rank] is None else _wider(ranked[rank], kind)
        categories[rank] = max(categories[rank], _CATEGORY[kind.kind])
    result = None
    best = -1
    for rank in (2, 1, 0):
        if categories[rank] > best:
            # a weaker operand of a higher category decides alone; numbers bring the default float
            result, best = ranked[rank], categories[rank]
    return result


def _wider(a, b):
    """promote_types, but integers beside floats never widen the float."""
    if a is b:
        return a
    if a.kind == "f" and b.kind != "f":
        return a
    if b.kind == "f" and a.kind != "f":
        return b
    return np.promote_types(a, b)


@function
def promote_types(type1, type2):
    """The type of a result computed from both. See torch.promote_types."""
    return types.of_numpy(_wider(type1.numpy, type2.numpy))


@function
def result_type(tensor1, tensor2):
    """The type that an operation on both operands gives. See torch.result_type."""
    return types.of_numpy(promote(tensor1, tensor2))


@function
def can_cast(from_, to):
    """True if a value of type `from_` may be cast to `to` under torch's rules."""
    return _CATEGORY[from_.numpy.kind] <= _CATEGORY[to.numpy.kind]
