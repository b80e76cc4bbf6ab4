"""The operands of element-wise functions: tensors of one type, or a tensor and a number that fits beside it."""

import numpy as np

from cnn import types
from cnn.errors import kind_name
from cnn.tensor import Tensor

from .broadcasting import check_broadcast
from .promotion import as_operand, common_type, promote


def shape_of(x):
    return x.shape if isinstance(x, np.ndarray) else ()


def prepare(name, a, b, float_result=False):
    """Both operands in the type of the result. Python numbers stay numbers: NumPy treats them as weak."""
    if not isinstance(a, Tensor) and isinstance(a, np.ndarray):
        a = Tensor._wrap(a)
    if not isinstance(b, Tensor) and isinstance(b, np.ndarray):
        b = Tensor._wrap(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a._a.dtype is not b._a.dtype or float_result and a._a.dtype.kind != "f":
            kind = kind_for(promote(a, b), float_result)
            if a._dtype is not None or b._dtype is not None:
                kind = common_type(a, b)
            a, b = cast(a, kind), cast(b, kind)
        if a._a.shape != b._a.shape:
            check_broadcast(name, a._a.shape, b._a.shape)
        return a, b
    tensor, number = (a, b) if isinstance(a, Tensor) else (b, a)
    if not isinstance(number, (int, float, np.number, np.bool_)):
        raise TypeError(f"{name}(): expected a Tensor or a number, got {kind_name(number)}")
    kind = tensor._a.dtype
    if kind.kind != "f":
        kind = kind_for(promote(tensor, number), float_result)
        tensor = cast(tensor, kind)
    number = as_operand(number, kind)
    return (tensor, number) if isinstance(a, Tensor) else (number, tensor)


def kind_for(kind, float_result):
    return types.get_default_dtype().numpy if float_result and kind.kind != "f" else kind


def kind_of(a, b):
    """The type of two operands that prepare returned."""
    return (a if isinstance(a, Tensor) else b)._a.dtype


def check_tensors(name, a, b):
    for position, (argument, x) in enumerate((("input", a), ("other", b)), 1):
        if not isinstance(x, Tensor):
            place = f"argument '{argument}' (position {position})"
            raise TypeError(f"{name}(): {place} must be Tensor, not {kind_name(x)}")


def scaled(b, alpha, kind):
    """The second operand of add and sub, and the factor that is still to be applied to it."""
    if type(alpha) is int and alpha == 1:
        return b, 1
    if isinstance(alpha, Tensor):
        alpha = alpha.item()
    if isinstance(alpha, (bool, np.bool_)) and kind.kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, (float, np.floating)) and kind.kind != "f":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    alpha = as_operand(alpha, kind)
    return (b, alpha) if isinstance(b, Tensor) else (as_operand(b * alpha, kind), 1)


def _is_bool(x):
    return x._a.dtype.kind == "b" if isinstance(x, Tensor) else isinstance(x, (bool, np.bool_))


def refuse_bools(a, b):
    if _is_bool(a) or _is_bool(b):
        which = "two bool tensors" if _is_bool(a) and _is_bool(b) else "a bool tensor"
        raise RuntimeError(
            f"Subtraction, the `-` operator, with {which} is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead."
        )


def refuse_zeros(divisor, kind):
    if kind.kind in "iu" and not np.all(divisor):
        raise RuntimeError("ZeroDivisionError")


def raw(x):
    return x._a if isinstance(x, Tensor) else x


def cast(x, kind):
    """x in a type of NumPy's, or, where it is not that already, in one of ours."""
    array_type = kind.numpy if isinstance(kind, types.dtype) else kind
    return x if x._a.dtype == array_type else x.to(kind)
