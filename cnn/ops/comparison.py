"""Comparisons, logic and bits: bool and integer results, no gradients."""

import numpy as np

from cnn.tensor import Tensor

from ._register import alias, both, function, method
from .arithmetic import _operator, _store
from .broadcasting import check_broadcast
from .operands import check_tensors, kind_of, prepare, raw
from .promotion import refuse_types, title


def _comparison(name, ufunc):
    def f(input, other):
        if isinstance(other, Tensor) and input._a.dtype is other._a.dtype and input._a.shape == other._a.shape:
            return Tensor._wrap(ufunc(input._a, other._a))
        if type(other) in (float, int) and input._a.dtype.kind == "f":
            return Tensor._wrap(ufunc(input._a, other))
        a, b = prepare(name, input, other)
        return Tensor._wrap(ufunc(raw(a), raw(b)))

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
        check_tensors(name, input, other)
        if input._a.shape != other._a.shape:
            check_broadcast(name, input._a.shape, other._a.shape)
        return Tensor._wrap(ufunc(input._a, other._a))

    f.__name__ = name
    f.__doc__ = f"Element by element, as a bool tensor. See torch.{name}."
    return both(f)


def _bits(name, ufunc, kernel, refused="f"):
    def f(input, other):
        a, b = prepare(name, input, other)
        refuse_types(kernel, kind_of(a, b), refused)
        return Tensor._wrap(ufunc(raw(a), raw(b)))

    f.__name__ = name
    f.__doc__ = f"Element by element, of integers. See torch.{name}."
    return both(f)


logical_and, logical_or = _logic("logical_and", np.logical_and), _logic("logical_or", np.logical_or)
logical_xor = _logic("logical_xor", np.logical_xor)
bitwise_and = _bits("bitwise_and", np.bitwise_and, "bitwise_and_cpu")
bitwise_or = _bits("bitwise_or", np.bitwise_or, "bitwise_or_cpu")
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor, "bitwise_xor_cpu")
bitwise_left_shift = _bits("bitwise_left_shift", np.left_shift, "lshift_cpu", "fb")
bitwise_right_shift = _bits("bitwise_right_shift", np.right_shift, "rshift_cpu", "fb")


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
Tensor.__lshift__, Tensor.__rlshift__ = _operator(bitwise_left_shift), _operator(bitwise_left_shift, swap=True)
Tensor.__rshift__, Tensor.__rrshift__ = _operator(bitwise_right_shift), _operator(bitwise_right_shift, swap=True)


def _in_place(f):
    def apply(self, other):
        return _store(self, f(self, other))

    apply.__name__ = f"{f.__name__}_"
    apply.__doc__ = f"`{f.__name__}` in place; returns the tensor. See torch.Tensor.{f.__name__}_."
    return method()(apply)


Tensor.__iand__, Tensor.__ior__, Tensor.__ixor__ = map(_in_place, (bitwise_and, bitwise_or, bitwise_xor))
Tensor.__ilshift__, Tensor.__irshift__ = map(_in_place, (bitwise_left_shift, bitwise_right_shift))
for _f in (logical_and, logical_or, logical_xor):
    _in_place(_f)


def _check_close(name, input, other, rtol, atol):
    if input._a.dtype != other._a.dtype:
        raise RuntimeError(f"{title(input._a.dtype)} did not match {title(other._a.dtype)}")
    for argument, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{argument} must be greater than or equal to zero, but got {value}")
    check_broadcast(name, input._a.shape, other._a.shape)


@both
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True where |input - other| <= atol + rtol |other|. See torch.isclose."""
    _check_close("isclose", input, other, rtol, atol)
    return Tensor._wrap(np.asarray(np.isclose(input._a, other._a, rtol, atol, equal_nan)))


@both
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True if isclose holds everywhere. See torch.allclose."""
    _check_close("allclose", input, other, rtol, atol)
    return bool(np.allclose(input._a, other._a, rtol, atol, equal_nan))


@both
def equal(input, other):
    """True if shape and all elements agree. See torch.equal."""
    return input._a.shape == other._a.shape and bool((input._a == other._a).all())


@function
def isin(elements=None, test_elements=None, *, assume_unique=False, invert=False, element=None, test_element=None):
    """True where an element is among test_elements. See torch.isin."""
    elements = element if elements is None else elements
    test_elements = test_element if test_elements is None else test_elements
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): one of elements and test_elements must be Tensor, the other one may be a number")
    for x in (elements, test_elements):
        if isinstance(x, Tensor) and x._a.dtype.kind == "b" or isinstance(x, bool):
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    return Tensor._wrap(np.isin(raw(elements), raw(test_elements), assume_unique, invert))
