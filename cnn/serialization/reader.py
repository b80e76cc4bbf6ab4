"""cnn.load: reads torch's zip format without running anything that is in the file.

The pickle inside goes through unpickle.py with the names listed here. What it says about tensors is checked against
the storages, and those against the archive, so that a file can neither read outside its memory nor ask for more than
its own size justifies.
"""

import io
import os
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict
from types import FunctionType

import numpy as np

from cnn import _cnn, types
from cnn.autograd.bfloat16 import settle
from cnn.errors import CheckpointError
from cnn.nn.parameter import Parameter
from cnn.tensor import Tensor

from .foreign import foreign_format
from .stored_zip import BadZipError, StoredZip
from .unpickle import BUDGET, NUMPY_ARRAYS, Callable, Unpickler, UnsafePickleError, check_key
from .writer import STORAGE_NAMES, UNTYPED

__all__ = ["RefusedCheckpointError", "load"]


class RefusedCheckpointError(CheckpointError, pickle.UnpicklingError):
    """A checkpoint asks for something that is not data, or its pickle is damaged. torch raises pickle.UnpicklingError
    here.
    """


class StorageType:
    """torch.FloatStorage and its like: only names of data types."""

    def __init__(self, name, dtype):
        self.name, self.dtype = name, dtype

    def __repr__(self):
        return f"torch.{self.name}"


class Storage:
    """Memory from the file, as tensors of one type look into it."""

    def __init__(self, array, dtype, budget, swap_bytes=False):
        self.array, self.dtype = array, dtype
        self.budget = budget
        self.swap_bytes = swap_bytes  # of numbers larger than `dtype`
        self.versions = [0]  # its tensors share memory, so they share the counter of in-place changes

    def __repr__(self):
        return f"a storage of {self.array.size} {self.dtype}"


def rebuild_tensor(storage, offset, shape, strides, requires_grad, backward_hooks, metadata=None):
    """A tensor on `storage`. Everything is counted in elements; everything comes from the file."""
    if not isinstance(storage, Storage):
        raise UnsafePickleError(f"a tensor on a {type(storage).__name__} instead of a storage")
    for name, value in (("shape", shape), ("strides", strides)):
        if (
            not isinstance(value, tuple)
            or len(value) > 64
            or any(type(n) is not int or not 0 <= n < 2**62 for n in value)
        ):
            raise UnsafePickleError(f"a tensor with the {name} {value!r}")
    if len(shape) != len(strides):
        raise UnsafePickleError(f"a tensor of shape {shape} with {len(strides)} strides")
    if type(offset) is not int or not 0 <= offset <= storage.array.size:
        raise UnsafePickleError(f"a tensor that begins at element {offset!r} of a storage with {storage.array.size}")
    elements = 1
    for n in shape:
        elements *= n
    if elements:
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= storage.array.size:
            raise UnsafePickleError(
                f"a tensor of shape {shape}, strides {strides} and offset {offset} reaches element {last} of a storage "
                f"with {storage.array.size}"
            )
        if elements * storage.array.itemsize > storage.budget:
            raise UnsafePickleError(f"a tensor of {elements} elements on a storage with {storage.array.size}")
        itemsize = storage.array.itemsize
        steps = [step * itemsize for step in strides]
        array = np.ndarray(shape, storage.array.dtype, storage.array, offset * itemsize, steps)
    else:
        array = np.empty(shape, storage.array.dtype)
    tensor = Tensor._wrap(array)
    tensor._box = storage.versions
    if storage.dtype is types.bfloat16:
        settle(tensor, is_rounded=True)
    return tensor.requires_grad_(bool(requires_grad))


def rebuild_untyped(storage, offset, shape, strides, requires_grad, backward_hooks, dtype, metadata=None):
    """A tensor on plain bytes, of a type that has no storage of its own."""
    if not isinstance(storage, Storage) or storage.dtype is not types.uint8:
        raise UnsafePickleError(f"a tensor on {storage!r:.80} instead of a storage of bytes")
    if dtype not in UNTYPED:
        raise UnsafePickleError(f"a tensor of the type {dtype!r:.80}")
    if storage.array.size % dtype.itemsize:
        raise UnsafePickleError(f"{storage!r} ends in the middle of a number")
    array = storage.array.view(dtype.numpy)
    typed = Storage(array.byteswap() if storage.swap_bytes else array, dtype, storage.budget)
    typed.versions = storage.versions
    return rebuild_tensor(typed, offset, shape, strides, requires_grad, backward_hooks)


def rebuild_parameter(data, requires_grad, backward_hooks, state=None):
    if not isinstance(data, Tensor):
        raise UnsafePickleError(f"a parameter made of a {type(data).__name__}")
    return Parameter(data, bool(requires_grad))


def rebuild_from_type(function, kind, args, state):
    """Tensors with attributes of the user's: the attributes are left out."""
    if not isinstance(function, Callable) or function.function is not rebuild_tensor or not isinstance(args, tuple):
        raise UnsafePickleError("a tensor that is rebuilt by something else than _rebuild_tensor_v2")
    return rebuild_tensor(*args)


def ordered_dict(pairs=()):
    if not isinstance(pairs, (list, tuple)) or any(not isinstance(p, (list, tuple)) or len(p) != 2 for p in pairs):
        raise UnsafePickleError("an OrderedDict that is not made of pairs")
    return OrderedDict((check_key(key), value) for key, value in pairs)


def counter(counts=None):
    if counts is not None and type(counts) is not dict:
        raise UnsafePickleError("a Counter that is not made of a dictionary")
    return Counter(counts or {})


FACTORIES = {
    "list": list,
    "dict": dict,
    "set": set,
    "int": int,
    "long": int,
    "float": float,
    "str": str,
    "unicode": str,
}


def default_dict(factory=None):
    """The default is made by list, dict, int, ... or there is none. The stand-ins for those names make empty values as
    well.
    """
    if factory is not None and not (isinstance(factory, Callable) and factory.name.rpartition(".")[2] in FACTORIES):
        raise UnsafePickleError("a defaultdict with a default of its own")
    return defaultdict(FACTORIES[factory.name.rpartition(".")[2]] if factory else None)


def plain_set(items=()):
    if not isinstance(items, (list, tuple)):
        raise UnsafePickleError("a set that is not made of a list")
    return {check_key(item) for item in items}


def plain_frozen_set(items=()):
    return frozenset(plain_set(items))


def byte_array(raw=b"", encoding=None):
    if isinstance(raw, str) and encoding == "latin-1":
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes):
        raise UnsafePickleError("a bytearray that is not made of bytes")
    return bytearray(raw)


def number(kind):
    def make(*parts):
        if len(parts) > 2 or any(type(part) not in (int, float) for part in parts):
            raise UnsafePickleError(f"a {kind.__name__} that is not made of numbers")
        return kind(*parts)

    return make


def size(shape=()):
    if not isinstance(shape, (list, tuple)) or any(type(n) is not int for n in shape):
        raise UnsafePickleError("a torch.Size that is not made of integers")
    return types.Size(shape)


def device(kind="cpu", index=None):
    if not isinstance(kind, str) or (index is not None and type(index) is not int):
        raise UnsafePickleError("a torch.device that is not made of a name and a number")
    return types.device(kind, index)


def slice_of(start=None, stop=None, step=None):
    if any(type(part) not in (int, type(None)) for part in (start, stop, step)):
        raise UnsafePickleError("a slice that is not made of integers")
    return slice(start, stop, step)


def span(*parts):
    if not 1 <= len(parts) <= 3 or any(type(part) is not int for part in parts):
        raise UnsafePickleError("a range that is not made of integers")
    return range(*parts)


def empty(kind):
    """list(), dict(), ...: only ever called without arguments, as the default of a defaultdict would be."""

    def make():
        return kind()

    return make


ALLOWED = {
    **NUMPY_ARRAYS,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): rebuild_untyped,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): rebuild_from_type,
    ("torch", "Tensor"): "torch.Tensor",  # only ever mentioned, as an argument of _rebuild_from_type_v2
    ("torch.nn.parameter", "Parameter"): "torch.nn.Parameter",
    ("torch", "Size"): size,
    ("torch", "device"): device,
    ("collections", "OrderedDict"): ordered_dict,
    ("collections", "Counter"): counter,
    ("collections", "defaultdict"): default_dict,
    **{("torch", name): StorageType(name, dtype) for dtype, name in STORAGE_NAMES.items()},
    ("torch", "BFloat16Storage"): StorageType("BFloat16Storage", types.bfloat16),
    ("torch.storage", "UntypedStorage"): StorageType("UntypedStorage", types.uint8),
    **{("torch", dtype.name): dtype for dtype in (*STORAGE_NAMES, *UNTYPED, types.bfloat16)},
}
# Python 2's names for them, which protocol 2 writes, and Python 3's.
for builtins in ("__builtin__", "builtins"):
    ALLOWED.update({(builtins, name): empty(kind) for name, kind in FACTORIES.items()})
    ALLOWED.update(
        {
            (builtins, "set"): plain_set,
            (builtins, "frozenset"): plain_frozen_set,
            (builtins, "bytearray"): byte_array,
            (builtins, "complex"): number(complex),
            (builtins, "slice"): slice_of,
            (builtins, "xrange"): span,
            (builtins, "range"): span,
        }
    )


class CheckpointUnpickler(Unpickler):
    """The pickle of a checkpoint: names from ALLOWED, storages from the archive."""

    def __init__(self, data, archive, folder, map_location, swap_bytes):
        super().__init__(data, ALLOWED, self.load_storage)
        self.archive, self.folder = archive, folder
        self.map_location = map_location
        self.swap_bytes = swap_bytes
        self.storages = {}

    def load_storage(self, identity):
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise UnsafePickleError(f"a storage with the identity {str(identity)[:100]}")
        _, kind, key, location, count = identity
        if not isinstance(kind, StorageType) or not isinstance(key, str):
            raise UnsafePickleError(f"a storage with the identity {str(identity)[:100]}")
        storage = self.storages.get(key)
        if storage is None:
            storage = self.storages[key] = self.read_storage(kind, key)
            if callable(self.map_location):
                self.map_location(storage, location)
        if storage.dtype is not kind.dtype or count != storage.array.size:
            raise UnsafePickleError(
                f"storage {key!r} holds {storage.array.size} {storage.dtype}, not {count!r} {kind.dtype}"
            )
        return storage

    def read_storage(self, kind, key):
        member = f"{self.folder}/data/{key}"
        if member not in self.archive.members:
            raise UnsafePickleError(f"storage {key!r} is missing in the archive")
        # bfloat16 is the upper half of a float32.
        stored = np.dtype(np.uint16) if kind.dtype is types.bfloat16 else kind.dtype.numpy
        if self.archive.members[member].size % stored.itemsize:
            raise UnsafePickleError(f"storage {key!r} ends in the middle of a number")
        try:
            array = self.archive.read_array(member).view(stored)
        except BadZipError as error:
            raise UnsafePickleError(str(error)) from error
        if self.swap_bytes:
            array = array.byteswap()
        if kind.dtype is types.bfloat16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        elif kind.dtype is types.bool:
            array = array.view(np.uint8) != 0  # a bool of any other value than 0 and 1 would be undefined
        return Storage(array, kind.dtype, BUDGET + 2 * self.archive.size, self.swap_bytes)

    def build(self, instance, state):
        if type(instance) is OrderedDict:
            # state_dict() hangs the versions of its modules on the dictionary.
            if (
                not isinstance(state, dict)
                or set(state) - {"_metadata"}
                or not isinstance(state.get("_metadata", {}), dict)
            ):
                raise UnsafePickleError("an OrderedDict with attributes that no state_dict has")
            instance.__dict__.update(state)
        else:
            super().build(instance, state)


class ModuleUnpickler(CheckpointUnpickler):
    """A whole Module (weights_only=False): also the Module classes that this process has already defined or imported.

    Nothing is imported for the file, and no __init__, __new__, __setstate__ or __reduce__ is called: an instance is an
    empty object of its class, whose attributes are then set.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.empty = {}  # id -> instance whose attributes are not set yet

    def find(self, module, name):
        if (module, name) in self.allowed:
            return super().find(module, name)
        value = find_loaded(module, name)
        if not (is_module_class(value) or is_our_function(value, name) or is_namespace(value)):
            where = "" if module in sys.modules or module.startswith("torch") else f" (import {module} first?)"
            raise UnsafePickleError(
                f"it asks for {module}.{name}, which is neither data nor a Module class that is defined here "
                f"already{where}"
            )
        return value

    def new(self, cls, args):
        if not (is_module_class(cls) or is_namespace(cls)):
            return super().new(cls, args)
        if args:
            raise UnsafePickleError(f"it makes a {cls.__name__} with arguments")
        instance = object.__new__(cls)
        self.empty[id(instance)] = instance
        return instance

    def build(self, instance, state):
        if id(instance) not in self.empty:
            super().build(instance, state)
            return
        del self.empty[id(instance)]
        if type(state) is not dict or any(type(key) is not str for key in state):
            raise UnsafePickleError(f"a {type(instance).__name__} whose attributes are no dictionary")
        if not is_namespace(type(instance)):
            check_module_state(type(instance).__name__, state)
            state = {"_non_persistent_buffers_set": set(), **state}
        instance.__dict__.update(state)
        if not is_namespace(type(instance)):
            instance._init_missing_hooks()

    def inside(self, value):
        if is_module_class(type(value)) or is_namespace(type(value)):
            return list(vars(value).values())
        return super().inside(value)

    def load(self):
        value = super().load()
        if self.empty:
            raise UnsafePickleError(f"a {type(next(iter(self.empty.values()))).__name__} without attributes")
        return value


def find_loaded(module, name):
    """The object of that name, if this process has it; nothing is imported, and no code of an object runs. torch's
    layers are ours.
    """
    import cnn

    if module.startswith("torch.nn.functional"):
        owner = cnn.nn.functional
    elif module.startswith("torch.nn."):
        owner = cnn.nn
    elif module == "torch" or module.startswith("torch."):
        owner = cnn
    else:
        owner = sys.modules.get(module)
    first, *inner = name.split(".")
    value = None if owner is None else vars(owner).get(first)
    for part in inner:  # a class inside a class
        value = vars(value).get(part) if isinstance(value, type) else None
    return value


def is_module_class(value):
    from cnn.nn.module import Module

    return isinstance(value, type) and issubclass(value, Module)


def is_our_function(value, name):
    """A function of cnn's own that a Module keeps as an attribute, such as self.act = F.relu. It is not called."""
    return (
        type(value) in (FunctionType, _cnn.Function)
        and value.__module__.partition(".")[0] == "cnn"
        and value.__name__ == name
    )


def is_namespace(value):
    """argparse.Namespace: what a script's options often are."""
    return value is getattr(sys.modules.get("argparse"), "Namespace", "argparse is not loaded")


def check_module_state(kind, state):
    """The dictionaries that make a Module must hold what they say, or it would fail later in some unclear way."""
    from cnn.nn.module import Module

    for name, holds in (("_parameters", Parameter), ("_buffers", Tensor), ("_modules", Module)):
        members = state.get(name)
        if not isinstance(members, dict) or not all(
            isinstance(key, str) and (value is None or isinstance(value, holds)) for key, value in members.items()
        ):
            raise UnsafePickleError(f"a {kind} whose {name} hold something else than a {holds.__name__}")
    for name, value in state.items():
        if name.endswith("_hooks") and value:
            raise UnsafePickleError(f"a {kind} with hooks: remove them before saving")


def load(f, map_location=None, pickle_module=None, *, weights_only=True, mmap=None, **pickle_load_args):
    """Reads what cnn.save or torch.save wrote, from a path or a binary file. See torch.load.

    A file is read from where it stands, and left there.

    Args:
        map_location: accepted in every form that torch takes; all tensors come to the CPU.
        weights_only: False also rebuilds whole Modules, of classes that are defined or imported already. No code from
        the file runs either
            way. `pickle_module` and `mmap` are accepted and change nothing.

    Raises:
        CheckpointError: the file is damaged, of another format, or holds something that is not data. It names the file.
        FileNotFoundError: there is no such file.
    """
    if not (map_location is None or callable(map_location) or isinstance(map_location, dict)):
        types.device(map_location)  # refuses what is no device
    if isinstance(f, (str, os.PathLike)):
        name = repr(os.fspath(f))
        if os.path.isdir(f):
            raise IsADirectoryError(f"cannot load {name}: it is a directory")
        with open(f, "rb") as file:
            return read(file, name, map_location, weights_only)
    if not hasattr(f, "read"):
        raise TypeError(
            f"expected 'f' to be string, path, or a file-like object with a 'read' attribute, got {type(f).__name__}"
        )
    if isinstance(f, io.TextIOBase):
        raise TypeError("expected a binary file, got one that is open for text: open it with mode 'rb'")
    name = "the file" if not isinstance(getattr(f, "name", None), str) else repr(f.name)
    if not hasattr(f, "seek") or (hasattr(f, "seekable") and not f.seekable()):
        f = io.BytesIO(f.read())
    return read(f, name, map_location, weights_only)


def read(file, name, map_location, weights_only):
    start = file.tell() if hasattr(file, "tell") else 0
    try:
        archive = StoredZip(file, start)
        folder = find_folder(archive)
        pickled = archive.read(f"{folder}/data.pkl")
        order = (
            archive.read(f"{folder}/byteorder").decode("ascii")
            if f"{folder}/byteorder" in archive.members
            else sys.byteorder
        )
    except (BadZipError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot load {name}: {foreign_format(file, start) or error}") from error
    if order not in ("little", "big"):
        raise CheckpointError(f"cannot load {name}: its byte order is {order[:20]!r}")
    reader = ModuleUnpickler if weights_only is False else CheckpointUnpickler
    try:
        value = reader(pickled, archive, folder, map_location, order != sys.byteorder).load()
    except UnsafePickleError as error:
        hint = ""
        if reader is CheckpointUnpickler and "it asks for" in str(error):
            hint = (
                ". Weights only load failed: tensors, numbers, texts and containers of them are read; with "
                "weights_only=False also whole Modules, whose class is defined or imported first"
            )
        raise RefusedCheckpointError(f"cannot load {name}: {error}{hint}") from error
    file.seek(start)  # so that it can be read again
    return value


def find_folder(archive):
    """The folder that all members lie in; torch names it after the file."""
    folders = {name.partition("/")[0] for name in archive.members}
    if len(folders) != 1:
        raise BadZipError(f"it holds {len(folders)} folders instead of one")
    (folder,) = folders
    if f"{folder}/constants.pkl" in archive.members or f"{folder}/data.pkl" not in archive.members:
        raise BadZipError("it has no data.pkl: it is a zip archive, but no checkpoint")
    return folder
