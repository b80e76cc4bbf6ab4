"""Data types, devices and sizes, named and printed as in torch."""

import builtins

import numpy as np

__all__ = [
    "Size",
    "bfloat16",
    "bool",
    "device",
    "double",
    "dtype",
    "finfo",
    "float",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "half",
    "iinfo",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "long",
    "memory_format",
    "channels_last",
    "contiguous_format",
    "preserve_format",
    "set_default_dtype",
    "short",
    "strided",
    "layout",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
]


class dtype:
    """A data type: `cnn.float32`, `cnn.int64`, ... Printed as torch prints it."""

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy")
    is_complex = False
    is_signed = property(lambda self: self.numpy.kind not in "ub")

    def __init__(self, name, numpy_type):
        self.name = name
        self.numpy = np.dtype(numpy_type)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = self.numpy.kind == "f"

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name  # pickled by its name in this module

    def to_complex(self):
        raise NotImplementedError("cnn has no complex types")


float16 = half = dtype("float16", np.float16)
float32 = float = dtype("float32", np.float32)
float64 = double = dtype("float64", np.float64)
int8 = dtype("int8", np.int8)
int16 = short = dtype("int16", np.int16)
int32 = int = dtype("int32", np.int32)
int64 = long = dtype("int64", np.int64)
uint8 = dtype("uint8", np.uint8)
# As in torch, these three are for storing, converting and little else: promote_types refuses most of their company.
uint16 = dtype("uint16", np.uint16)
uint32 = dtype("uint32", np.uint32)
uint64 = dtype("uint64", np.uint64)
bool = dtype("bool", np.bool_)
# NumPy has no bfloat16: its values lie in float32 arrays (cnn/autograd/bfloat16.py).
bfloat16 = dtype("bfloat16", np.float32)
bfloat16.itemsize = 2

_BY_NUMPY = {
    d.numpy: d for d in (float64, float32, float16, int64, int32, int16, int8, uint64, uint32, uint16, uint8, bool)
}
_default = float32


def of_numpy(numpy_type):
    """The dtype of a NumPy type; TypeError names what cnn can hold. `Tensor._wrap` asks here before it refuses."""
    found = _BY_NUMPY.get(numpy_type)
    if found is None:
        found = _BY_NUMPY.get(np.dtype(numpy_type).newbyteorder("="))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {np.dtype(numpy_type)}. The only supported types are: "
            + ", ".join(d.name for d in _BY_NUMPY.values())
        )
    return found


def get_default_dtype():
    """The type of new floating-point tensors (float32 unless changed)."""
    return _default


def set_default_dtype(d):
    """Set the type of new floating-point tensors: float32 or float64."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default = d


class device:
    """`device('cpu')`, `device('cuda', 0)`, `device('cuda:0')`: a name; the work always runs on the CPU."""

    __slots__ = ("index", "type")
    _KINDS = ("cpu", "cuda", "mps", "meta", "xpu")

    def __init__(self, type="cpu", index=None):
        if isinstance(type, device):
            type, index = type.type, type.index
        elif not isinstance(type, str):
            if not hasattr(type, "__index__"):
                raise TypeError(
                    f"device(): argument 'type' (position 1) must be str or int, not {type.__class__.__name__}"
                )
            type, index = "cuda", builtins.int(type)
        elif ":" in type:
            type, _, number = type.partition(":")
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}:{number}'")
            index = builtins.int(number)
        if type not in self._KINDS:
            raise RuntimeError(
                f"Expected one of {', '.join(self._KINDS)} device type at start of device string: {type}"
            )
        self.type, self.index = type, index

    def __repr__(self):
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return device, (self.type, self.index)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False


cpu = device("cpu")


class Size(tuple):
    """A shape, printed as torch prints it: `torch.Size([2, 3])`."""

    __slots__ = ()

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def numel(self):
        """The number of elements of a tensor of this shape."""
        n = 1
        for size in self:
            n *= size
        return n

    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))


class memory_format:
    """`contiguous_format`, `channels_last`, `preserve_format`: taken wherever torch takes them. A tensor keeps the
    order that it was asked for; layers choose their own for what they compute."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")
preserve_format = memory_format("preserve_format")


class layout:
    """`torch.strided`: the only layout."""

    def __repr__(self):
        return "torch.strided"


strided = layout()


def _check_dtype(name, type):
    if not isinstance(type, dtype):
        raise TypeError(f"{name}(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")


class _Info:
    def __init__(self, dtype, info):
        self.dtype = dtype.name
        self.bits = info.bits
        self.min, self.max = np.asarray(info.min).item(), np.asarray(info.max).item()


class finfo(_Info):
    """Limits of a floating-point type: `bits`, `eps`, `max`, `min`, `tiny`, `resolution`."""

    def __init__(self, type=None):
        type = _default if type is None else type
        _check_dtype("finfo", type)
        info = np.finfo(type.numpy)
        super().__init__(type, info)
        if type is bfloat16:  # float32 with 16 bits less of the fraction
            self.bits, self.max, self.min = 16, 3.3895313892515355e38, -3.3895313892515355e38
            self.eps, self.resolution = 2.0**-7, 0.01
            self.tiny = self.smallest_normal = 2.0**-126
            return
        self.eps = info.eps.item()
        self.tiny = self.smallest_normal = info.tiny.item()
        self.resolution = info.resolution.item()


class iinfo(_Info):
    """Limits of an integer type: `bits`, `max`, `min`."""

    def __init__(self, type):
        _check_dtype("iinfo", type)
        super().__init__(type, np.iinfo(type.numpy))
