"""Which type a result has: torch's promotion rules, where they differ from NumPy's.

Three classes of operand, the weaker ones giving way: tensors with dimensions, 0-d tensors, Python numbers. A weaker
operand counts only if it is of a higher category (bool < integer < float); a float number beside integers gives the
default type. See https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc.
"""

import numpy as np

from cnn import types
from cnn.tensor import Tensor

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}
_WIDE_UNSIGNED = ("uint16", "uint32", "uint64")
_TITLES = {
    "bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "float16": "Half", "float32": "Float", "float64": "Double", "uint16": "UInt16", "uint32": "UInt32",
    "uint64": "UInt64",
}  # fmt: skip
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
        ranked[rank] = kind if ranked[rank] is None else wider(ranked[rank], kind)
        categories[rank] = max(categories[rank], _CATEGORY[kind.kind])
    result = None
    best = -1
    for rank in (2, 1, 0):
        if categories[rank] > best:
            # a weaker operand of a higher category decides alone; numbers bring the default float
            result, best = ranked[rank], categories[rank]
    return result


def title(kind):
    """A type's name in torch's messages: Float, Long, ..."""
    return _TITLES[types.of_numpy(kind).name]


def wider(a, b):
    """promote_types, but integers beside floats never widen the float."""
    if a == b:
        return a
    if a.kind == "f" and b.kind != "f":
        return a
    if b.kind == "f" and a.kind != "f":
        return b
    if a.name in _WIDE_UNSIGNED or b.name in _WIDE_UNSIGNED:
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{title(a)} and {title(b)}"
        )
    return np.promote_types(a, b)


def refuse_types(kernel, kind, kinds="b"):
    """torch's error for types that a function has no kernel for: by their `kinds`, in NumPy's letters."""
    if kind.kind in kinds:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{title(kind)}'")


def as_operand(number, kind):
    """A number as it takes part in arithmetic with a tensor of type `kind`: integers wrap round, as in torch."""
    if kind.kind == "f":
        return float(number)
    if kind.kind == "b":
        return bool(number)
    number = int(number)
    if not -(2**63) <= number < 2**64:
        raise OverflowError("int too big to convert")
    bits = 8 * kind.itemsize
    number &= (1 << bits) - 1
    return number - (1 << bits) if kind.kind == "i" and number >> (bits - 1) else number


def as_value(number, kind):
    """A number that is to be stored in a tensor of type `kind`; RuntimeError where it does not fit, as in torch:
    fractions are cut off, and an unsigned type takes its negative numbers once round."""
    if kind.kind == "f":
        return float(number)
    if kind.kind == "b":
        return bool(number)
    limits = np.iinfo(kind)
    low = -limits.max if kind.kind == "u" and isinstance(number, (int, np.integer)) else limits.min
    if not low <= number <= limits.max:  # NaN compares false
        raise RuntimeError(f"value cannot be converted to type {kind.name}_t without overflow")
    return as_operand(number, kind)


def common_type(*operands):
    """promote(), as one of cnn's types: bfloat16, which lies in float32, among them."""
    kind = types.of_numpy(promote(*operands))
    floating = [x for x in operands if isinstance(x, Tensor) and x._a.dtype.kind == "f"]
    counting = [x for x in floating if x._a.ndim] or floating
    low = kind is types.float32 and counting and all(x._dtype is not None for x in counting)
    return types.bfloat16 if low else kind


def may_cast(a, b):
    """True unless a value would lose its kind: a float beside integers, a number beside bools."""
    return _CATEGORY[a.kind] <= _CATEGORY[b.kind]


def refuse_cast(result, target):
    """torch's error where an in-place operation's result does not fit its target."""
    if not may_cast(result, target):
        raise RuntimeError(f"result type {title(result)} can't be cast to the desired output type {title(target)}")
