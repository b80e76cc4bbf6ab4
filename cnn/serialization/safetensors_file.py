"""Safetensors files: named tensors and nothing else. Mirrors safetensors.torch.save_file and load_file."""

import os
from collections.abc import Mapping

from cnn import types
from cnn.errors import CheckpointError
from cnn.tensor import Tensor

from .atomic import atomic_write

__all__ = ["load_file", "save_file"]


def save_file(tensors, filename, metadata=None):
    """Writes {name: tensor} to a safetensors file, atomically. `metadata` is a dictionary of text.

    Raises:
        CheckpointError: a value is no tensor, or a name or the metadata is not text.
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    if not isinstance(tensors, Mapping):
        raise CheckpointError(
            f"cannot save to {os.fspath(filename)!r}: safetensors holds tensors by name, {{name: tensor}}, got "
            f"{type(tensors).__name__}"
        )
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"cannot save to {os.fspath(filename)!r}: safetensors holds tensors by name, got {name!r}: "
                f"{type(tensor).__name__}"
            )
    if any(not isinstance(text, str) for item in (metadata or {}).items() for text in item):
        raise CheckpointError(
            f"cannot save to {os.fspath(filename)!r}: metadata is a dictionary of text, got {metadata!r}"
        )
    # The writer takes the bytes as they lie, whatever the strides say.
    arrays = {name: tensor.detach().numpy().copy(order="C") for name, tensor in tensors.items()}
    data = save(arrays, metadata)
    with atomic_write(filename) as file:
        file.write(data)


def load_file(filename, device="cpu"):
    """{name: tensor} of a safetensors file.

    Raises:
        CheckpointError: the file is damaged, or holds a type that cnn does not know.
        FileNotFoundError: there is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file as load_arrays

    types.device(device)  # refuses what is no device; all tensors come to the CPU
    name = os.fspath(filename)
    if os.path.isdir(name):
        raise IsADirectoryError(f"cannot load {name!r}: it is a directory")
    try:
        return {key: Tensor._wrap(array) for key, array in load_arrays(name).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot load {name!r}: it is no safetensors file that cnn can read: {error}") from error
