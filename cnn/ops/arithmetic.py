"""Element-wise arithmetic with broadcasting. NumPy does the work, except for what networks spend time in."""

import numpy as np

from cnn import _cnn
from cnn.autograd import bfloat16
from cnn.autograd.function import Operation
from cnn.errors import ShapeError, is_torchs, kind_name
from cnn.tensor import Tensor

from ._quiet import quiet
from ._register import alias, both, method
from .broadcasting import broadcast_shape, check_broadcast, sum_to_shape
from .operands import cast, check_tensors, kind_for, kind_of, prepare, raw, refuse_bools, refuse_zeros, scaled, shape_of
from .promotion import as_operand, common_type, promote, refuse_cast, refuse_types


class Add(Operation):
    shapes = None  # of a and b, where they are not both that of the result
    alpha = 1

    @staticmethod
    def forward(ctx, a, b, alpha):
        ctx.shapes, ctx.alpha = (shape_of(a), shape_of(b)), alpha
        return _cnn.add(a, b) if alpha == 1 else _cnn.add(a, b, alpha)

    @staticmethod
    def forward_(ctx, a, b, alpha):
        ctx.shapes, ctx.alpha = (a.shape, shape_of(b)), alpha
        return _into(_cnn.add_, a, b) if alpha == 1 else _into(_cnn.add_, a, b, alpha)

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.shapes or (dy.shape, dy.shape)
        db = None
        if ctx.needs[1]:
            db = sum_to_shape(dy, b)
            db = db if ctx.alpha == 1 else _cnn.mul(db, ctx.alpha)
        return sum_to_shape(dy, a) if ctx.needs[0] else None, db, None


def _into(operation, a, b, *options):
    """operation(a, b), which works in a, refusing what torch refuses."""
    if a.shape != shape_of(b) != ():
        shape = np.broadcast_shapes(a.shape, b.shape)
        if shape != a.shape:
            raise ShapeError(f"output with shape {list(a.shape)} doesn't match the broadcast shape {list(shape)}")
    return operation(a, b, *options)


class Sub(Operation):
    shapes = None
    alpha = 1

    @staticmethod
    def forward(ctx, a, b, alpha):
        ctx.shapes, ctx.alpha = (shape_of(a), shape_of(b)), alpha
        return _cnn.sub(a, b if alpha == 1 else _cnn.mul(b, alpha))

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.shapes or (dy.shape, dy.shape)
        return (
            sum_to_shape(dy, a) if ctx.needs[0] else None,
            sum_to_shape(dy, b) * -ctx.alpha if ctx.needs[1] else None,
            None,
        )


class Mul(Operation):
    shapes = None

    @staticmethod
    def forward(ctx, a, b):
        needs_a, needs_b, *_ = ctx.needs
        ctx.saved, ctx.shapes = (a if needs_b else None, b if needs_a else None), (shape_of(a), shape_of(b))
        return _cnn.mul(a, b)

    @staticmethod
    def forward_(ctx, a, b):
        needs_a, needs_b, *_ = ctx.needs
        ctx.saved, ctx.shapes = (a.copy() if needs_b else None, b if needs_a else None), (a.shape, shape_of(b))
        return _into(_cnn.mul_, a, b)

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.saved
        shape_a, shape_b = ctx.shapes or (dy.shape, dy.shape)
        return (
            sum_to_shape(_cnn.mul(dy, b), shape_a) if ctx.needs[0] else None,
            sum_to_shape(_cnn.mul(dy, a), shape_b) if ctx.needs[1] else None,
        )


class Div(Operation):
    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = shape_of(a), shape_of(b)
        if ctx.needs[1] and not isinstance(a, np.ndarray):  # as torch, which multiplies a reciprocal
            ctx.saved = (a, None, np.reciprocal(b))
        else:
            ctx.saved = (a if ctx.needs[1] else None, b)
        return np.divide(a, b)

    @staticmethod
    def backward(ctx, dy):
        a, b, *reciprocal = ctx.saved
        if reciprocal:
            return None, _cnn.mul(_cnn.mul(dy, np.square(reciprocal[0])), -float(a))
        da = dy / b
        return (
            sum_to_shape(da, ctx.shapes[0]) if ctx.needs[0] else None,
            sum_to_shape(-da * (a / b), ctx.shapes[1]) if ctx.needs[1] else None,
        )


def _power(a, b):
    """np.power, which refuses what torch computes: of integers to negative powers, 0, 1 and -1 remain."""
    kind = (a if isinstance(a, np.ndarray) else b).dtype.kind
    if kind != "i" or np.all(np.asarray(b) >= 0):
        return np.power(a, b)
    odd = np.asarray(b) & 1
    return np.where(b >= 0, np.power(a, np.maximum(b, 0)), np.where(a == 1, 1, np.where(a == -1, 1 - 2 * odd, 0)))


class Pow(Operation):
    @staticmethod
    def forward(ctx, a, b):
        y = _power(a, b)
        ctx.saved = (a, b, y if ctx.needs[1] else None)
        return y

    @staticmethod
    def backward(ctx, dy):
        a, b, y = ctx.saved
        da = db = None
        if ctx.needs[0]:
            slope = np.where(b == 0, 0, b * np.power(a, np.subtract(b, 1)))
            da = sum_to_shape((dy * slope).astype(dy.dtype, copy=False), shape_of(a))
        if ctx.needs[1]:
            log = np.where((a == 0) & (np.asarray(b) >= 0), 0, np.log(a, dtype=np.float64))  # sums may cancel
            db = sum_to_shape(dy * y * log, shape_of(b)).astype(dy.dtype, copy=False)
        return da, db


class Remainder(Operation):
    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = shape_of(a), shape_of(b)
        if ctx.needs[1]:
            ctx.saved = (a, b)
        return np.remainder(a, b)

    @staticmethod
    def backward(ctx, dy):
        da = sum_to_shape(dy, ctx.shapes[0]) if ctx.needs[0] else None
        if not ctx.needs[1]:
            return da, None
        a, b = ctx.saved
        return da, sum_to_shape(-dy * np.floor_divide(a, b), ctx.shapes[1])


class Fmod(Operation):
    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = shape_of(a), shape_of(b)
        if ctx.needs[1]:
            ctx.saved = (a, b)
        return np.fmod(a, b)

    @staticmethod
    def backward(ctx, dy):
        da = sum_to_shape(dy, ctx.shapes[0]) if ctx.needs[0] else None
        if not ctx.needs[1]:
            return da, None
        a, b = ctx.saved
        return da, sum_to_shape(-dy * np.trunc(np.divide(a, b)), ctx.shapes[1])


class RoundedDiv(Operation):
    """A quotient in whole numbers, round(a, b): its gradients are zero."""

    @staticmethod
    def forward(ctx, a, b, round):
        ctx.shapes = shape_of(a), shape_of(b)
        return round(a, b)

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.shapes
        return np.zeros(a, dy.dtype), np.zeros(b, dy.dtype), None

    def name(self):
        return "DivBackward2"


class Select2(Operation):
    """maximum and minimum: the gradient goes to the larger (smaller) one, half to each on a tie."""

    @staticmethod
    def forward(ctx, a, b, ufunc):
        y = ufunc(a, b)
        ctx.saved = (a, b)
        ctx.better = np.greater if ufunc is np.maximum else np.less
        return y

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.saved
        half = np.where(a == b, dy / 2, 0)
        return (
            sum_to_shape((np.where(ctx.better(a, b), dy, 0) + half).astype(dy.dtype), shape_of(a))
            if ctx.needs[0]
            else None,
            sum_to_shape((np.where(ctx.better(b, a), dy, 0) + half).astype(dy.dtype), shape_of(b))
            if ctx.needs[1]
            else None,
            None,
        )

    def name(self):
        return "MaximumBackward0" if self.better is np.greater else "MinimumBackward0"


class Lerp(Operation):
    """a + weight (b - a). Only a weight that is a tensor is saved, and only for its own gradient the other two."""

    @staticmethod
    def forward(ctx, a, b, weight):
        difference = _cnn.sub(b, a)
        ctx.shapes, ctx.weight = (a.shape, b.shape, shape_of(weight)), None
        if isinstance(weight, np.ndarray):
            ctx.saved = (weight, a if ctx.needs[2] else None, b if ctx.needs[2] else None)
        else:
            ctx.weight = weight
        return _cnn.add(a, _cnn.mul(difference, weight))

    @staticmethod
    def backward(ctx, dy):
        weight, a, b = ctx.saved or (ctx.weight, None, None)
        of_a, of_b, of_weight = ctx.shapes
        db = _cnn.mul(dy, weight) if ctx.needs[0] or ctx.needs[1] else None
        return (
            sum_to_shape(_cnn.sub(dy, db), of_a) if ctx.needs[0] else None,
            sum_to_shape(db, of_b) if ctx.needs[1] else None,
            sum_to_shape(_cnn.mul(dy, _cnn.sub(b, a)), of_weight) if ctx.needs[2] else None,
        )


@both
def add(input, other, *, alpha=1):
    """input + alpha * other. See torch.add."""
    a, b = prepare("add", input, other)
    return Add.apply(a, *scaled(b, alpha, kind_of(a, b)))


@both
def sub(input, other, *, alpha=1):
    """input - alpha * other. See torch.sub."""
    refuse_bools(input, other)
    a, b = prepare("sub", input, other)
    return Sub.apply(a, *scaled(b, alpha, kind_of(a, b)))


@both
def mul(input, other):
    """input * other. See torch.mul."""
    return Mul.apply(*prepare("mul", input, other))


@both
def div(input, other, *, rounding_mode=None):
    """input / other, always in floating point; rounding_mode 'floor' or 'trunc'. See torch.div."""
    if rounding_mode is None:
        return Div.apply(*prepare("div", input, other, float_result=True))
    if rounding_mode not in _ROUNDED:
        raise ValueError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return RoundedDiv.apply(*_whole(f"div_{rounding_mode}_cpu", input, other), _ROUNDED[rounding_mode])


def _whole(kernel, input, other):
    a, b = prepare("div", input, other)
    kind = kind_of(a, b)
    refuse_types(kernel, kind)
    refuse_zeros(raw(b), kind)
    return a, b


def _truncated(a, b):
    if np.result_type(a, b).kind == "f":
        return np.trunc(np.divide(a, b))
    # the floor is one below where the signs differ and something is left over
    quotient = np.floor_divide(a, b)
    return quotient + ((quotient < 0) & (quotient * b != a))


_ROUNDED = {"floor": np.floor_divide, "trunc": _truncated}


@both
def floor_divide(input, other):
    """The floor of input / other; no gradient, as in torch. See torch.floor_divide."""
    a, b = _whole("div_floor_cpu", input, other)
    y = Tensor._wrap(np.floor_divide(raw(a), raw(b)))
    bfloat16.finish(Operation, (a, b), y)
    return y


@both
def remainder(input, other):
    """input modulo other, with the sign of other. See torch.remainder."""
    a, b = prepare("remainder", input, other)
    refuse_types("remainder_cpu", kind_of(a, b))
    refuse_zeros(raw(b), kind_of(a, b))
    return Remainder.apply(a, b)


@both
def fmod(input, other):
    """The remainder of C's fmod, with the sign of input. See torch.fmod."""
    if not isinstance(input, Tensor):
        raise TypeError(f"fmod(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    a, b = prepare("fmod", input, other)
    refuse_types("fmod_cpu", kind_of(a, b))
    refuse_zeros(raw(b), kind_of(a, b))
    return Fmod.apply(a, b)


@both
def pow(input, exponent):
    """input to the power of exponent. See torch.pow."""
    if not isinstance(exponent, Tensor) and isinstance(input, Tensor):
        if input._a.dtype.kind in "biu" and isinstance(exponent, (int, np.integer)) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    a, b = prepare("pow", input, exponent)
    if kind_of(a, b).kind == "b":
        return _pow_of_bools(a, b)
    return Pow.apply(a, b)


def _pow_of_bools(a, b):
    """With a number for the exponent torch has a shortcut; it has nothing else for bools."""
    if isinstance(b, Tensor):
        refuse_types("pow", np.dtype(np.bool_))
    return Tensor._wrap(np.array(a._a) if b else np.ones_like(a._a))


@both
def maximum(input, other):
    """The larger of each pair; NaN wins. See torch.maximum."""
    check_tensors("maximum", input, other)
    return Select2.apply(*prepare("maximum", input, other), np.maximum)


@both
def minimum(input, other):
    """The smaller of each pair; NaN wins. See torch.minimum."""
    check_tensors("minimum", input, other)
    return Select2.apply(*prepare("minimum", input, other), np.minimum)


@both
def rsub(input, other, *, alpha=1):
    """other - alpha * input. See torch.rsub."""
    if not isinstance(input, Tensor):
        raise TypeError(f"rsub(): argument 'input' (position 1) must be Tensor, not {kind_name(input)}")
    return sub(other, input, alpha=alpha)


@both
def lerp(input, end, weight):
    """input + weight * (end - input). See torch.lerp."""
    return Lerp.apply(*_lerp_operands(input, end, weight))


def _lerp_operands(input, end, weight):
    """The arguments of lerp in one type."""
    check_tensors("lerp", input, end)
    kind = input._a.dtype
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x._a.dtype != kind and (name == "end" or x._a.ndim):
            raise RuntimeError(f"expected dtype {input.dtype} for `{name}` but got dtype {x.dtype}")
    if isinstance(weight, Tensor):
        kind = promote(input, weight)
        refuse_types("lerp_kernel_tensor", kind, "biu")
        input, end, weight = (cast(x, kind) for x in (input, end, weight))
    refuse_types("lerp_kernel_scalar", kind, "biu")
    broadcast_shape("lerp", *[x._a.shape for x in (input, end, weight) if isinstance(x, Tensor)])
    return input, end, weight


@both
def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2. See torch.addcmul."""
    input, tensor1, tensor2, value = _three("addcmul", input, tensor1, tensor2, value)
    refuse_types("addcmul_cpu_out", input._a.dtype)
    return input + value * (tensor1 * tensor2)


@both
def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2. See torch.addcdiv."""
    input, tensor1, tensor2, value = _three("addcdiv", input, tensor1, tensor2, value)
    return input + value * (tensor1 / tensor2)


def _three(name, input, tensor1, tensor2, value):
    """The arguments of addcmul and addcdiv in one type."""
    for position, x in enumerate((tensor1, tensor2), 1):
        if not isinstance(x, Tensor):
            place = f"argument 'tensor{position}' (position {position + 1})"
            raise TypeError(f"{name}(): {place} must be Tensor, not {kind_name(x)}")
    if name.startswith("addcdiv") and tensor1._a.dtype.kind != "f" and tensor2._a.dtype.kind != "f":
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported. Use input + value * trunc(tensor1 / tensor2), or "
            "input + value * tensor1 / tensor2 for the quotient in floating point."
        )
    kind = common_type(input, tensor1, tensor2)
    value = as_operand(value, kind.numpy)
    return *(cast(x, kind) for x in (input, tensor1, tensor2)), value


alias("multiply", mul)
alias("subtract", sub)
alias("divide", div)
alias("true_divide", div)


# ---- in place ------------------------------------------------------------------------------------------------------


@method("mul_", "multiply_")
def mul_(self, other):
    """self *= other. See torch.Tensor.mul_."""
    return Mul.apply_(self, _operand("mul_", self, other))


def _operand(name, target, other):
    """The other operand of an in-place operation, in target's type where it may be cast."""
    if isinstance(other, np.ndarray):
        other = Tensor._wrap(other)
    kind = target._a.dtype
    if isinstance(other, Tensor):
        if other._a.shape != target._a.shape:
            check_broadcast(name, target._a.shape, other._a.shape)
        if other._a.dtype is kind:
            return other
        refuse_cast(promote(target, other), kind)
        return cast(other, kind)
    if not isinstance(other, (int, float, np.number, np.bool_)):
        raise TypeError(f"{name}(): expected a Tensor or a number, got {kind_name(other)}")
    if kind.kind != "f":
        refuse_cast(promote(target, other), kind)
    return as_operand(other, kind)


def _store(target, result):
    """What an in-place operation computed beside its target, put there."""
    refuse_cast(result._a.dtype, target._a.dtype)
    return target.copy_(result)


@method()
def add_(self, other, *, alpha=1):
    """self += alpha * other. See torch.Tensor.add_."""
    return Add.apply_(self, *scaled(_operand("add_", self, other), alpha, self._a.dtype))


@method()
def sub_(self, other, *, alpha=1):
    """self -= alpha * other. See torch.Tensor.sub_."""
    refuse_bools(self, other)
    other, alpha = scaled(_operand("sub_", self, other), alpha, self._a.dtype)
    return Add.apply_(self, *scaled(other, -alpha, self._a.dtype))


@method()
def pow_(self, exponent):
    """self **= exponent. See torch.Tensor.pow_."""
    if self._a.dtype.kind == "f":
        return Pow.apply_(self, _operand("pow_", self, exponent))
    return _store(self, pow(self, exponent))


@method()
def remainder_(self, other):
    """self %= other. See torch.Tensor.remainder_."""
    other = _operand("remainder_", self, other)
    refuse_types("remainder_cpu", self._a.dtype)
    refuse_zeros(raw(other), self._a.dtype)
    return Remainder.apply_(self, other)


@method("div_", "divide_")
def div_(self, other, *, rounding_mode=None):
    """self /= other. See torch.Tensor.div_."""
    if rounding_mode is not None:
        return _store(self, div(self, other, rounding_mode=rounding_mode))
    refuse_cast(kind_for(self._a.dtype, True), self._a.dtype)
    return Div.apply_(self, _operand("div_", self, other))


@method()
def floor_divide_(self, other):
    """self //= other. See torch.Tensor.floor_divide_."""
    return _store(self, floor_divide(self, other))


@method()
def fmod_(self, other):
    """fmod in place. See torch.Tensor.fmod_."""
    other = _operand("fmod_", self, other)
    refuse_types("fmod_cpu", self._a.dtype)
    refuse_zeros(raw(other), self._a.dtype)
    return Fmod.apply_(self, other)


@method()
def lerp_(self, end, weight):
    """self += weight * (end - self). See torch.Tensor.lerp_."""
    wide, end, weight = _lerp_operands(self, end, weight)
    refuse_cast(wide._a.dtype, self._a.dtype)
    return Lerp.apply_(
        self, cast(end, self._a.dtype), cast(weight, self._a.dtype) if isinstance(weight, Tensor) else weight
    )


@method()
def addcmul_(self, tensor1, tensor2, *, value=1):
    """self += value * tensor1 * tensor2. See torch.Tensor.addcmul_."""
    wide, tensor1, tensor2, value = _three("addcmul_", self, tensor1, tensor2, value)
    refuse_types("addcmul_cpu_out", wide._a.dtype)
    refuse_cast(wide._a.dtype, self._a.dtype)
    return self.add_(tensor1 * tensor2, alpha=value)


@method()
def addcdiv_(self, tensor1, tensor2, *, value=1):
    """self += value * tensor1 / tensor2. See torch.Tensor.addcdiv_."""
    wide, tensor1, tensor2, value = _three("addcdiv_", self, tensor1, tensor2, value)
    refuse_cast(wide._a.dtype, self._a.dtype)
    return self.add_(tensor1 / tensor2, alpha=value)


# ---- operators -----------------------------------------------------------------------------------------------------


def _operator(f, swap=False):
    def apply(self, other):
        if not isinstance(other, (Tensor, int, float, np.ndarray, np.number, np.bool_)):
            if is_torchs(other):  # Python would say that Tensor and Tensor do not go together, and that they differ
                raise TypeError(f"{f.__name__}(): argument 'other' must be Tensor, not {kind_name(other)}")
            return NotImplemented
        return f(other, self) if swap else f(self, other)

    return quiet(apply)


def _slot(f, swap):
    """f(a, b) for two operands, one of them a Tensor; with `swap` the Tensor comes first."""
    apply, reflected = _operator(f), _operator(f, swap=not swap)
    return lambda a, b: apply(a, b) if isinstance(a, Tensor) else reflected(b, a)


# + - * of plain operands are computed and recorded in C (csrc/binding/operators.c).
_cnn.set_operator("+", Add, _slot(add, swap=True))
_cnn.set_operator("-", Sub, _slot(sub, swap=False))
_cnn.set_operator("*", Mul, _slot(mul, swap=True))
Tensor.__truediv__ = _operator(div)
Tensor.__rtruediv__ = _operator(div, swap=True)
Tensor.__floordiv__ = _operator(floor_divide)
Tensor.__rfloordiv__ = _operator(floor_divide, swap=True)
Tensor.__mod__ = _operator(remainder)
Tensor.__rmod__ = _operator(remainder, swap=True)
Tensor.__pow__ = _operator(pow)
Tensor.__rpow__ = _operator(pow, swap=True)
Tensor.__iadd__ = lambda self, other: self.add_(other)
Tensor.__isub__ = lambda self, other: self.sub_(other)
Tensor.__imul__ = lambda self, other: self.mul_(other)
Tensor.__itruediv__ = lambda self, other: self.div_(other)
Tensor.__ifloordiv__ = lambda self, other: self.floor_divide_(other)
Tensor.__imod__ = lambda self, other: self.remainder_(other)
Tensor.__ipow__ = lambda self, other: self.pow_(other)
Tensor.__pos__ = lambda self: self
