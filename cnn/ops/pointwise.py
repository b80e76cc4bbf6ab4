"""Element-wise functions of one tensor: one line each gives the function and its derivative."""

import numpy as np

from cnn import types
from cnn.autograd.function import Operation, check_overlap
from cnn.tensor import Tensor

from ._register import alias, both, function, inplace, method
from .broadcasting import broadcast_shape, check_broadcast, sum_to_shape
from .conversion import to_type
from .promotion import refuse_types


def _unary(name, compute, slope, needs="x", float_result=True, title=None, refuse=None):
    """Define cnn.name and Tensor.name and Tensor.name_.

    slope(x) or slope(y) is the derivative, from the input ("x") or the output ("y"); None where it is zero.
    refuse(kind) raises for types that torch has no such function for.
    """

    class Unary(Operation):
        @staticmethod
        def forward(ctx, x):
            if refuse is not None:
                refuse(x.dtype)
            with np.errstate(all="ignore"):
                y = np.asarray(compute(x))
            if y.dtype != x.dtype and x.dtype.kind == "f":
                y = y.astype(x.dtype)
            if ctx.needs[0]:
                ctx.saved = (x,) if needs == "x" else (y,)
            return y

        @staticmethod
        def backward(ctx, dy):
            if slope is None:
                return np.zeros_like(dy)
            with np.errstate(all="ignore"):
                return np.asarray(dy * slope(ctx.saved[0]), dy.dtype)

    Unary.__name__ = Unary.__qualname__ = title or name.capitalize()

    def f(input):
        if float_result and input._a.dtype.kind != "f":
            input = to_type(input, types.get_default_dtype())
        return Unary.apply(input)

    f.__name__ = name
    f.__doc__ = f"{name} of every element. See torch.{name}."
    both(f)
    inplace(name + "_", Unary)
    return f


def _without(kernel, kinds="b"):
    return lambda kind: refuse_types(kernel, kind, kinds)


def _refuse_negation(kind):
    if kind.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead."
        )


neg = _unary("neg", np.negative, lambda x: -1, float_result=False, refuse=_refuse_negation)
alias("negative", neg)
Tensor.__neg__ = lambda self: neg(self)
abs = _unary("abs", np.abs, np.sign, float_result=False, refuse=_without("abs_cpu"))
alias("absolute", abs)
Tensor.__abs__ = lambda self: abs(self)
exp = _unary("exp", np.exp, lambda y: y, needs="y")
exp2 = _unary("exp2", np.exp2, lambda y: y * np.log(2), needs="y")
expm1 = _unary("expm1", np.expm1, lambda y: y + 1, needs="y")
log = _unary("log", np.log, lambda x: 1 / x)
log2 = _unary("log2", np.log2, lambda x: 1 / (x * np.log(2)))
log10 = _unary("log10", np.log10, lambda x: 1 / (x * np.log(10)))
log1p = _unary("log1p", np.log1p, lambda x: 1 / (1 + x))
sqrt = _unary("sqrt", np.sqrt, lambda y: 0.5 / y, needs="y")
rsqrt = _unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda y: -0.5 * y**3, needs="y")
square = _unary(
    "square",
    lambda x: np.square(x, dtype=np.int64 if x.dtype.kind == "b" else None),
    lambda x: 2 * x,
    float_result=False,
    title="Pow",
)
reciprocal = _unary("reciprocal", np.reciprocal, lambda y: -y * y, needs="y")
sin = _unary("sin", np.sin, np.cos)
cos = _unary("cos", np.cos, lambda x: -np.sin(x))
tan = _unary("tan", np.tan, lambda y: 1 + y * y, needs="y")
asin = _unary("asin", np.arcsin, lambda x: 1 / np.sqrt(1 - x * x))
acos = _unary("acos", np.arccos, lambda x: -1 / np.sqrt(1 - x * x))
atan = _unary("atan", np.arctan, lambda x: 1 / (1 + x * x))
sinh = _unary("sinh", np.sinh, np.cosh)
cosh = _unary("cosh", np.cosh, np.sinh)
sign = _unary("sign", lambda x: x.copy() if x.dtype.kind == "b" else np.sign(x), None, float_result=False)
floor = _unary("floor", np.floor, None, float_result=False, refuse=_without("floor_vml_cpu"))
ceil = _unary("ceil", np.ceil, None, float_result=False, refuse=_without("ceil_vml_cpu"))
trunc = _unary("trunc", np.trunc, None, float_result=False, refuse=_without("trunc_vml_cpu"))
frac = _unary("frac", lambda x: x - np.trunc(x), lambda x: 1, float_result=False, refuse=_without("frac_cpu", "biu"))
for _name, _function in {"arcsin": asin, "arccos": acos, "arctan": atan, "fix": trunc, "sgn": sign}.items():
    alias(_name, _function)


class Round(Operation):
    @staticmethod
    def forward(ctx, x, decimals):
        return np.round(x, decimals)

    @staticmethod
    def backward(ctx, dy):
        return np.zeros_like(dy), None


@both
def round(input, *, decimals=0):
    """Every element to the nearest integer, halves to the even one. See torch.round."""
    return Round.apply(input, decimals)


@method()
def round_(self, *, decimals=0):
    """round in place."""
    return Round.apply_(self, decimals)


class Atan2(Operation):
    @staticmethod
    def forward(ctx, y, x):
        ctx.saved = (y, x)
        return np.arctan2(y, x)

    @staticmethod
    def backward(ctx, dy):
        y, x = ctx.saved
        scaled = dy / (x * x + y * y)
        return sum_to_shape(scaled * x, y.shape), sum_to_shape(-scaled * y, x.shape)


@both
def atan2(input, other):
    """The angle of (other, input). See torch.atan2."""
    return Atan2.apply(input, other)


alias("arctan2", atan2)


class Clamp(Operation):
    """The gradient passes where low <= x <= high, and stops elsewhere."""

    @staticmethod
    def forward(ctx, x, low, high):
        y = x
        if low is not None:
            y = np.maximum(y, low)
        if high is not None:
            y = np.minimum(y, high)
        y = y.copy() if y is x else y
        if y.dtype != x.dtype and x.dtype.kind == "f":
            y = y.astype(x.dtype)
        ctx.saved, ctx.limits = (x,), (low, high)
        return y

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved
        low, high = ctx.limits
        inside = np.ones(x.shape, np.bool_)
        if low is not None:
            inside &= x >= low
        if high is not None:
            inside &= x <= high
        return np.where(inside, dy, 0).astype(dy.dtype, copy=False), None, None


def _limits(name, input, min, max):
    if min is None and max is None:
        raise RuntimeError(f"{name}: At least one of 'min' or 'max' must not be None")
    if isinstance(min, float) or isinstance(max, float):
        input = input if input._a.dtype.kind == "f" else to_type(input, types.get_default_dtype())
    for limit in (min, max):
        if isinstance(limit, Tensor):
            check_broadcast(name, input._a.shape, limit._a.shape)
    return input, *[m._a if isinstance(m, Tensor) else m for m in (min, max)]


@both
def clamp(input, min=None, max=None):
    """Every element limited to min..max. See torch.clamp."""
    return Clamp.apply(*_limits("torch.clamp", input, min, max))


@method()
def clamp_(self, min=None, max=None):
    """clamp in place."""
    _, low, high = _limits("torch.clamp", self, min, max)
    return Clamp.apply_(self, low, high)


alias("clip", clamp)
method("clip_")(clamp_)


@both
def clamp_min(input, min):
    """Every element at least min. See torch.clamp_min."""
    return clamp(input, min=min)


@both
def clamp_max(input, max):
    """Every element at most max. See torch.clamp_max."""
    return clamp(input, max=max)


@method()
def clamp_min_(self, min):
    """clamp_min in place."""
    return clamp_(self, min=min)


@method()
def clamp_max_(self, max):
    """clamp_max in place."""
    return clamp_(self, max=max)


class Where(Operation):
    @staticmethod
    def forward(ctx, condition, a, b):
        ctx.condition = condition
        ctx.shapes = np.shape(a), np.shape(b)
        return np.where(condition, a, b)

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.shapes
        zero = dy.dtype.type(0)
        return (
            None,
            sum_to_shape(np.where(ctx.condition, dy, zero), a) if ctx.needs[1] else None,
            sum_to_shape(np.where(ctx.condition, zero, dy), b) if ctx.needs[2] else None,
        )


@function
def where(condition, input=None, other=None):
    """input where condition holds, other elsewhere; with the condition alone, nonzero(as_tuple=True).
    See torch.where."""
    from .promotion import promote

    if input is None:
        return condition.nonzero(as_tuple=True)
    kind = promote(input, other)
    a, b = (
        (x if x._a.dtype == kind else x.to(kind)) if isinstance(x, Tensor) else np.asarray(x, kind)
        for x in (input, other)
    )
    condition = condition._a if isinstance(condition, Tensor) else np.asarray(condition)
    broadcast_shape("where", condition.shape, *((x._a if isinstance(x, Tensor) else x).shape for x in (a, b)))
    return Where.apply(condition, a, b)


@method("where")
def _where(self, condition, other):
    """self where condition holds, other elsewhere. See torch.Tensor.where."""
    return where(condition, self, other)


@both
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """NaN and infinities replaced; no gradient. See torch.nan_to_num."""
    return Tensor._wrap(np.nan_to_num(input._a, nan=nan, posinf=posinf, neginf=neginf))


class Fill(Operation):
    may_overlap = True

    @staticmethod
    def forward_(ctx, x, value):
        ctx.shape = np.shape(value)
        if isinstance(value, np.ndarray):
            check_overlap(x)
        x[...] = value
        return x

    @staticmethod
    def backward(ctx, dy):
        return np.zeros_like(dy), dy.sum().reshape(ctx.shape) if ctx.needs[1] else None


@method()
def fill_(self, value):
    """Every element becomes value. See torch.Tensor.fill_."""
    if isinstance(value, Tensor) and value._a.ndim:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions."
        )
    return Fill.apply_(self, value)


@method()
def zero_(self):
    """Every element becomes 0. See torch.Tensor.zero_."""
    return Fill.apply_(self, 0)
