"""Small and crafted copies of CIFAR-10 for the tests, and where a real one may lie."""

import gzip
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FILES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def real_copy():
    """A folder with the real CIFAR-10, or None: $CNN_DATA_DIR, or shared/cifar10 beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "cifar10"
    for folder in (os.environ.get("CNN_DATA_DIR"), beside):
        if folder and (Path(folder) / "cifar-10-python.tar.gz").is_file():
            return Path(folder)
    return None


REAL = real_copy()
needs_real_copy = pytest.mark.skipif(
    REAL is None, reason="no CIFAR-10 here (CNN_DATA_DIR): the real archive is NOT read"
)


def images(n, seed):
    """n random images as rows, and their labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, 10, n).tolist()


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is what the public archive holds."""

    def save_bytes(self, value):
        short = len(value) < 256
        size = struct.pack("<B" if short else "<i", len(value))
        self.write((pickle.SHORT_BINSTRING if short else pickle.BINSTRING) + size + value)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}


def python2_pickle(value):
    out = io.BytesIO()
    Python2Pickler(out, protocol=2).dump(value)
    return out.getvalue()


def batch(n, seed, **changes):
    """One file of the Python form."""
    pixels, labels = images(n, seed)
    entry = {b"batch_label": b"a batch", b"labels": labels, b"data": pixels, b"filenames": [b"x.png"] * n}
    return python2_pickle({**entry, **{key.encode(): value for key, value in changes.items()}})


def python_files(n=4):
    """{name: content} of a small copy in the Python form; file k has the images of seed k."""
    files = {name: batch(n, k) for k, name in enumerate(FILES)}
    meta = {b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
    return {"batches.meta": python2_pickle(meta), **files}


def binary_files(n=4):
    """The same images in the binary form."""
    files = {"batches.meta.txt": "\n".join(NAMES).encode()}
    for k, name in enumerate(FILES):
        pixels, labels = images(n, k)
        files[name + ".bin"] = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1).tobytes()
    return files


def expected(train, n=4):
    """(pixels (N, 3, 32, 32), labels) of the small copies."""
    halves = [images(n, k) for k in (range(5) if train else [5])]
    return np.concatenate([pixels for pixels, _ in halves]).reshape(-1, 3, 32, 32), sum(
        (labels for _, labels in halves), []
    )


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write_archive(path, files, prefix="cifar-10-batches-py/", change=None, order=None):
    """A tar.gz of the files; `change(name, TarInfo)` may turn a member into something else."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        folder = tarfile.TarInfo(prefix.rstrip("/") or ".")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in order or files:
            member = tarfile.TarInfo(prefix + name)
            member.size = len(files[name])
            if change:
                change(name, member)
            tar.addfile(member, io.BytesIO(files[name]) if member.isreg() else None)
    path.write_bytes(gzip.compress(raw.getvalue(), 1))
    return path
