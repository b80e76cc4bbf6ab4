"""Comparisons, logic and bits: bool and integer results, no gradients."""

import numpy as np

from cnn.errors import DTypeError
from cnn.tensor import Tensor

from ._register import alias, both, function
from .arithmetic import _operator, _prepare
from .broadcasting import check_broadcast


def _raw(x):
    return x._a if isinstance(x, Tensor) else x


def _comparison(name, ufunc):
    def f(input, other, *, out=None):
        if isinstance(other, Tensor) and input._a.dtype is other._a.dtype and input._a.shape == other._a.shape:
            return Tensor._wrap(ufunc(input._a, other._a))
        if not isinstance(other, Tensor):
            return Tensor._wrap(ufunc(input._a, other))
        a, b = _prepare(name, input, other)
        return Tensor._wrap(ufunc(_raw(a), _raw(b)))

    f.__name__ = name
    f.__doc__ = f"Element by element, as a bool tensor. See torch.{name}."
    return both(f)


eq = _comparison("eq", np.equal)
ne = _comparison("ne", np.not_equal)
lt = _comparison("lt", np.less)
le = _comparison("le", np.less_equal)
gt = _comparison("gt", np.greater)
ge = _comparison("ge", np.greater_equal)
for _name, _f in {
    "not_equal": ne, "less": lt, "less_equal": le, "greater": gt, "greater_equal": ge,
}.items():  # fmt: skip
    alias(_name, _f)

Tensor.__eq__ = _operator(eq)
Tensor.__ne__ = _operator(ne)
Tensor.__lt__ = _operator(lt)
Tensor.__le__ = _operator(le)
Tensor.__gt__ = _operator(gt)
Tensor.__ge__ = _operator(ge)


def _test(name, ufunc):
    def f(input):
        return Tensor._wrap(np.asarray(ufunc(input._a)))

    f.__name__ = name
    f.__doc__ = f"Element by element, as a bool tensor. See torch.{name}."
    return both(f)


isnan, isinf, isfinite = _test("isnan", np.isnan), _test("isinf", np.isinf), _test("isfinite", np.isfinite)
logical_not = _test("logical_not", np.logical_not)


def _logic(name, ufunc):
    def f(input, other):
        a, b = _raw(input), _raw(other)
        if isinstance(other, Tensor) and a.shape != b.shape:
            check_broadcast(name, a.shape, b.shape)
        try:
            return Tensor._wrap(ufunc(a, b))
        except TypeError:
            got = " and ".join(str(x.dtype) if isinstance(x, Tensor) else repr(x) for x in (input, other))
            raise DTypeError(f"{name}(): expected integers or bools, got {got}") from None

    f.__name__ = name
    f.__doc__ = f"Element by element. See torch.{name}."
    return both(f)


logical_and, logical_or = _logic("logical_and", np.logical_and), _logic("logical_or", np.logical_or)
logical_xor = _logic("logical_xor", np.logical_xor)
bitwise_and, bitwise_or = _logic("bitwise_and", np.bitwise_and), _logic("bitwise_or", np.bitwise_or)
bitwise_xor = _logic("bitwise_xor", np.bitwise_xor)
bitwise_left_shift = _logic("bitwise_left_shift", np.left_shift)
bitwise_right_shift = _logic("bitwise_right_shift", np.right_shift)


@both
def bitwise_not(input):
    """~input; not for floats. See torch.bitwise_not."""
    if input._a.dtype.kind == "f":
        raise RuntimeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return Tensor._wrap(np.invert(input._a))


Tensor.__invert__ = bitwise_not
Tensor.__and__ = Tensor.__rand__ = _operator(bitwise_and)
Tensor.__or__ = Tensor.__ror__ = _operator(bitwise_or)
Tensor.__xor__ = Tensor.__rxor__ = _operator(bitwise_xor)
Tensor.__lshift__, Tensor.__rshift__ = _operator(bitwise_left_shift), _operator(bitwise_right_shift)
Tensor.__iand__ = lambda self, other: self.copy_(self & other)
Tensor.__ior__ = lambda self, other: self.copy_(self | other)
Tensor.__ixor__ = lambda self, other: self.copy_(self ^ other)


@both
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True where |input - other| <= atol + rtol |other|. See torch.isclose."""
    check_broadcast("isclose", input._a.shape, other._a.shape)
    return Tensor._wrap(np.asarray(np.isclose(input._a, other._a, rtol, atol, equal_nan)))


@both
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True if isclose holds everywhere. See torch.allclose."""
    check_broadcast("allclose", input._a.shape, other._a.shape)
    return bool(np.allclose(input._a, other._a, rtol, atol, equal_nan))


@both
def equal(input, other):
    """True if shape and all elements agree. See torch.equal."""
    return input._a.shape == other._a.shape and bool((input._a == other._a).all())


@function
def isin(elements, test_elements, *, invert=False):
    """True where an element is among test_elements. See torch.isin."""
    return Tensor._wrap(np.isin(_raw(elements), _raw(test_elements), invert=invert))
