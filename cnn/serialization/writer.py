"""cnn.save: writes torch's zip format.

    name/data.pkl       the object, pickled; a tensor is a call of torch._utils._rebuild_tensor_v2 on a storage
    name/data/0, 1, ..  the storages: the memory that tensors share, each once
    name/version, byteorder, .format_version, .storage_alignment, .data/serialization_id

Names in the pickle are torch's, so that torch.load(path, weights_only=True) reads tensors, state_dicts and plain
containers of them.
"""

import codecs
import hashlib
import io
import os
import pickle
import re
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy as np

from cnn import types
from cnn.autograd.bfloat16 import halves
from cnn.errors import CheckpointError, is_torchs, kind_name
from cnn.nn.parameter import Parameter
from cnn.tensor import Tensor

from .atomic import atomic_write

__all__ = ["save"]

ALIGNMENT = 64  # storages begin at multiples of it, so that they can be mapped into memory

STORAGE_NAMES = {
    types.float32: "FloatStorage",
    types.float64: "DoubleStorage",
    types.float16: "HalfStorage",
    types.int8: "CharStorage",
    types.int16: "ShortStorage",
    types.int32: "IntStorage",
    types.int64: "LongStorage",
    types.uint8: "ByteStorage",
    types.bool: "BoolStorage",
}

# Newer types have no storage of their own: their tensors lie on plain bytes and name the type themselves.
UNTYPED = (types.uint16, types.uint32, types.uint64)


class Name:
    """A name of torch's that the pickle mentions. torch need not be there, so pickle must not look it up."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise TypeError("a name stands for torch's function and cannot be called")


REBUILD_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
REBUILD_UNTYPED = Name("torch._utils", "_rebuild_tensor_v3")
REBUILD_PARAMETER = Name("torch._utils", "_rebuild_parameter")
SIZE = Name("torch", "Size")
DEVICE = Name("torch", "device")
DTYPES = {d: Name("torch", d.name) for d in (*STORAGE_NAMES, *UNTYPED, types.bfloat16)}
STORAGES = {d: Name("torch", name) for d, name in (*STORAGE_NAMES.items(), (types.bfloat16, "BFloat16Storage"))}
UNTYPED_STORAGE = Name("torch.storage", "UntypedStorage")


class Storage:
    """Memory that one or more tensors look into: a flat array, and its number in the file."""

    def __init__(self, key, memory, dtype):
        self.key, self.memory, self.dtype = key, memory, dtype
        self.array = halves(memory) if dtype is types.bfloat16 else memory


class TorchPickler(pickle._Pickler):
    """pickle's own writer, in Python, with torch's names for tensors and what belongs to them."""

    def __init__(self, file, protocol):
        super().__init__(file, protocol=protocol)
        self.storages = []
        self.known = {}  # (address, size, type) of memory -> Storage

    def save(self, obj, save_persistent_id=True):
        if type(obj) is Name:
            self.save_name(obj)
            return
        if isinstance(obj, np.generic):
            obj = obj.item()  # torch refuses NumPy's scalars; a Python number says the same
        elif isinstance(obj, types.dtype):
            self.save_name(DTYPES[obj])
            return
        super().save(obj, save_persistent_id)

    def save_name(self, name):
        known = self.memo.get(id(name))
        if known is not None:
            self.write(self.get(known[0]))
        else:
            self.write(pickle.GLOBAL + f"{name.module}\n{name.name}\n".encode())
            self.memoize(name)

    def save_bytes(self, obj):
        # Protocol 2 has no bytes. Python writes empty ones as bytes(), which torch refuses, others as encode(text).
        if self.proto < 3 and not obj:
            self.save_reduce(codecs.encode, ("", "latin1"), obj=obj)
        else:
            super().save_bytes(obj)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # how pickle finds its methods

    def persistent_id(self, obj):
        if type(obj) is not Storage:
            return None
        if obj.dtype in UNTYPED:
            return "storage", UNTYPED_STORAGE, obj.key, "cpu", obj.array.nbytes
        return "storage", STORAGES[obj.dtype], obj.key, "cpu", obj.array.size

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            return self.reduce_tensor(obj)
        if is_torchs(obj):
            raise pickle.PicklingError(f"it holds {kind_name(obj)}")
        if isinstance(obj, types.Size):
            return SIZE, (tuple(obj),)
        if isinstance(obj, types.device):
            return DEVICE, (obj.type,) if obj.index is None else (obj.type, obj.index)
        return NotImplemented

    def reduce_tensor(self, tensor):
        is_parameter = isinstance(tensor, Parameter)
        arguments = (*self.locate(tensor), tensor.requires_grad and not is_parameter, OrderedDict())
        rebuild = REBUILD_TENSOR
        if tensor.dtype in UNTYPED:
            rebuild, arguments = REBUILD_UNTYPED, (*arguments, tensor.dtype)
        if not is_parameter:
            return rebuild, arguments
        return REBUILD_PARAMETER, (Reduced(rebuild, arguments), tensor.requires_grad, OrderedDict())

    def locate(self, tensor):
        """(storage, offset, shape, strides) of a tensor, in elements. Views of the same memory get the same storage."""
        array = tensor._a
        memory = None if tensor._lies_channels_last() else flat_memory(array)
        if memory is None:
            array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
            memory = array.reshape(-1)
        address = memory.__array_interface__["data"][0]
        storage = self.known.get((address, memory.size, tensor.dtype)) if memory.size else None
        if storage is None:
            storage = Storage(str(len(self.storages)), memory, tensor.dtype)
            self.storages.append(storage)
            self.known[address, memory.size, tensor.dtype] = storage
        if array.size == 0:
            return storage, 0, array.shape, dense_strides(array.shape)
        offset = (array.__array_interface__["data"][0] - address) // array.itemsize
        return storage, offset, array.shape, tuple(step // array.itemsize for step in array.strides)


class Reduced:
    """A value that is pickled as the call of a name."""

    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments

    def __reduce__(self):
        return self.name, self.arguments


def dense_strides(shape):
    """Strides of a tensor without elements, as torch counts them."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def flat_memory(array):
    """The memory below a view, as a flat array of the view's type, or None where torch could not describe the view:
    negative or odd steps, foreign byte order, memory with gaps."""
    root = array
    while type(root.base) is np.ndarray:
        root = root.base
    order = sorted(range(root.ndim), key=lambda axis: -root.strides[axis])
    flat = root.transpose(order)
    itemsize = array.itemsize
    start = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    describable = (
        array.dtype.isnative
        and not root.dtype.hasobject
        and flat.flags.c_contiguous
        and all(step >= 0 and step % itemsize == 0 for step in (*array.strides, start, root.nbytes))
    )
    return flat.reshape(-1).view(array.dtype) if describable else None


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True):
    """Writes `obj` to the path or binary file `f`, so that cnn.load and torch.load read it back. See torch.save.

    Tensors, parameters, state_dicts, numbers, text and containers of them are read by torch too; whole Modules only by
    cnn. A path gets either the whole new file or keeps its old one, whatever happens.

    Raises:
        CheckpointError: something in `obj` cannot be pickled.
        OSError: the file cannot be written.
    """
    if not _use_new_zipfile_serialization:
        raise CheckpointError(
            "the file format from before torch 1.6 is not supported: leave _use_new_zipfile_serialization out"
        )
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, "write"):
        raise TypeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}"
        )
    if isinstance(f, io.TextIOBase):
        raise TypeError("expected a binary file, got one that is open for text: open it with mode 'wb'")
    pickled, storages = dump(obj, pickle_protocol)
    if hasattr(f, "write"):
        write_archive(f, "archive", pickled, storages)
        return
    name = os.path.splitext(os.path.basename(os.fspath(f)))[0]
    with atomic_write(f) as file:
        write_archive(file, name, pickled, storages)


def dump(obj, protocol):
    """The pickle of `obj`, and the storages that it refers to."""
    buffer = io.BytesIO()
    pickler = TorchPickler(buffer, protocol)
    try:
        pickler.dump(obj)
    except RecursionError as error:
        raise CheckpointError("cannot save: the object is nested too deep") from error
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        why = re.sub(r" at 0x[0-9a-f]+", "", str(error))
        hint = "; its state_dict() can be saved" if callable(getattr(obj, "state_dict", None)) else ""
        raise CheckpointError(f"cannot save an object of type {type(obj).__name__}: {why}{hint}") from error
    return buffer.getvalue(), pickler.storages


class FromHere:
    """A file as it is written from where it stands now: places in an archive count from its own beginning."""

    def __init__(self, file):
        self.start, self.file = file.tell(), file
        self.write = file.write

    def tell(self):
        return self.file.tell() - self.start

    def seek(self, place):
        self.file.seek(self.start + place)

    def flush(self):
        getattr(self.file, "flush", int)()


def write_archive(file, name, pickled, storages):
    checksums = []
    try:
        file = FromHere(file)
    except (AttributeError, OSError):
        pass  # a pipe: zipfile counts by itself
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False)
    try:
        add(archive, f"{name}/data.pkl", pickled)
        add(archive, f"{name}/.format_version", b"1")
        add(archive, f"{name}/.storage_alignment", str(ALIGNMENT).encode())
        add(archive, f"{name}/byteorder", sys.byteorder.encode())
        for storage in storages:
            data = memoryview(storage.array.view(np.uint8)) if storage.array.size else b""
            checksums.append(add(archive, f"{name}/data/{storage.key}", data))
        add(archive, f"{name}/version", b"3\n")
        # torch writes forty digits here, made from the content.
        digest = hashlib.sha256(pickled + str(checksums).encode()).digest()
        add(archive, f"{name}/.data/serialization_id", str(int.from_bytes(digest, "big") % 10**40).zfill(40).encode())
    except BaseException:
        # There is nothing to finish, and within a member that an interrupt left open close would raise a ValueError.
        archive.fp = None
        raise
    archive.close()


def add(archive, name, data):
    """Adds a member whose bytes begin at a multiple of ALIGNMENT, thanks to an extra field of the right length in its
    header. Returns its checksum."""
    member = zipfile.ZipInfo(name)
    member.file_size = len(data)
    position = archive.start_dir + 30 + len(name.encode("utf-8"))
    if len(data) * 1.05 > zipfile.ZIP64_LIMIT:
        position += 20  # zipfile puts the 64-bit sizes in front
    padding = -(position + 4) % ALIGNMENT
    member.extra = struct.pack("<HH", 0x4246, padding) + b"Z" * padding
    with archive.open(member, "w") as target:
        target.write(data)
    member.extra = b""  # not in the directory at the end
    return member.CRC
