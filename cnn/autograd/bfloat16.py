"""bfloat16: NumPy has no such type, so its values lie in float32 arrays, and a tensor says that they are bfloat16
(`_dtype`). Operations compute in float32, as torch's do on a CPU; their results are rounded here, once.
"""

import numpy as np

from cnn import types
from cnn.tensor import Tensor


def round_(array):
    """Every value of a float32 array to the nearest bfloat16, ties to even; in place. Returns the array."""
    bits = array.view(np.uint32)
    is_nan = np.isnan(array)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    bits &= np.uint32(0xFFFF0000)
    if is_nan.any():
        bits[is_nan] = 0x7FC00000
    return array


def halves(array):
    """The values as they lie in a file of torch's: the upper 16 bits of each."""
    return (array.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def is_low(tensor):
    return tensor._dtype is not None


def finish(operation, args, out):
    """The results of an operation on `args`, some of them of bfloat16: they are too, where no tensor of another
    floating-point type counts for the type of the result (0-d tensors give way to others)."""
    floating = [t for t in args if isinstance(t, Tensor) and t._a.dtype.kind == "f"]
    counting = [t for t in floating if t._a.ndim] or floating
    if not all(map(is_low, counting)):
        return
    for o in out if isinstance(out, tuple) else (out,):
        if o._a.dtype == np.float32:
            settle(o, operation.is_view or any(np.may_share_memory(o._a, t._a) for t in floating))


in_use = False  # whether there was ever such a tensor


def settle(tensor, is_rounded=False):
    """The tensor is of bfloat16 from here on."""
    global in_use
    in_use = True
    if not is_rounded:
        if not tensor._a.flags.writeable:
            tensor._a = tensor._a.copy()
        round_(tensor._a)
    tensor._dtype = types.bfloat16
    return tensor
