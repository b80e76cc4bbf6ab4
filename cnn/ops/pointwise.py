"""Element-wise functions of one tensor: one line each gives the function and its derivative."""

import numpy as np

from cnn import types
from cnn.autograd.function import Operation, check_overlap
from cnn.tensor import Tensor

from ._register import alias, both, function, inplace, method
from .broadcasting import broadcast_shape, check_broadcast, sum_to_shape
from .conversion import to_type
from .operands import cast, check_tensors, prepare
from .promotion import as_value, common_type, promote, refuse_cast, refuse_types
from .promotion import title as type_title


def _unary(name, compute, slope, needs="x", float_result=True, title=None, refuse=None):
    """Define cnn.name and Tensor.name and Tensor.name_.

    slope(x) or slope(y) is the derivative, from the input ("x") or the output ("y"); a number where it is the same
    everywhere.
    refuse(kind) raises for types that torch has no such function for.
    """

    class Unary(Operation):
        @staticmethod
        def forward(ctx, x):
            if refuse is not None:
                refuse(x.dtype)
            y = np.asarray(compute(x))
            if y.dtype != x.dtype and x.dtype.kind == "f":
                y = y.astype(x.dtype)
            if ctx.needs[0] and callable(slope):
                ctx.saved = (x,) if needs == "x" else (y,)
            return y

        @staticmethod
        def backward(ctx, dy):
            if not callable(slope):
                return dy * dy.dtype.type(slope)
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


neg = _unary("neg", np.negative, -1, float_result=False, refuse=_refuse_negation)
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
reciprocal = _unary("reciprocal", lambda x: 1 / x, lambda y: -y * y, needs="y")
sin = _unary("sin", np.sin, np.cos)
cos = _unary("cos", np.cos, lambda x: -np.sin(x))
tan = _unary("tan", np.tan, lambda y: 1 + y * y, needs="y")
asin = _unary("asin", np.arcsin, lambda x: 1 / np.sqrt(1 - x * x))
acos = _unary("acos", np.arccos, lambda x: -1 / np.sqrt(1 - x * x))
atan = _unary("atan", np.arctan, lambda x: 1 / (1 + x * x))
sinh = _unary("sinh", np.sinh, np.cosh)
cosh = _unary("cosh", np.cosh, np.sinh)


def _sign(x):
    if x.dtype.kind == "b":
        return x.copy()
    y = np.sign(x)
    return np.where(y == y, y, x.dtype.type(0)) if x.dtype.kind == "f" else y  # torch gives NaN no sign


sign = _unary("sign", _sign, 0, float_result=False)
floor = _unary("floor", np.floor, 0, float_result=False, refuse=_without("floor_vml_cpu"))
ceil = _unary("ceil", np.ceil, 0, float_result=False, refuse=_without("ceil_vml_cpu"))
trunc = _unary("trunc", np.trunc, 0, float_result=False, refuse=_without("trunc_vml_cpu"))
frac = _unary("frac", lambda x: x - np.trunc(x), 1, float_result=False, refuse=_without("frac_cpu", "biu"))
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
    refuse_types("round_vml_cpu" if decimals == 0 else "round_cpu", input._a.dtype, "biu" if decimals else "b")
    return Round.apply(input, decimals)


@method()
def round_(self, *, decimals=0):
    """round in place."""
    refuse_types("round_vml_cpu" if decimals == 0 else "round_cpu", self._a.dtype, "biu" if decimals else "b")
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
        return (
            sum_to_shape(scaled * x, y.shape) if ctx.needs[0] else None,
            sum_to_shape(-scaled * y, x.shape) if ctx.needs[1] else None,
        )


@both
def atan2(input, other):
    """The angle of (other, input). See torch.atan2."""
    check_tensors("atan2", input, other)
    return Atan2.apply(*prepare("atan2", input, other, float_result=True))


alias("arctan2", atan2)


class Clamp(Operation):
    """The gradient passes where low <= x <= high; elsewhere it goes to the bound that took x's place."""

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
        ctx.saved = (x, low, high)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, low, high = ctx.saved
        below = np.False_ if low is None else x < low
        above = np.False_ if high is None else x > high
        nowhere = np.isnan(x)  # NaN is neither, and stays
        for bound in (low, high):
            if bound is not None:
                nowhere = nowhere | np.isnan(bound)
        if low is not None and high is not None:
            crossed = np.greater(low, high)  # high wins
            to_low, to_high = below & ~crossed, above | crossed
        else:
            to_low, to_high = below, above
        return (
            sum_to_shape(_passing(~(below | above | nowhere), dy), x.shape) if ctx.needs[0] else None,
            sum_to_shape(_passing(to_low, dy), np.shape(low)) if ctx.needs[1] else None,
            sum_to_shape(_passing(to_high, dy), np.shape(high)) if ctx.needs[2] else None,
        )


def _passing(condition, dy):
    return np.where(condition, dy, dy.dtype.type(0))


def _limits(name, input, min, max):
    """The operands of a clamp in the type of its result."""
    if min is None and max is None:
        raise RuntimeError(f"{name}: At least one of 'min' or 'max' must not be None")
    given = [x for x in (input, min, max) if x is not None]
    limits = [x for x in given[1:] if isinstance(x, Tensor)]
    if not limits and input._a.dtype.kind == "f":
        return input, min, max
    if not limits or len(given) == 3:
        refuse_types("clamp_cpu" if limits else "clamp_scalar_cpu", promote(*given))
    for limit in limits:
        check_broadcast(name, input._a.shape, limit._a.shape)
    kind = common_type(*given)
    return [
        x if x is None else cast(x, kind) if isinstance(x, Tensor) else as_value(x, kind.numpy)
        for x in (input, min, max)
    ]


@both
def clamp(input, min=None, max=None):
    """Every element limited to min..max. See torch.clamp."""
    return Clamp.apply(*_limits("torch.clamp", input, min, max))


@method()
def clamp_(self, min=None, max=None):
    """clamp in place."""
    cast, low, high = _limits("torch.clamp", self, min, max)
    refuse_cast(cast._a.dtype, self._a.dtype)
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


_NUMBERS = (bool, int, float, np.number, np.bool_)


class Where(Operation):
    @staticmethod
    def forward(ctx, condition, a, b):
        ctx.saved = (condition,)
        ctx.shapes = np.shape(a), np.shape(b)
        return np.where(condition, a, b)

    @staticmethod
    def backward(ctx, dy):
        (condition,) = ctx.saved
        a, b = ctx.shapes
        zero = dy.dtype.type(0)
        return (
            None,
            sum_to_shape(np.where(condition, dy, zero), a) if ctx.needs[1] else None,
            sum_to_shape(np.where(condition, zero, dy), b) if ctx.needs[2] else None,
        )


@function
def where(condition, input=None, other=None):
    """input where condition holds, other elsewhere; with the condition alone, nonzero(as_tuple=True).
    See torch.where."""
    if input is None:
        return condition.nonzero(as_tuple=True)
    for position, (argument, x) in enumerate((("condition", condition), ("input", input), ("other", other)), 1):
        if not isinstance(x, Tensor) and (x is condition or not isinstance(x, _NUMBERS)):
            place = f"argument '{argument}' (position {position})"
            raise TypeError(f"where(): {place} must be Tensor, not {type(x).__name__}")
    if condition._a.dtype not in (np.bool_, np.uint8):
        got = type_title(condition._a.dtype)
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {got}")
    kind = common_type(input, other)
    a, b = (
        cast(x, kind) if isinstance(x, Tensor) else np.asarray(as_value(x, kind.numpy), kind.numpy)
        for x in (input, other)
    )
    broadcast_shape("where", *((x._a if isinstance(x, Tensor) else x).shape for x in (condition, a, b)))
    return Where.apply(condition, a, b)


@method("where")
def _where(self, condition, other):
    """self where condition holds, other elsewhere. See torch.Tensor.where."""
    return where(condition, self, other)


class NanToNum(Operation):
    @staticmethod
    def forward(ctx, x, nan, posinf, neginf):
        ctx.saved = (np.isfinite(x),) if ctx.needs[0] else ()
        return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)

    @staticmethod
    def backward(ctx, dy):
        return _passing(*ctx.saved, dy), None, None, None


@both
def nan_to_num(input, nan=None, posinf=None, neginf=None):
    """NaN becomes `nan` (0 where not given), the infinities the given or the largest numbers. See torch.nan_to_num."""
    return NanToNum.apply(input, 0.0 if nan is None else nan, posinf, neginf)


@method()
def nan_to_num_(self, nan=None, posinf=None, neginf=None):
    """nan_to_num in place."""
    return NanToNum.apply_(self, 0.0 if nan is None else nan, posinf, neginf)


class Fill(Operation):
    may_overlap = True

    @staticmethod
    def forward_(ctx, x, value):
        ctx.shape, ctx.kind = np.shape(value), getattr(value, "dtype", None)
        if isinstance(value, np.ndarray):
            check_overlap(x)
        x[...] = value
        return x

    @staticmethod
    def backward(ctx, dy):
        return np.zeros_like(dy), dy.sum().reshape(ctx.shape).astype(ctx.kind) if ctx.needs[1] else None


@method()
def fill_(self, value):
    """Every element becomes value. See torch.Tensor.fill_."""
    if isinstance(value, Tensor) and value._a.ndim:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions."
        )
    return Fill.apply_(self, value if isinstance(value, Tensor) else as_value(value, self._a.dtype))


@method()
def zero_(self):
    """Every element becomes 0. See torch.Tensor.zero_."""
    return Fill.apply_(self, 0)
