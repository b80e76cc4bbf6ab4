"""Reads a pickle without ever running anything that the file names.

Python's own ``pickle.load`` imports and calls whatever the file asks for. This interpreter reads the same opcodes, but
a name in the file means something only if the caller listed it: ``allowed`` maps the exact pair (module, name) to the
object that stands for it. Nothing is imported, looked up or called by name.

    load_pickle(data, NUMPY_ARRAYS, encoding="bytes")       # a Python 2 pickle with NumPy arrays, such as a CIFAR batch

What a file may cost is bounded too: memory by a budget that grows with the file's own size, nesting by a cap,
dictionary keys by a size, so that a small file cannot fill the machine or make hashing endless.

Format: the comments in CPython's Lib/pickletools.py. Opcodes of protocols 2 to 5 that are written for data are known;
the text opcodes of protocol 0, extension registries and out-of-band buffers are refused.
"""

import math
import pickle
import struct

import numpy as np

__all__ = ["NUMPY_ARRAYS", "Unpickler", "UnsafePickleError", "load_pickle"]

MAX_DEPTH = 1000  # marks that may be open at the same time
MAX_KEY = 100  # plain values in one dictionary key: a tuple's hash walks all of them, shared or not
BUDGET = 64 << 20  # bytes that any file may use; and twice its own size on top


class UnsafePickleError(pickle.UnpicklingError, RuntimeError):
    """A pickle is damaged, or asks for something that is not on the caller's list."""


class Callable:
    """A listed name that the file may call. Wrapped, so that REDUCE can tell it from data that merely happens to be
    callable.
    """

    __slots__ = ("function", "name")

    def __init__(self, function, name):
        self.function = function
        self.name = name

    def __repr__(self):
        return self.name


class DType:
    """Stands for a NumPy dtype while it is built in two steps: code first, byte order later."""

    __slots__ = ("value",)

    def __init__(self, code, align=False, copy=False):
        if isinstance(code, bytes):
            code = code.decode("ascii")
        # One letter and a size: numbers, booleans and fixed-length strings. No objects, structures or dates.
        if not isinstance(code, str) or code[:1] not in "biufcSU" or not code[1:].isdecimal() or len(code) > 8:
            raise UnsafePickleError(f"NumPy dtype {code!r} is not a plain number or string")
        self.value = np.dtype(code)

    def set_state(self, state):
        plain = isinstance(state, tuple) and len(state) >= 5 and state[2] is None and state[4] is None
        order = state[1] if plain else None
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"NumPy dtype with the state {state!r} is not a plain number or string")
        self.value = self.value if order == "|" else self.value.newbyteorder(order)


def empty_array(cls, shape, code):
    if not isinstance(cls, Callable) or cls.function is not np.ndarray or shape != (0,):
        raise UnsafePickleError("only a plain numpy.ndarray can be rebuilt")
    return np.empty(0, dtype=np.uint8)


def checked_shape(shape, itemsize, size):
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
        raise UnsafePickleError(f"NumPy array with the shape {shape!r}")
    if math.prod(shape) * itemsize != size:
        raise UnsafePickleError(
            f"NumPy array of shape {shape} needs {math.prod(shape) * itemsize} bytes, the file holds {size}"
        )


def set_array_state(array, state):
    # state = (version, shape, dtype, Fortran order?, bytes), as ndarray.__reduce__ writes it.
    if array.shape != (0,):
        raise UnsafePickleError("a NumPy array is filled twice")
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], DType):
        raise UnsafePickleError("NumPy array with an unknown state")
    _, shape, dtype, fortran, raw = state
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes):
        raise UnsafePickleError("NumPy array without its bytes")
    checked_shape(shape, dtype.value.itemsize, len(raw))
    array.__setstate__((1, shape, dtype.value, bool(fortran), raw))


def scalar(dtype, raw):
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(dtype, DType) or not isinstance(raw, bytes):
        raise UnsafePickleError("NumPy scalar with an unknown state")
    checked_shape((), dtype.value.itemsize, len(raw))
    return np.frombuffer(raw, dtype.value)[0]


def array_from_buffer(raw, dtype, shape, order):
    if not isinstance(dtype, DType) or not isinstance(raw, (bytes, bytearray)) or order not in ("C", "F"):
        raise UnsafePickleError("NumPy array with an unknown state")
    checked_shape(shape, dtype.value.itemsize, len(raw))
    return np.frombuffer(bytearray(raw), dtype.value).reshape(shape, order=order)


def latin1_bytes(text, encoding):
    """Protocol 2 has no bytes: Python 3 writes them as _codecs.encode(text, 'latin1'), and empty ones as bytes()."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError("bytes that are not written as latin1 text")
    return text.encode("latin1")


def empty_bytes():
    return b""


# NumPy 2 moved numpy.core to numpy._core; files name whichever wrote them.
NUMPY_ARRAYS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): empty_array,
    ("numpy._core.multiarray", "_reconstruct"): empty_array,
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy._core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
    ("_codecs", "encode"): latin1_bytes,
    ("__builtin__", "bytes"): empty_bytes,
}


def check_key(key):
    """A dictionary key or set member: a plain value or a small tuple of them. Hashing shared nested tuples could take
    for ever.
    """
    left = MAX_KEY
    waiting = [key]
    while waiting:
        value = waiting.pop()
        left -= 1
        if isinstance(value, tuple):
            if len(value) > left:
                raise UnsafePickleError("dictionary key is too large")
            waiting.extend(value)
        elif left < 0:
            raise UnsafePickleError("dictionary key is too large")
        elif value.__hash__ is None:
            raise UnsafePickleError(f"dictionary key of type {type(value).__name__}")
    return key


class Unpickler:
    """One reading of one pickle. Subclasses may change :meth:`find`, :meth:`new` and :meth:`build`."""

    def __init__(self, data, allowed, persistent_load=None, encoding="ASCII"):
        self.data = bytes(data)
        self.position = 0
        self.allowed = allowed
        self.persistent_load = persistent_load
        self.encoding = encoding
        self.stack = []
        self.marks = []
        self.memo = {}
        self.budget = BUDGET + 2 * len(self.data)

    # What names mean

    def find(self, module, name):
        """The object for a name in the file: what the caller listed, and nothing else."""
        try:
            value = self.allowed[module, name]
        except KeyError:
            raise UnsafePickleError(
                f"it asks for {module}.{name}, which is not on the list of names that may be read"
            ) from None
        return Callable(value, f"{module}.{name}") if callable(value) else value

    def call(self, function, args):
        if not isinstance(function, Callable):
            raise UnsafePickleError(f"it calls a value of type {type(function).__name__}")
        if not isinstance(args, tuple):
            raise UnsafePickleError(f"it calls {function.name} without a tuple of arguments")
        try:
            return function.function(*args)
        except (UnsafePickleError, MemoryError):
            raise
        except Exception as error:
            raise UnsafePickleError(f"{function.name} cannot be rebuilt: {type(error).__name__}: {error}") from error

    def new(self, cls, args):
        """cls.__new__(*args). The listed names are functions and small classes of ours, for which this is a call."""
        return self.call(cls, args)

    def build(self, instance, state):
        """Gives `instance` its state. Only for types that we know."""
        if type(instance) is np.ndarray:
            set_array_state(instance, state)
        elif type(instance) is DType:
            instance.set_state(state)
        else:
            raise UnsafePickleError(f"it sets the state of a {type(instance).__name__}")

    # Reading

    def load(self):
        try:
            while True:
                code = self.take(1)[0]
                opcode = OPCODES.get(code)
                if opcode is None and code in TEXT_OPCODES:
                    raise UnsafePickleError(
                        "it is a pickle of protocol 0 or 1, and only 2 to 5 are read: in Python, "
                        "pickle.dump(value, file, protocol=2) writes it anew"
                    )
                if opcode is None:
                    raise UnsafePickleError(f"opcode {code:#04x} is not one that data needs")
                handler, cost = opcode
                self.charge(cost)
                if handler is stop:
                    return self.check_depth(self.pop())
                handler(self)
        except (UnsafePickleError, MemoryError):
            raise
        except RecursionError:  # a message about a value that nests so deep
            raise UnsafePickleError(f"it nests deeper than {MAX_DEPTH}") from None
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, AttributeError, struct.error) as error:
            raise UnsafePickleError(
                f"the pickle is damaged at byte {self.position} of {len(self.data)}: {error}"
            ) from error

    def check_depth(self, value):
        """The value itself, if no way into it is longer than MAX_DEPTH: repr, == and copies would fail of it.

        Marks do not bound that: a list may be put into a list that is put into a list. So the way down is walked, each
        container once, deepest first; a container that holds itself ends the way.
        """
        depths = {}  # of containers, by identity; 0 while the way leads through it
        path = []  # (container, the containers in it, those of them that are still to be walked)
        waiting = [value]
        while path or waiting:
            if waiting:
                container = waiting.pop()
                if id(container) not in depths:
                    depths[id(container)] = 0
                    below = [item for item in self.inside(container) if self.inside(item)]
                    path.append((container, below, waiting))
                    waiting = list(below)
                if len(path) > MAX_DEPTH:
                    raise UnsafePickleError(f"it nests deeper than {MAX_DEPTH}")
            else:
                container, below, waiting = path.pop()
                depths[id(container)] = 1 + max((depths[id(item)] for item in below), default=0)
                if len(path) + depths[id(container)] > MAX_DEPTH:
                    raise UnsafePickleError(f"it nests deeper than {MAX_DEPTH}")
        return value

    def inside(self, value):
        """The values in a container, () of anything else."""
        if isinstance(value, dict):
            return [*value, *value.values()] if value else ()
        return value if isinstance(value, (list, tuple, set, frozenset)) else ()

    def charge(self, cost):
        self.budget -= cost
        if self.budget < 0:
            raise UnsafePickleError(f"it needs far more memory than a file of {len(self.data)} bytes justifies")

    def take(self, n):
        end = self.position + n
        if end > len(self.data):
            raise UnsafePickleError(f"it ends after {len(self.data)} bytes, in the middle of a value")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def take_sized(self, size_format):
        """A size in `size_format`, then as many bytes."""
        (n,) = struct.unpack(size_format, self.take(struct.calcsize(size_format)))
        if n < 0:
            raise UnsafePickleError(f"a value of {n} bytes")
        piece = self.take(n)
        self.charge(n)
        return piece

    def line(self):
        end = self.data.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise UnsafePickleError("a name does not end")
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece.decode("utf-8")

    # The stack. Values above the last mark may be taken, those below it only by the one who closes it.

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise UnsafePickleError(
                f"the pickle is damaged at byte {self.position}: it takes a value that is not there"
            )
        return self.stack.pop()

    def top(self):
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_mark(self):
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


# The opcodes, in the order of pickletools. A handler takes the interpreter and changes its stack.


def mark(self):
    if len(self.marks) >= MAX_DEPTH:
        raise UnsafePickleError(f"it nests deeper than {MAX_DEPTH}")
    self.marks.append(len(self.stack))


def stop(self):
    raise AssertionError("handled by load")


def protocol(self):
    if self.take(1)[0] > 5:
        raise UnsafePickleError("its protocol is newer than 5")


def frame(self):
    self.take(8)


def pop(self):
    if self.marks and len(self.stack) == self.marks[-1]:
        self.marks.pop()
    else:
        self.pop()


def duplicate(self):
    self.push(self.top())


def constant(value):
    return lambda self: self.push(value)


def number(number_format):
    size = struct.calcsize(number_format)
    return lambda self: self.push(struct.unpack(number_format, self.take(size))[0])


def long(size_format):
    return lambda self: self.push(int.from_bytes(self.take_sized(size_format), "little", signed=True))


def raw_bytes(size_format):
    return lambda self: self.push(self.take_sized(size_format))


def byte_array(self):
    self.push(bytearray(self.take_sized("<Q")))


def old_string(size_format):
    """A Python 2 str, which is bytes or text: the caller's encoding says."""

    def handler(self):
        raw = self.take_sized(size_format)
        self.push(raw if self.encoding == "bytes" else raw.decode(self.encoding))

    return handler


def text(size_format):
    def handler(self):
        raw = self.take_sized(size_format)
        if not raw.isascii():
            self.charge(3 * len(raw))  # one wide character makes all of them four bytes wide
        self.push(raw.decode("utf-8", "surrogatepass"))

    return handler


def tuple_of(n):
    def handler(self):
        items = [self.pop() for _ in range(n)]
        self.push(tuple(reversed(items)))

    return handler


def tuple_from_mark(self):
    items = self.pop_mark()
    self.charge(8 * len(items))
    self.push(tuple(items))


def append(self):
    value = self.pop()
    extend(self.top(), [value])


def appends(self):
    items = self.pop_mark()
    self.charge(9 * len(items))
    extend(self.top(), items)


def extend(target, items):
    if type(target) is not list:
        raise UnsafePickleError(f"it appends to a {type(target).__name__}")
    target.extend(items)


def set_item(self):
    value = self.pop()
    key = self.pop()
    set_items(self, self.top(), [key, value])


def set_items_from_mark(self):
    items = self.pop_mark()
    set_items(self, self.top(), items)


def set_items(self, target, items):
    if not isinstance(target, dict):
        raise UnsafePickleError(f"it sets the items of a {type(target).__name__}")
    if len(items) % 2:
        raise UnsafePickleError("a dictionary's key has no value")
    self.charge(100 * (len(items) // 2))
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[check_key(key)] = value


def add_items(self):
    items = self.pop_mark()
    target = self.top()
    if type(target) is not set:
        raise UnsafePickleError(f"it adds items to a {type(target).__name__}")
    self.charge(64 * len(items))
    for item in items:
        target.add(check_key(item))


def frozen_set(self):
    items = self.pop_mark()
    self.charge(64 * len(items))
    self.push(frozenset([check_key(item) for item in items]))


def put(index_format):
    def handler(self):
        (index,) = struct.unpack(index_format, self.take(struct.calcsize(index_format)))
        self.memo[index] = self.top()

    return handler


def get(index_format):
    def handler(self):
        (index,) = struct.unpack(index_format, self.take(struct.calcsize(index_format)))
        if index not in self.memo:
            raise UnsafePickleError(f"it uses value {index} before it was stored")
        self.push(self.memo[index])

    return handler


def memoize(self):
    self.memo[len(self.memo)] = self.top()


def global_name(self):
    module = self.line()
    self.push(self.find(module, self.line()))


def stack_global(self):
    name = self.pop()
    module = self.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise UnsafePickleError("a name is not text")
    self.push(self.find(module, name))


def reduce(self):
    args = self.pop()
    self.push(self.call(self.pop(), args))


def new_object(self):
    args = self.pop()
    self.push(self.new(self.pop(), args))


def build(self):
    state = self.pop()
    self.build(self.top(), state)


def persistent(self):
    if self.persistent_load is None:
        raise UnsafePickleError("it refers to data outside the file")
    self.push(self.persistent_load(self.pop()))


# code: (handler, bytes of memory that one such value may cost). Growth of containers is charged where it happens.
OPCODES = {
    pickle.PROTO[0]: (protocol, 0),
    pickle.FRAME[0]: (frame, 0),
    pickle.STOP[0]: (stop, 0),
    pickle.MARK[0]: (mark, 40),
    pickle.POP[0]: (pop, 0),
    pickle.POP_MARK[0]: (Unpickler.pop_mark, 0),
    pickle.DUP[0]: (duplicate, 9),
    pickle.NONE[0]: (constant(None), 9),
    pickle.NEWTRUE[0]: (constant(True), 9),
    pickle.NEWFALSE[0]: (constant(False), 9),
    pickle.BININT[0]: (number("<i"), 41),
    pickle.BININT1[0]: (number("<B"), 9),
    pickle.BININT2[0]: (number("<H"), 41),
    pickle.LONG1[0]: (long("<B"), 41),
    pickle.LONG4[0]: (long("<i"), 41),
    pickle.BINFLOAT[0]: (number(">d"), 33),
    pickle.BINSTRING[0]: (old_string("<i"), 66),
    pickle.SHORT_BINSTRING[0]: (old_string("<B"), 66),
    pickle.BINBYTES[0]: (raw_bytes("<I"), 42),
    pickle.SHORT_BINBYTES[0]: (raw_bytes("<B"), 42),
    pickle.BINBYTES8[0]: (raw_bytes("<Q"), 42),
    pickle.BYTEARRAY8[0]: (byte_array, 66),
    pickle.BINUNICODE[0]: (text("<I"), 82),
    pickle.SHORT_BINUNICODE[0]: (text("<B"), 82),
    pickle.BINUNICODE8[0]: (text("<Q"), 82),
    pickle.EMPTY_TUPLE[0]: (constant(()), 9),
    pickle.TUPLE1[0]: (tuple_of(1), 57),
    pickle.TUPLE2[0]: (tuple_of(2), 65),
    pickle.TUPLE3[0]: (tuple_of(3), 73),
    pickle.TUPLE[0]: (tuple_from_mark, 49),
    pickle.EMPTY_LIST[0]: (lambda self: self.push([]), 97),
    pickle.APPEND[0]: (append, 9),
    pickle.APPENDS[0]: (appends, 0),
    pickle.EMPTY_DICT[0]: (lambda self: self.push({}), 250),
    pickle.SETITEM[0]: (set_item, 0),
    pickle.SETITEMS[0]: (set_items_from_mark, 0),
    pickle.EMPTY_SET[0]: (lambda self: self.push(set()), 230),
    pickle.ADDITEMS[0]: (add_items, 0),
    pickle.FROZENSET[0]: (frozen_set, 230),
    pickle.BINPUT[0]: (put("<B"), 80),
    pickle.LONG_BINPUT[0]: (put("<I"), 110),
    pickle.MEMOIZE[0]: (memoize, 110),
    pickle.BINGET[0]: (get("<B"), 9),
    pickle.LONG_BINGET[0]: (get("<I"), 9),
    pickle.GLOBAL[0]: (global_name, 200),
    pickle.STACK_GLOBAL[0]: (stack_global, 200),
    pickle.REDUCE[0]: (reduce, 400),
    pickle.NEWOBJ[0]: (new_object, 400),
    pickle.BUILD[0]: (build, 0),
    pickle.BINPERSID[0]: (persistent, 100),
}
TEXT_OPCODES = b"IFLSVdlpgiP"  # of protocols 0 and 1


def load_pickle(data, allowed, persistent_load=None, encoding="ASCII"):
    """The value in a pickle. Only names in `allowed` mean anything; nothing else is imported, looked up or called.

    Args:
        data: bytes, or a file that gives bytes.
        allowed: {(module, name): object}. A callable may be called by the file with arguments of the file's choice, so
        list only
            functions that check theirs; anything else is used as a value.
        persistent_load: called with the ids of data outside the pickle.
        encoding: of strings that Python 2 wrote; ``"bytes"`` leaves them as bytes.

    Raises:
        UnsafePickleError: for anything that is not listed, or damaged. Nothing else, whatever the bytes are, save
        MemoryError.
    """
    if hasattr(data, "read"):
        data = data.read()
    return Unpickler(data, allowed, persistent_load, encoding).load()
