"""MATLAB 5 files (.mat), read and written with little memory, and read without trusting what is in them.

    contents = load('training.mat')      # {'img': array, 'cls': array}

A data set of images is one file: `img`, N x 3072 float32 with pixels from 0 to 255 (red, green, blue, each row by row),
`cls`, N labels as float32, and `name`, whose data it is. SciPy and MATLAB read it as well.

scipy.io.loadmat reads a file whole (50,000 images kept as float32 are 614 MB), and a damaged header can end the process
inside it. Uncompressed files, as SciPy writes them, are mapped here instead, and every size in them is checked first.
Compressed ones, as MATLAB writes them, are read by SciPy once they have been seen to unpack without an error.

Layout ("MAT-File Format", The MathWorks): 128 bytes of header, then elements. An element is a tag (type, bytes) and its
data, padded to 8 bytes; one of up to 4 bytes has its data inside the tag. A matrix is an element that holds more of
them: flags, dimensions, name, values.
"""

import math
import os
import shutil
import struct
import zlib
from typing import NamedTuple

import numpy as np

from cnn.errors import InputError, one_line

__all__ = ["load", "name_in", "read", "read_images", "write_images"]

_INT8, _INT32, _UINT32, _SINGLE, _MATRIX, _COMPRESSED = 1, 5, 6, 7, 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_TEXTS = {1: "utf-8", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_TEXT_CLASS, _FIRST_NUMBER_CLASS, _SINGLE_CLASS, _LAST_NUMBER_CLASS = 4, 6, 7, 15
_COMPLEX = 0x08


def read(path):
    """`load` for a user's file.

    Raises:
        InputError: there is no such file, or it is not a MATLAB 5 file or a damaged one; the text names it.

    Example:
        mean = matfile.read("image_stats.mat")["mean"]
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    try:
        return load(path)
    except ValueError as problem:
        raise InputError(
            f"{path}: expected a MATLAB 5 file, got another or a damaged one: {one_line(problem)}"
        ) from None


def read_images(path):
    """The data set in a .mat file.

    Args:
        path: a file with `img` and `cls`, of any types of numbers; `write_images` writes such.

    Returns:
        images (N, 3, 32, 32), labels int64 (N, 1), name. Images are uint8 where all pixels are whole numbers
        (CIFAR-10's are), else float32; from 0 to 255 in both cases. A file without a name has that of the file.

    Raises:
        InputError: what is in the file is no data set; the text names the file and what was expected.

    Example:
        images, labels, name = matfile.read_images("training.mat")
    """
    path = os.fspath(path)
    contents = read(path)
    for key in ("img", "cls"):
        if key not in contents:
            raise InputError(f"{path}: expected the arrays 'img' and 'cls', got no '{key}'")
    img, labels = contents["img"], contents["cls"].reshape(-1, 1)
    if img.ndim != 2 or img.shape[1] != 3072 or img.dtype.kind not in "uif":
        raise InputError(f"{path}: expected 'img' as N x 3072 numbers, got {img.shape} of {img.dtype}")
    if len(labels) != len(img) or labels.dtype.kind not in "uif" or not (labels == np.floor(labels)).all():
        got = f"{labels.size} of {labels.dtype}"
        raise InputError(f"{path}: expected one whole number in 'cls' for each of the {len(img)} images, got {got}")
    pixels = _pixels(img, path)
    return pixels.reshape(-1, 3, 32, 32), labels.astype(np.int64), name_in(contents, os.path.basename(path))


def _pixels(img, path):
    """img as bytes, or as float32 where a pixel is not whole. MATLAB keeps columns together: column by column, no more
    than one column is ever in memory as floats."""
    images = np.empty(img.shape, np.uint8)
    for column in range(img.shape[1]):
        pixels = img[:, column]
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):
            got = f"{pixels.min():g} to {pixels.max():g}"
            raise InputError(f"{path}: expected pixels from 0 to 255 in 'img', got {got}")
        if images.dtype == np.uint8 and not (pixels == np.floor(pixels)).all():
            images = images.astype(np.float32)
        images[:, column] = pixels
    if images.dtype == np.float32 and images.max() <= 1:
        got = f"{images.min():g} to {images.max():g}"
        raise InputError(f"{path}: expected pixels from 0 to 255 in 'img', got {got}; do not divide them by 255")
    return images


def name_in(contents, default):
    """The name of the data set, which `write_images` notes in a file; `default` where a student's file has none."""
    return str(contents["name"].ravel()[0]) if "name" in contents and contents["name"].size else default


def write_images(path, pixels, labels, name):
    """Write a data set; the file has its name only when it is whole.

    Args:
        path: of the file to write.
        pixels: (N, 3, 32, 32), uint8.
        labels: N class indices.
        name: whose data it is.

    Raises:
        InputError: the disk has too little room for it.
        OSError: the file cannot be written.

    Example:
        matfile.write_images("testing.mat", pixels, labels, "CIFAR-10")
    """
    import scipy.io

    from cnn.serialization.atomic import atomic_write

    needed = pixels.size * 4 + (1 << 20)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    if free < needed:
        raise InputError(f"{path}: needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there")
    with atomic_write(path) as file:
        scipy.io.savemat(file, {"cls": np.array(labels, np.float32), "name": name})
        _append_matrix(file, "img", pixels.reshape(len(pixels), -1))


def _append_matrix(file, name, rows):
    """Append the bytes `rows` (N, a multiple of 2) to a MATLAB 5 file as a matrix of float32.

    SciPy would hold two float copies of 50,000 images for that, 1.2 GB; this converts a few columns at a time.
    """
    size = rows.size * 4
    flags = struct.pack("<IIII", _UINT32, 8, _SINGLE_CLASS, 0)
    shape = struct.pack("<IIii", _INT32, 8, *rows.shape)
    title = struct.pack("<HH4s", _INT8, len(name), name.encode())  # up to 4 bytes stand inside the tag
    file.write(struct.pack("<II", _MATRIX, len(flags) + len(shape) + len(title) + 8 + size) + flags + shape + title)
    file.write(struct.pack("<II", _SINGLE, size))
    for start in range(0, rows.shape[1], 64):
        file.write(np.ascontiguousarray(rows[:, start : start + 64].T, np.float32))  # MATLAB keeps columns together


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
