"""New tensors."""

import builtins
import functools
import math
import operator

import numpy as np

from cnn import _cnn, aliases, types
from cnn.autograd import bfloat16
from cnn.errors import kind_name
from cnn.layout import new_like
from cnn.tensor import Tensor, _plain

from ._quiet import quiet
from ._register import alias, function, method
from .conversion import accept_device, in_format, to_type
from .promotion import as_value, refuse_types, wider
from .shape import shape_argument


def _finish(array, dtype, device, requires_grad, layout=None, memory_format=None):
    """The new tensor around an array, with what else its maker was asked for."""
    if layout is not None and layout is not types.strided:
        raise NotImplementedError(f"cnn has no sparse tensors: layout must be torch.strided, got {layout!r}")
    t = Tensor._wrap(array if memory_format is None else in_format(array, memory_format))
    if dtype is types.bfloat16:
        bfloat16.settle(t)
    if device is not None:
        accept_device(device)
    if requires_grad:
        t.requires_grad_(True)
    return t


def _numpy_type(dtype, default=None):
    if dtype is None:
        return (default or types.get_default_dtype()).numpy
    return dtype.numpy if isinstance(dtype, types.dtype) else np.dtype(dtype)


def _kind_of_data(data):
    """The type that torch.tensor gives plain Python data: default float for floats, int64 for integers."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data.dtype
    if isinstance(data, Tensor):
        return data._a.dtype
    kinds = set()
    _collect_kinds(data, kinds)
    if not kinds:
        return types.get_default_dtype().numpy
    return functools.reduce(wider, (_OF_PYTHON[k]() if k in _OF_PYTHON else k for k in kinds))


_OF_PYTHON = {
    builtins.bool: lambda: np.dtype(np.bool_),
    builtins.int: lambda: np.dtype(np.int64),
    builtins.float: lambda: types.get_default_dtype().numpy,
}


def _collect_kinds(data, kinds):
    if isinstance(data, (list, tuple, range)):
        for x in data:
            _collect_kinds(x, kinds)
    elif isinstance(data, Tensor):
        kinds.add(data._a.dtype)
    elif isinstance(data, (np.ndarray, np.generic)):
        kinds.add(data.dtype)
    elif isinstance(data, (builtins.bool, builtins.int, builtins.float)):
        kinds.add(builtins.type(data))
    elif hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        kinds.add(np.asarray(data).dtype)
    elif hasattr(data, "__len__") and not isinstance(data, (str, bytes, dict)):
        for x in data:
            _collect_kinds(x, kinds)
    elif hasattr(data, "__index__"):
        kinds.add(builtins.int)
    elif hasattr(data, "__float__"):
        kinds.add(builtins.float)
    elif isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    else:
        raise TypeError(f"tensor(): cannot make a tensor of {builtins.type(data).__name__}")


@quiet
def _converted(data, dtype):
    """A new array of anything that holds numbers. The values of arrays and tensors wrap round where they do not fit in
    dtype; numbers and lists of them must fit."""
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    try:
        kind = _numpy_type(dtype) if dtype is not None else _kind_of_data(data)
        types.of_numpy(kind)
        source = np.asarray(_plain(data))
    except RecursionError:
        raise ValueError("tensor(): too many dimensions: a list holds itself, or lists nest too deep") from None
    except ValueError as error:
        raise ValueError(f"tensor(): the nested lists must form a rectangle of numbers: {error}") from None
    if source.dtype == object and not _are_numbers(source):
        raise ValueError("tensor(): the nested lists must form a rectangle of numbers")
    wraps = isinstance(data, (np.ndarray, Tensor))
    if kind.kind not in "iu" or wraps or source.dtype == kind:
        return source.astype(kind, copy=True, order="C")
    for extreme in (source.min(), source.max()) if source.size else ():
        if dtype is None and not -(2**63) <= extreme < 2**63:
            raise ValueError("tensor(): Overflow when unpacking long long")
        as_value(extreme, kind)
    if source.dtype == object:  # of integers beyond 64 bits beside others, or beyond 63
        return np.array([as_value(n, kind) for n in source.flat], kind).reshape(source.shape)
    return source.astype(kind, copy=True, order="C")


def _are_numbers(array):
    return builtins.all(isinstance(x, (builtins.bool, builtins.int, builtins.float, np.number)) for x in array.flat)


@function
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new tensor with a copy of `data`: numbers, nested lists, arrays. See torch.tensor."""
    array = None if dtype is not None else _cnn.numbers(data, types.get_default_dtype().numpy)
    if array is None:
        array = _converted(data, dtype)
    elif device is None and not requires_grad:
        return Tensor._wrap(array)
    return _finish(array, dtype, device, requires_grad)


@function
def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor, sharing memory where possible. See torch.as_tensor."""
    if isinstance(data, Tensor):
        return data if dtype is None else to_type(data, dtype)
    if isinstance(data, np.ndarray):
        t = from_numpy(data)
        return t if dtype is None else to_type(t, dtype)
    return tensor(data, dtype=dtype, device=device)


@function
def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """`obj` as a tensor, sharing memory where possible; copy=True never shares, copy=False must. See torch.asarray."""
    shares = isinstance(obj, (Tensor, np.ndarray)) and dtype in (None, as_tensor(obj).dtype)
    if copy is False and not shares:
        raise ValueError(f"can't alias arbitrary sequence or another type: asarray({obj!r:.40}, copy=False)")
    t = as_tensor(obj, dtype, device)
    t = t.detach().clone() if copy and shares else t
    return t.detach().requires_grad_(True) if requires_grad else t


@function
def from_numpy(ndarray):
    """A tensor that shares memory with a NumPy array. See torch.from_numpy."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {kind_name(ndarray)})")
    t = Tensor._wrap(ndarray)
    t._a = t._a.view()  # the array itself stays the caller's own
    aliases.expose(t._a)
    return t


@function
def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor that shares memory with any DLPack object. See torch.from_dlpack."""
    if device is not None:
        accept_device(device)
    t = from_numpy(np.from_dlpack(ext_tensor))
    return t.clone() if copy else t


@function
def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A tensor that shares memory with a buffer. See torch.frombuffer."""
    if dtype is types.bfloat16:
        raise NotImplementedError("frombuffer(): torch.bfloat16 is not supported: its values lie in float32 here")
    if len(buffer) == 0 or count == 0:
        raise ValueError(f"both buffer length ({len(buffer)}) and count ({count}) must not be 0")
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    aliases.expose(array)
    return _finish(array, dtype, None, requires_grad)


def _filled(make, doc, name):
    def f(*size, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None):
        if not size:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        array = make(_checked_size(name, size), _numpy_type(dtype))
        return _finish(array, dtype, device, requires_grad, layout, memory_format)

    f.__name__ = name
    f.__doc__ = f"{doc} See torch.{name}."
    return function(f)


def _checked_size(name, size):
    shape = shape_argument(name, size)
    if shape and min(shape) < 0:
        negative = next(n for n in shape if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {negative}: {list(shape)}")
    if math.prod(shape) > 2**60:
        raise MemoryError(f"{name}(): a tensor of shape {list(shape)} has too many elements")
    return shape


zeros = _filled(np.zeros, "A tensor of zeros.", "zeros")
ones = _filled(np.ones, "A tensor of ones.", "ones")
empty = _filled(_cnn.empty, "A tensor with undefined contents.", "empty")


@function
def full(size, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A tensor filled with one value, in the value's type unless dtype is given. See torch.full."""
    fill_value = _number("full", fill_value)
    kind = _numpy_type(dtype) if dtype is not None else _kind_of_number(fill_value)
    if isinstance(size, builtins.int):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not int: full(({size},), ...)")
    size = tuple(size)
    array = np.full(_checked_size("full", size), as_value(fill_value, kind), kind)
    return _finish(array, dtype, device, requires_grad, layout)


def _number(name, fill_value):
    if isinstance(fill_value, Tensor) and fill_value._a.ndim == 0:
        return fill_value.item()
    if isinstance(fill_value, (builtins.complex, np.complexfloating)):
        raise NotImplementedError(f"{name}(): cnn has no complex types")
    if not isinstance(fill_value, (builtins.bool, builtins.int, builtins.float, np.number, np.bool_)):
        got = builtins.type(fill_value).__name__
        raise TypeError(f"{name}(): argument 'fill_value' (position 2) must be Number, not {got}")
    return fill_value


def _kind_of_number(number):
    """The type of a tensor made of one number: NumPy's count as Python's, and its bool as a float, as in torch."""
    if isinstance(number, builtins.bool):
        return np.dtype(np.bool_)
    if isinstance(number, (builtins.int, np.integer)):
        return np.dtype(np.int64)
    return types.get_default_dtype().numpy


def _like(make, name):
    def f(input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None):
        array = new_like(make, input._a, _numpy_type(dtype, input.dtype))
        return _finish(array, dtype or input.dtype, device, requires_grad, layout, memory_format)

    f.__name__ = name
    f.__doc__ = f"`{name[:-5]}` in the shape and type of input. See torch.{name}."
    return function(f)


zeros_like = _like(np.zeros, "zeros_like")
ones_like = _like(np.ones, "ones_like")
empty_like = _like(_cnn.empty, "empty_like")


@function
def full_like(input, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
              memory_format=None):  # fmt: skip
    """A tensor filled with one value, in the shape and type of input. See torch.full_like."""
    kind = _numpy_type(dtype, input.dtype)
    array = new_like(np.full, input._a, as_value(_number("full_like", fill_value), kind), kind)
    return _finish(array, dtype or input.dtype, device, requires_grad, layout, memory_format)


@function
def arange(start=None, end=None, step=1, *, dtype=None, layout=None, device=None, pin_memory=False,
           requires_grad=False):  # fmt: skip
    """The numbers from start up to, and without, end. See torch.arange."""
    if start is None and end is None:
        raise TypeError('arange() missing 1 required positional argument: "end"')
    if end is None or start is None:
        start, end = 0, start if end is None else end
    numbers = [x.item() if isinstance(x, Tensor) else x for x in (start, end, step)]
    for x in numbers:
        if not isinstance(x, (builtins.int, builtins.float, np.number)):
            raise TypeError(f"arange(): start, end and step must be numbers, got {builtins.type(x).__name__}")
        if not math.isfinite(x):
            raise RuntimeError(f"unsupported range: {numbers[0]} -> {numbers[1]}")
    start, end, step = numbers
    if dtype is None:
        floats = builtins.any(isinstance(x, (builtins.float, np.floating)) for x in numbers)
        kind = types.get_default_dtype().numpy if floats else np.dtype(np.int64)
    else:
        kind = _numpy_type(dtype)
    refuse_types("arange_cpu", kind)
    if kind == np.int64:  # torch counts in this type, and for the others in float64
        start, end, step = (as_value(x, kind) for x in numbers)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = -((start - end) // step) if kind == np.int64 else math.ceil((end - start) / step)
    if kind.kind == "f":
        array = (start + step * np.arange(count, dtype=np.float64)).astype(kind)
    else:
        array = (int(start) + int(step) * np.arange(count, dtype=np.int64)).astype(kind)
    return _finish(array, dtype, device, requires_grad, layout)


def _range(start=0, end=None, step=1, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """The numbers from start up to end. See torch.range."""
    if end is None:
        raise TypeError('range() missing 1 required positional argument: "end"')
    kind = dtype or types.get_default_dtype()
    return arange(start, end + step, step, dtype=kind, layout=layout, device=device, requires_grad=requires_grad)


alias("range", _range, tensor=False)


def _ends(name, start, end, steps):
    """The numbers of linspace and logspace, which may come as 0-d tensors."""
    for argument, x in (("start", start), ("end", end)):
        if isinstance(x, Tensor) and x._a.ndim:
            raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got {argument} with "
                               f"{x._a.ndim} dimension(s).")  # fmt: skip
        if not isinstance(x, (Tensor, builtins.int, builtins.float, np.number)):
            raise TypeError(f"{name}(): argument '{argument}' must be a number, not {builtins.type(x).__name__}")
    if isinstance(steps, (builtins.float, str)) or not hasattr(steps, "__index__"):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {builtins.type(steps).__name__}")
    if steps < 0:
        raise RuntimeError(f"{name}: number of steps must be non-negative, got {steps}")
    return *[x.item() if isinstance(x, Tensor) else x for x in (start, end)], operator.index(steps)


@function
def linspace(start, end, steps, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """`steps` evenly spaced numbers from start to end. See torch.linspace."""
    start, end, steps = _ends("linspace", start, end, steps)
    kind = _numpy_type(dtype)
    refuse_types("linspace_cpu", kind)
    return _finish(_spaced(start, end, steps, kind), dtype, device, requires_grad, layout)


def _spaced(start, end, steps, kind, result=None):
    """As torch does: from both ends to the middle, in the result's precision; integers from whole ends, in double
    precision, multiplied and added without a rounding in between."""
    start, end = (kind.type(as_value(x, kind)) for x in (start, end))
    if steps == 1:
        return np.full(1, start, kind)
    exact = kind if kind.kind == "f" else np.dtype(np.float64)
    start, end = exact.type(start), exact.type(end)
    step = (end - start) / exact.type(builtins.max(steps - 1, 1))
    i = np.arange(steps).astype(exact)
    if kind.kind != "f":
        start, end, step, i = (np.asarray(x, np.longdouble) for x in (start, end, step, i))
    array = np.where(i < steps // 2, start + step * i, end - step * i[::-1])
    return array.astype(exact).astype(kind if result is None else result)


@function
def logspace(start, end, steps, base=10.0, *, dtype=None, layout=None, device=None, pin_memory=False,
             requires_grad=False):  # fmt: skip
    """base ** linspace(start, end, steps). See torch.logspace."""
    start, end, steps = _ends("logspace", start, end, steps)
    kind = _numpy_type(dtype)
    refuse_types("logspace_cpu", kind)
    powers = [start] if steps == 1 else _spaced(start, end, steps, kind, np.float64)
    array = np.power(builtins.float(base), np.asarray(powers, np.float64)).astype(kind)
    return _finish(array, dtype, device, requires_grad, layout)


@function
def eye(n, m=None, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """Ones on the diagonal. See torch.eye."""
    for name, size in (("n", n), ("m", m)):
        if size is not None and size < 0:
            raise RuntimeError(f"eye: {name} must be greater or equal to 0, got {size}")
    return _finish(np.eye(n, m, dtype=_numpy_type(dtype)), dtype, device, requires_grad, layout)


@function
def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A 0-d tensor in the default type. See torch.scalar_tensor."""
    return full((), s, dtype=dtype or types.get_default_dtype(), layout=layout, device=device,
                requires_grad=requires_grad)  # fmt: skip


@function
def complex(real, imag):
    """Complex tensors are not supported."""
    raise NotImplementedError(f"cnn has no complex types: complex({real!r:.40}, {imag!r:.40})")


# ---- methods that make a new tensor of the same type ---------------------------------------------------------------


@method()
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """tensor(data) in this tensor's type. See torch.Tensor.new_tensor."""
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


@method()
def new_full(self, size, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """full(size, fill_value) in this tensor's type. See torch.Tensor.new_full."""
    return full(size, fill_value, dtype=dtype or self.dtype, layout=layout, device=device, requires_grad=requires_grad)


def _new(make):
    def f(self, *size, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
        return make(*size, dtype=dtype or self.dtype, layout=layout, device=device, requires_grad=requires_grad)

    f.__doc__ = f"{make.__name__}(size) in this tensor's type."
    method(f"new_{make.__name__}")(f)


for _make in (zeros, ones, empty):
    _new(_make)


@function
def is_floating_point(input):
    """True for float32, float64, float16. See torch.is_floating_point."""
    return input.is_floating_point()


@function
def numel(input):
    """The number of elements. See torch.numel."""
    return input.numel()
