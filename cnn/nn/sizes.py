"""How layers read the sizes that users give, and how they see memory."""

import contextlib
import numbers
import operator

import numpy as np

from cnn import _cnn
from cnn._cnn import lies_channels_last  # noqa: F401  of an array: the layers' one definition
from cnn.errors import DTypeError, kind_name
from cnn.tensor import Tensor


def check_tensor(value, function, name="input", position=1):
    """A TypeError, in torch's words, if `value` is no Tensor."""
    if not isinstance(value, Tensor):
        place = f"argument '{name}' (position {position})"
        raise TypeError(f"{function}(): {place} must be Tensor, not {kind_name(value)}")


def check_floating(tensor, function, name="input"):
    """A DTypeError that names the function for a tensor that the kernels do not take."""
    if tensor._a.dtype.char not in "fd":
        raise DTypeError(f"{function}: {name} must be float32 or float64, got {tensor.dtype}: convert it with .float()")


def pair(value, layer, name):
    """`value`, an int or a sequence of two (or one), as two ints. `layer` and `name` go into the error message."""
    return _cnn.pairs(layer, (name,), value)


def whole(value, layer, name):
    """`value` as an int, or a TypeError: 32 / 2 is 16.0 in Python and no number of channels."""
    try:
        return operator.index(value)
    except TypeError:
        hint = f"; use // to divide, or int({value})" if isinstance(value, float) and value.is_integer() else ""
        raise TypeError(f"{layer}: {name} must be an int, got {value!r:.80}{hint}") from None


def check_number(value, layer, name):
    """A TypeError if `value` is no number, such as a text that a command line gave."""
    if not isinstance(value, (numbers.Real, np.number)) and not (isinstance(value, Tensor) and value.numel() == 1):
        hint = ""
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                hint = f": float({value!r}) is {float(value):g}"
        got = repr(value) if isinstance(value, (str, bytes, list, tuple, dict, type(None))) else kind_name(value)
        raise TypeError(f"{layer}: {name} must be a number, got {got:.80}{hint}")


def single(value):
    """The one int of a 1-d layer's argument, which may come as a sequence of one."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def adaptive_pair(output_size, input, layer):
    """`output_size` of an adaptive layer as two ints: None stands for the size of the input."""
    if input.ndim < 2:
        return (0, 0)  # the layer says what is wrong with the input
    sizes = (output_size, output_size) if output_size is None else output_size
    if isinstance(sizes, (tuple, list)):
        sizes = [n if s is None else s for s, n in zip(sizes, input.shape[-2:], strict=False)] + list(sizes[2:])
    height, width = pair(sizes, layer, "output_size")
    if height < 0 or width < 0:
        raise ValueError(
            f"{layer}: elements of output_size must be greater than or equal to 0 but received {output_size!r:.80}"
        )
    return height, width
