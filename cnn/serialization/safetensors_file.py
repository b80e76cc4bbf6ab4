"""Safetensors files: named tensors and nothing else. Mirrors safetensors.torch.save_file and load_file."""

import json
import os
import struct
from collections.abc import Mapping

import numpy as np

from cnn import types
from cnn.autograd.bfloat16 import halves, settle
from cnn.errors import CheckpointError
from cnn.tensor import Tensor

from .atomic import atomic_write

__all__ = ["load_file", "save_file"]

# The format's names of types: https://github.com/huggingface/safetensors, "Format".
NAMES = {
    types.float64: "F64", types.float32: "F32", types.float16: "F16", types.bfloat16: "BF16", types.int64: "I64",
    types.int32: "I32", types.int16: "I16", types.int8: "I8", types.uint64: "U64", types.uint32: "U32",
    types.uint16: "U16", types.uint8: "U8", types.bool: "BOOL",
}  # fmt: skip


def save_file(tensors, filename, metadata=None):
    """Writes {name: tensor} to a safetensors file, atomically. `metadata` is a dictionary of text.

    Raises:
        CheckpointError: a value is no tensor, or a name or the metadata is not text.
        OSError: the file cannot be written.
    """
    if not isinstance(tensors, Mapping):
        raise CheckpointError(
            f"cannot save to {os.fspath(filename)!r}: safetensors holds tensors by name, {{name: tensor}}, got "
            f"{type(tensors).__name__}"
        )
    for name, tensor in tensors.items():
        if name == "__metadata__":
            raise CheckpointError(f"cannot save to {os.fspath(filename)!r}: no tensor can have the name '__metadata__'")
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"cannot save to {os.fspath(filename)!r}: safetensors holds tensors by name, got {name!r}: "
                f"{type(tensor).__name__}"
            )
    if any(not isinstance(text, str) for item in (metadata or {}).items() for text in item):
        raise CheckpointError(
            f"cannot save to {os.fspath(filename)!r}: metadata is a dictionary of text, got {metadata!r}"
        )
    arrays = {name: _bytes_of(tensor.detach()) for name, tensor in tensors.items()}
    header, place = {"__metadata__": metadata} if metadata else {}, 0
    # Large types first, so that each begins at a multiple of its size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in order:
        end = place + arrays[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(filename) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8) if arrays[name].size else b"")


def _bytes_of(tensor):
    """The array of a tensor as it lies in a file: row by row, little-endian, bfloat16 as its 16 bits."""
    array = np.ascontiguousarray(tensor._a).reshape(tensor._a.shape)
    array = halves(array) if tensor.dtype is types.bfloat16 else array
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def load_file(filename, device="cpu"):
    """{name: tensor} of a safetensors file.

    Raises:
        CheckpointError: the file is damaged, or holds a type that cnn does not know.
        FileNotFoundError: there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    types.device(device)  # refuses what is no device; all tensors come to the CPU
    name = os.fspath(filename)
    if os.path.isdir(name):
        raise IsADirectoryError(f"cannot load {name!r}: it is a directory")
    try:
        with safe_open(name, framework="np") as file:
            names = list(file.keys())
            halved = [key for key in names if file.get_slice(key).get_dtype() == "BF16"]
            arrays = {key: file.get_tensor(key) for key in names if key not in halved}
        tensors = {key: Tensor._wrap(array) for key, array in arrays.items()}
        if halved:
            tensors |= _of_halves(name, halved)
        return {key: tensors[key] for key in names}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot load {name!r}: it is no safetensors file that cnn can read: {error}") from error


def _of_halves(name, keys):
    """The bfloat16 tensors of a file, which the reader for NumPy does not take."""
    from safetensors import deserialize

    with open(name, "rb") as file:
        found = dict(deserialize(file.read()))
    tensors = {}
    for key in keys:
        bits = np.frombuffer(found[key]["data"], "<u2").reshape(found[key]["shape"])
        tensors[key] = settle(Tensor._wrap((bits.astype(np.uint32) << 16).view(np.float32)), is_rounded=True)
    return tensors
