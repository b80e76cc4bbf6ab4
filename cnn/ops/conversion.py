"""Copies, the same values in another type, memory order or device, and questions about types."""

import numpy as np

from cnn import _cnn, types
from cnn.autograd import bfloat16
from cnn.autograd.function import Operation, check_overlap
from cnn.errors import DTypeError, ShapeError, kind_name
from cnn.layout import copied
from cnn.tensor import Tensor

from ._register import both, function, method
from .broadcasting import broadcast_shape, sum_to_shape
from .promotion import common_type, may_cast, wider


class Clone(Operation):
    @staticmethod
    def forward(ctx, x):
        return copied(x)

    @staticmethod
    def backward(ctx, dy):
        return dy


def in_row_order(x):
    """The array in row order: itself where it lies so already. What lies channels-last is turned by the kernels."""
    return _cnn.copy_order(x, False) if x.dtype.char in "fd" else np.ascontiguousarray(x)


def in_format(x, memory_format):
    """The array in a memory order of torch's: itself where it lies so already, or where the order may stay."""
    if memory_format in (None, types.preserve_format):
        return x
    if memory_format is types.contiguous_format:
        return in_row_order(x)
    if memory_format is not types.channels_last:
        raise TypeError(f"memory_format must be a torch.memory_format, got {memory_format!r:.80}")
    if x.ndim != 4:
        raise RuntimeError(f"required rank 4 tensor to use channels_last format, got shape {list(x.shape)}")
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class Contiguous(Operation):
    @staticmethod
    def forward(ctx, x, memory_format):
        y = in_format(x, memory_format)
        return y.copy(order="K") if _cnn.owner_of(y) is _cnn.owner_of(x) else y

    @staticmethod
    def backward(ctx, dy):
        return dy, None

    def name(self):
        return "CloneBackward0"


class ToCopy(Operation):
    @staticmethod
    def forward(ctx, x, kind):
        ctx.kind = x.dtype
        return x.astype(kind)

    @staticmethod
    def backward(ctx, dy):
        return dy.astype(ctx.kind), None


class CopyInto(Operation):
    may_overlap = True  # with itself

    @staticmethod
    def forward_(ctx, x, source):
        if source is not x:
            check_overlap(x)
        ctx.shape, ctx.kind = source.shape, source.dtype
        if broadcast_shape("copy_", x.shape, source.shape) != x.shape:
            raise ShapeError(
                f"The size of tensor a {list(x.shape)} must match the size of tensor b {list(source.shape)}"
            )
        np.copyto(x, source, casting="unsafe")
        return x

    @staticmethod
    def backward(ctx, dy):
        return np.zeros_like(dy), sum_to_shape(dy, ctx.shape).astype(ctx.kind, copy=False)

    def name(self):
        return "CopyBackwards"


@both
def clone(input, *, memory_format=None):
    """A copy with the same history. See torch.clone."""
    return _arranged(Clone.apply(input), memory_format)


def _arranged(x, memory_format):
    return x if memory_format in (None, types.preserve_format) else contiguous(x, memory_format)


@method()
def contiguous(self, memory_format=types.contiguous_format):
    """The tensor in row order, or in another: itself where it lies so already. See torch.Tensor.contiguous."""
    return self if self.is_contiguous(memory_format) else Contiguous.apply(self, memory_format)


_CUDA_NAMES = ("cuda", "mps", "xpu")


def to_type(x, kind):
    """`kind`: a NumPy type or one of ours."""
    name = kind if isinstance(kind, types.dtype) else None
    array_type = kind.numpy if name is not None else np.dtype(kind)
    if x._a.dtype == array_type and name in (None, x.dtype):
        return x
    y = ToCopy.apply(x, array_type)
    if name is types.bfloat16:
        return bfloat16.settle(y)
    y._dtype = None
    return y


@method()
def to(self, *args, dtype=None, device=None, copy=False, non_blocking=False, memory_format=None, other=None):
    """The tensor in another type; devices are accepted, and the work stays on the CPU. See torch.Tensor.to."""
    for a in args if other is None else (*args, other):
        if isinstance(a, types.dtype) or isinstance(a, np.dtype):
            dtype = a
        elif isinstance(a, (str, types.device)):
            device = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif isinstance(a, types.memory_format):
            memory_format = a
        elif isinstance(a, bool) or a is None or isinstance(a, int):
            device = a if isinstance(a, int) and not isinstance(a, bool) else device
        else:
            raise TypeError(f"to() received an invalid argument: {a!r}")
    if device is not None:
        accept_device(device)
    result = self if dtype is None else to_type(self, dtype)
    result = _arranged(result, memory_format)
    return result.clone() if copy and result is self else result


def accept_device(device):
    """Any device that torch knows is fine; one that is not the CPU gives one warning."""
    kind = types.device(device) if not isinstance(device, types.device) else device
    if kind.type in _CUDA_NAMES:
        from cnn.cuda import warn_once

        warn_once()


@method()
def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor itself: there is no GPU, and one warning says so."""
    accept_device("cuda" if device is None else device)
    return _arranged(self, memory_format)


@method()
def cpu(self, memory_format=None):
    """The tensor itself."""
    return _arranged(self, memory_format)


@method()
def pin_memory(self, device=None):
    """The tensor itself."""
    return self


def _caster(kind):
    def cast(self, memory_format=None):
        return _arranged(to_type(self, kind), memory_format)

    cast.__doc__ = f"The tensor as {kind!r}. See torch.Tensor.to."
    return cast


for _name, _kind in {
    "float": types.float32, "double": types.float64, "half": types.float16, "bfloat16": types.bfloat16,
    "long": types.int64, "int": types.int32, "short": types.int16, "char": types.int8, "byte": types.uint8,
    "bool": types.bool,
}.items():  # fmt: skip
    method(_name)(_caster(_kind))

TYPE_NAMES = {
    "FloatTensor": types.float32, "DoubleTensor": types.float64, "HalfTensor": types.float16,
    "LongTensor": types.int64, "IntTensor": types.int32, "ShortTensor": types.int16, "CharTensor": types.int8,
    "ByteTensor": types.uint8, "BoolTensor": types.bool, "BFloat16Tensor": types.bfloat16,
}  # fmt: skip


@method()
def type(self, dtype=None, non_blocking=False):
    """Without argument the name of the type; with one, the tensor as that type. See torch.Tensor.type."""
    if dtype is None:
        return "torch." + next(name for name, kind in TYPE_NAMES.items() if kind is self.dtype)
    if isinstance(dtype, str):
        name = dtype.split(".")[-1]
        if name not in TYPE_NAMES:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = TYPE_NAMES[name]
    dtype = getattr(dtype, "of_type", dtype)
    if not isinstance(dtype, types.dtype):
        raise TypeError(f"type(): dtype must be a type, got {dtype!r}")
    return to_type(self, dtype)


@method()
def type_as(self, other):
    """The tensor in the type of another. See torch.Tensor.type_as."""
    return to_type(self, other.dtype)


@method()
def copy_(self, other, non_blocking=False):
    """Copy the values of other into this tensor. See torch.Tensor.copy_."""
    if isinstance(other, (bool, int, float, np.number, np.bool_)):
        other = Tensor._wrap(np.asarray(other))
    if not isinstance(other, Tensor):
        raise DTypeError(f"copy_(): argument 'other' must be Tensor, not {kind_name(other)}")
    return CopyInto.apply_(self, other)


@function
def promote_types(type1, type2):
    """The type of a result computed from both. See torch.promote_types."""
    kind = types.of_numpy(wider(type1.numpy, type2.numpy))
    low = [t is types.bfloat16 or not t.is_floating_point for t in (type1, type2)]
    return types.bfloat16 if types.bfloat16 in (type1, type2) and False not in low else kind


@function
def result_type(tensor=None, other=None, *, scalar=None, scalar1=None, scalar2=None):
    """The type that an operation on both operands gives: tensors or numbers. See torch.result_type."""
    given = [x for x in (tensor, other, scalar, scalar1, scalar2) if x is not None]
    if len(given) != 2:
        raise TypeError(f"result_type(): expected two tensors or numbers, got {len(given)}")
    return common_type(*given)


@function
def can_cast(from_, to):
    """True if a value of type `from_` may be cast to `to` under torch's rules."""
    return may_cast(from_.numpy, to.numpy)
