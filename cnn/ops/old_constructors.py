"""The constructors of old scripts: `FloatTensor(...)`, `x.new(...)` and `Tensor(...)` itself.

They take a shape, as numbers or as a Size, or data, as a sequence, array or tensor. `FloatTensor(x.size())` is
uninitialised and of that shape, `FloatTensor([2, 3])` holds two values: the type Size alone tells them apart. The names
are also good for isinstance.
"""

import numpy as np

from cnn import _cnn, types
from cnn.errors import DTypeError
from cnn.tensor import Tensor

from ._register import FUNCTIONS
from .conversion import TYPE_NAMES, accept_device
from .creation import _checked_size, tensor

NOTHING = object()


def constructed(name, dtype, args, size=None, data=NOTHING, device=None, **unknown):
    """A new tensor of `dtype`, or the tensor that was given, as torch's legacy constructors make it.

    Raises:
        TypeError: arguments that are neither one shape nor one sequence. The text begins with `name`.
        DTypeError: a tensor of another type.
    """
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(unknown))}'")
    if device is not None:
        accept_device(device)
    if (size is not None) + (data is not NOTHING) + bool(args) > 1:
        raise TypeError(f"{name}(): expected a shape or data, got more than one of them")
    if size is not None:
        args = (types.Size(size) if isinstance(size, (tuple, list)) else size,)
    elif data is not NOTHING:
        return _of_data(name, dtype, data)
    if not args:
        return _uninitialised(name, dtype, (0,))
    first = args[0]
    if len(args) == 1 and isinstance(first, types.Size):
        return _uninitialised(name, dtype, first)
    if all(hasattr(n, "__index__") and not isinstance(n, (bool, np.bool_, Tensor, np.ndarray)) for n in args):
        return _uninitialised(name, dtype, args)
    if len(args) > 1:
        raise TypeError(f"{name}(): expected the sizes of the shape as integers, or one sequence, got {args!r:.80}")
    return _of_data(name, dtype, first)


def _uninitialised(name, dtype, shape):
    new = Tensor._wrap(_cnn.empty(_checked_size(name, shape), dtype.numpy))
    if dtype is types.bfloat16:
        new._a[...] = 0  # what is not defined must at least be of the type
        new._dtype = dtype
    return new


def _of_data(name, dtype, data):
    if isinstance(data, Tensor):
        if data.dtype is not dtype:
            raise DTypeError(f"{name}(): expected a tensor of {dtype}, got one of {data.dtype}: use .to({dtype})")
        return data.detach()
    if isinstance(data, str):
        raise TypeError(f"{name}(): invalid data type 'str'")
    if not hasattr(data, "__len__") or isinstance(data, (dict, set, np.generic)):
        raise TypeError(f"{name}(): data must be a sequence (got {type(data).__name__})")
    return tensor(data, dtype=dtype)


class OldType(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor) and instance.dtype is cls.of_type

    def __call__(cls, *args, **words):
        return constructed(cls.__name__, cls.of_type, args, **words)


for _name, _kind in TYPE_NAMES.items():
    FUNCTIONS[_name] = OldType(_name, (), {"of_type": _kind, "__doc__": f"Old constructor of {_kind!r} tensors."})


def new(self, *args, size=None, data=NOTHING, device=None):
    """An old constructor in this tensor's type: `x.new(2, 3)` and `x.new(y.size())` are of that shape, uninitialised;
    `x.new([2, 3])` holds these values. See torch.Tensor.new."""
    return constructed("new", self.dtype, args, size, data, device)


Tensor.new = new


Tensor._constructed = staticmethod(constructed)
