"""MATLAB 5 files (.mat), read with little memory and without trusting what is in them.

    contents = load('training.mat')      # {'img': array, 'cls': array}

scipy.io.loadmat reads a file whole (50,000 images kept as float32 are 614 MB), and a damaged header can end the process
inside it. Uncompressed files, as SciPy writes them, are mapped here instead, and every size in them is checked first.
Compressed ones, as MATLAB writes them, are read by SciPy once they have been seen to unpack without an error.

Layout ("MAT-File Format", The MathWorks): 128 bytes of header, then elements. An element is a tag (type, bytes) and its
data, padded to 8 bytes; one of up to 4 bytes has its data inside the tag. A matrix is an element that holds more of
them: flags, dimensions, name, values.
"""

import math
import os
import zlib
from typing import NamedTuple

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_TEXTS = {1: "utf-8", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_TEXT_CLASS, _FIRST_NUMBER_CLASS, _LAST_NUMBER_CLASS = 4, 6, 15
_COMPLEX = 0x08


class _Element(NamedTuple):
    kind: int
    begin: int  # of its data
    end: int
    next: int  # where the next element begins


def load(path):
    """The real matrices of numbers and the texts in a MATLAB 5 file: {name: array}; what else is in it is left out.

    Matrices are memory maps where the file is not compressed. A text is an array with one str, as SciPy gives it.
    Raises ValueError where the file is not one or is damaged, OSError where it cannot be read.
    """
    if os.path.getsize(path) < 128:
        raise ValueError("it is shorter than the header of a MATLAB 5 file")
    data = np.memmap(path, np.uint8, "r")
    if bytes(data[:10]) != b"MATLAB 5.0" or bytes(data[124:128]) != b"\x00\x01IM":
        raise ValueError("it does not begin as a (little-endian) MATLAB 5 file")
    contents, compressed, at = {}, False, 128
    while at < len(data):
        element = _element(data, at, len(data))
        if element.kind == _COMPRESSED:
            _check_that_it_unpacks(data, element)
            compressed = True
        elif element.kind == _MATRIX:
            name, array = _matrix(data, element)
            if array is not None:
                contents[name] = array
        else:
            raise ValueError(f"the element at byte {at} is of unknown type {element.kind}")
        at = element.next
    if compressed:
        return _unpacked(path)
    return contents


def _unpacked(path):
    import scipy.io

    try:
        return {name: array for name, array in scipy.io.loadmat(path).items() if not name.startswith("__")}
    except Exception as problem:  # SciPy's are of many kinds
        raise ValueError(f"SciPy cannot read it ({problem})") from None


def _element(data, at, end):
    """The element whose tag is at this byte of data; it must end by `end`."""
    if at + 8 > end:
        raise ValueError(f"the element at byte {at} is cut off")
    kind, size = data[at : at + 8].view("<u4").tolist()
    if kind >> 16:
        element = _Element(kind & 0xFFFF, at + 4, at + 4 + (kind >> 16), at + 8)
        limit = at + 8
    else:
        padded = size if kind == _COMPRESSED else -(-size // 8) * 8
        element = _Element(kind, at + 8, at + 8 + size, at + 8 + padded)
        limit = end
    if element.end > limit:
        raise ValueError(f"the element at byte {at} is longer than what holds it")
    return element


def _matrix(data, element):
    """Name and array of a matrix; None for what is neither text nor real numbers (structures, cells, complex)."""
    flags = _element(data, element.begin, element.end)
    dims = _element(data, flags.next, element.end)
    label = _element(data, dims.next, element.end)
    array_class, bits = data[flags.begin : flags.begin + 2].tolist()
    shape = data[dims.begin : dims.end].view("<i4").tolist()
    name = bytes(data[label.begin : label.end]).decode("latin-1")
    if array_class == _TEXT_CLASS or (_FIRST_NUMBER_CLASS <= array_class <= _LAST_NUMBER_CLASS and not bits & _COMPLEX):
        values = _element(data, label.next, element.end)
        raw = data[values.begin : values.end]
        if array_class == _TEXT_CLASS and values.kind in _TEXTS:
            return name, np.array([bytes(raw).decode(_TEXTS[values.kind])])
        if values.kind in _NUMBERS:
            dtype = np.dtype(_NUMBERS[values.kind])
            if len(shape) < 2 or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
                raise ValueError(f"'{name}' has {len(raw)} bytes of {dtype}, which is not what its shape {shape} needs")
            return name, raw.view(dtype).reshape(shape, order="F")
    return name, None


def _check_that_it_unpacks(data, element, step=1 << 20):
    """Unpack a compressed element piece by piece, keeping nothing: zlib checks its sum at the end."""
    unpack = zlib.decompressobj()
    try:
        for begin in range(element.begin, element.end, step):
            piece = data[begin : min(begin + step, element.end)]
            while len(piece):
                unpack.decompress(piece, step)
                piece = unpack.unconsumed_tail
    except zlib.error as problem:
        raise ValueError(f"its compressed data is damaged ({problem})") from None
    if not unpack.eof:
        raise ValueError("its compressed data ends too early")
