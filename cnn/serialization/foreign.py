"""What a file is that is no checkpoint, as far as its first bytes tell, and what would read it."""

import re

from .stored_zip import CENTRAL

__all__ = ["foreign_format"]

#   what a file begins with, and the line for it
BEGINNINGS = [
    (b"\x1f\x8b", "it is compressed with gzip: unpack it with gunzip, or pass gzip.open(path) in place of the path"),
    (b"BZh", "it is compressed with bzip2: unpack it with bunzip2, or pass bz2.open(path) in place of the path"),
    (b"\xfd7zXZ", "it is compressed with xz: unpack it with unxz, or pass lzma.open(path) in place of the path"),
    (b"(\xb5/\xfd", "it is compressed with zstd: unpack it with unzstd"),
    (b"\x93NUMPY", "it is an array of NumPy's (.npy): cnn.from_numpy(numpy.load(path)) reads it"),
    (b"\x89HDF", "it is an HDF5 file, such as Keras writes: the package h5py reads it"),
    (b"version https://git-lfs", "it is a Git LFS pointer to the file, not the file: git lfs pull brings it"),
    (b"MATLAB 5.0", "it is a MATLAB file (.mat): scipy.io.loadmat reads it"),
]
LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of torch's format from before version 1.6
PICKLE = (
    "it is a plain pickle, not a checkpoint: pickle.load reads it, but runs what is in it, so only where you trust its "
    "origin; what cnn.save writes, cnn.load reads"
)
# Pickles of protocol 0 and 1 have no mark of their own: a container that is remembered, or a class's two names.
TEXT_PICKLE = re.compile(rb"\([dl]p\d+\n|[\]}]q|c[\w.]+\n[\w.]+\n[pq()]")


def foreign_format(file, start):
    """The line for the file that stands at `start`, or None where nothing is known of it."""
    file.seek(start)
    head = file.read(512)
    if not head:
        return "it is empty" if not start else "the file stands at its end: seek(0) before reading what was just saved"
    if head[:2] == b"PK":
        return _foreign_zip(file, start)
    for beginning, line in BEGINNINGS:
        if head.startswith(beginning):
            return line
    if head[2:].startswith(LEGACY_MAGIC):
        return "it is in torch's format from before version 1.6: load it with torch and save it again"
    if head[8:9] == b"{":
        return "it looks like a safetensors file: cnn.serialization.load_file reads it"
    if head[257:262] == b"ustar":
        return "it is a tar archive: unpack it and load what is in it"
    if head[:1] == b"\x80" or TEXT_PICKLE.match(head):
        return PICKLE
    return f"it is no checkpoint: it begins with {head[:9]!r}"


def _foreign_zip(file, start):
    """A zip archive of another kind, told by its members' names."""
    members = list(_members(file, start))
    names = [name for name, _ in members]
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves:
        return "it is a TorchScript archive (torch.jit.save), which is not supported: save a state_dict with torch.save"
    if names and all(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy's (.npz): numpy.load reads it, and cnn.from_numpy makes tensors of its arrays"
    inside = [name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".bin"))]
    if inside:
        return f"it is a zip archive around {inside[0][:100]!r}: unpack it first"
    if "data.pkl" in leaves:
        if any(method for _, method in members):
            return "its members are compressed: it was unpacked and zipped again; zip -0 -r keeps them as torch does"
        return None
    return "it has no data.pkl: it is a zip archive, but no checkpoint" if names else None


def _members(file, start):
    """(name, method of compression) of what a directory at the end of the file seems to list; nothing is checked."""
    end = file.seek(0, 2)
    file.seek(max(start, end - (1 << 20)))
    tail = file.read()
    for entry in re.finditer(b"PK\1\2", tail):
        fields = tail[entry.start() : entry.start() + CENTRAL.size]
        if len(fields) == CENTRAL.size:
            _, _, _, _, method, _, _, _, _, _, length, *_ = CENTRAL.unpack(fields)
            name = tail[entry.start() + CENTRAL.size :][:length]
            yield name.decode("utf-8", "replace"), method
