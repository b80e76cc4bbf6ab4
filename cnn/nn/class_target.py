"""What cross_entropy and nll_loss check before they run: scores, and the number of the right class for each."""

import numpy as np

from cnn.errors import DTypeError, ShapeError, kind_name
from cnn.tensor import Tensor

_INT64 = np.dtype(np.int64)
_TORCH_NAMES = {
    "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "uint8": "Byte", "bool": "Bool",
    "float16": "Half", "float32": "Float", "float64": "Double",
}  # fmt: skip


def class_indices(input, target, layer):
    """Both as arrays (N, C, d1, ...) and (N, d1, ...) of int64, or a clear error. Lone samples get N = 1."""
    x, t = input._a, target._a
    if x.dtype.kind != "f":
        check_scores(x, t, layer)
    if x.ndim > 1 and t.shape == x.shape and t.dtype.kind in "iu" and layer == "cross_entropy":
        name = _TORCH_NAMES.get(t.dtype.name, t.dtype.name)
        raise DTypeError(
            f"{layer}: Expected floating point type for target with class probabilities, got {name}, of shape "
            f"{list(t.shape)}: of a one-hot target give target.float(), or the class numbers, target.argmax(1)"
        )
    if t.dtype.char == "B":
        t = t.astype(np.int64)
    if t.dtype is not _INT64 and t.dtype != _INT64:  # NumPy has two types of 64 bits
        name = _TORCH_NAMES.get(t.dtype.name, t.dtype.name)
        raise DTypeError(
            f"{layer}: expected target dtype to be Long or Byte, but got {name}: class numbers are int64 "
            "(target.long()), class probabilities have the shape of the input "
            f"{list(x.shape)}, and this target has {list(t.shape)}"
        )
    if x.ndim == 1 and t.size == 1 and t.ndim <= 1:
        return x[None], t.reshape(1)
    if x.ndim == 0:
        raise ShapeError(f"{layer}: input must have a dimension for the classes, got a 0-d tensor")
    if x.ndim == 2 and t.ndim > 1:
        hint = ": use target.squeeze(1)" if t.shape == (x.shape[0], 1) else ""
        hint = ": of a one-hot target give the class numbers, target.argmax(1)" if t.shape == x.shape else hint
        raise ShapeError(
            f"{layer}: 0D or 1D target tensor expected, multi-target not supported: got target shape {list(t.shape)} "
            f"for input shape {list(x.shape)}{hint}"
        )
    if t.ndim == 0 or t.shape[0] != x.shape[0]:
        batch = t.shape[0] if t.ndim else 1
        raise ShapeError(
            f"{layer}: Expected input batch_size ({x.shape[0]}) to match target batch_size ({batch}). Input shape "
            f"{list(x.shape)}, target shape {list(t.shape)}"
        )
    expected = (x.shape[0], *x.shape[2:])
    if t.shape != expected:
        raise ShapeError(
            f"{layer}: Expected target size {list(expected)}, got {list(t.shape)}, for input shape {list(x.shape)}"
        )
    return x, t


def check_scores(x, t, layer):
    """DTypeError unless the input is real: class numbers stand there where the arguments were exchanged."""
    if x.dtype.kind != "f":
        swapped = ": are they in the other order? It takes scores first, then targets" if t.dtype.kind == "f" else ""
        got = f"{x.dtype} of shape {list(x.shape)}"
        raise DTypeError(f"{layer}: input must be float32 or float64, got {got}{swapped}")


def check_tensors(layer, **arguments):
    """TypeError unless all are Tensors, in torch's words."""
    for position, (name, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            place = f"argument '{name}' (position {position})"
            raise TypeError(f"{layer}(): {place} must be Tensor, not {kind_name(value)}")
