"""Reading CIFAR-10 and CIFAR-100 in every published form, and refusing what only looks like them."""

import gzip
import hashlib
import io
import os
import pickle
import random
import tarfile
import warnings

import cifar_copies as copies
import numpy as np
import pytest
from faulty_server import FaultySite

from cnn.vision import datasets
from cnn.vision.datasets import cifar_files
from cnn.vision.datasets.cifar_files import CIFAR10, CIFAR100, DatasetError
from cnn.vision.datasets.download import DownloadError, RemoteFile, checksum

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("CNN_DATA_DIR", raising=False)
    monkeypatch.delenv("CNN_CIFAR10_URL", raising=False)


def read(root, train, layouts=CIFAR10):
    lines = []
    images = cifar_files.read(cifar_files.find(layouts, root), train, lines.append)
    return images, lines


def check(root, n=4):
    for train in (True, False):
        images, lines = read(root, train)
        pixels, labels = copies.expected(train, n)
        np.testing.assert_array_equal(images.pixels, pixels)
        assert images.labels == labels
        assert images.classes == copies.NAMES
        assert len(lines) == len(set(lines)) <= 2
        assert all("\n" not in line for line in lines)
        assert f"holds {len(labels)} {'training' if train else 'test'} images" in lines[-1]
    return lines


FORMS = {
    "python": (copies.python_files, "cifar-10-batches-py"),
    "binary": (copies.binary_files, "cifar-10-batches-bin"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder(tmp_path, form, inside):
    files, folder = FORMS[form]
    copies.write_folder(tmp_path / folder, files())
    assert len(check(tmp_path / folder if inside else tmp_path)) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", ["usual", "./", "", "a/b/"])
def test_an_archive_is_read_without_unpacking_it(tmp_path, form, prefix):
    files, folder = FORMS[form]
    prefix = folder + "/" if prefix == "usual" else prefix
    path = copies.write_archive(tmp_path / f"cifar-10-{form}.tar.gz", files(), prefix)
    lines = check(tmp_path)
    assert "not the public archive" in lines[0]
    assert os.listdir(tmp_path) == [path.name]
    check(path)  # named itself


def test_members_in_another_order(tmp_path):
    files = copies.python_files()
    copies.write_archive(tmp_path / "cifar-10-python.tar.gz", files, order=sorted(files, reverse=True))
    check(tmp_path)


def test_files_of_different_lengths(tmp_path):
    files = copies.python_files() | {"data_batch_2": copies.batch(9, 7), "data_batch_4": copies.batch(1, 8)}
    copies.write_folder(tmp_path, files)
    images, _ = read(tmp_path, True)
    parts = [copies.images(n, seed) for n, seed in ((4, 0), (9, 7), (4, 2), (1, 8), (4, 4))]
    np.testing.assert_array_equal(images.pixels.reshape(-1, 3072), np.concatenate([pixels for pixels, _ in parts]))
    assert images.labels == sum((labels for _, labels in parts), [])


def test_a_folder_without_the_names_of_the_classes(tmp_path):
    files = copies.python_files()
    del files["batches.meta"]
    copies.write_folder(tmp_path, files)
    check(tmp_path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_other_versions_with_text_as_keys(tmp_path, protocol):
    pixels, labels = copies.images(4, 0)
    entry = pickle.dumps({"data": np.asfortranarray(pixels), "labels": np.array(labels)}, protocol=protocol)
    copies.write_folder(tmp_path, copies.python_files() | {"data_batch_1": entry})
    check(tmp_path)


def test_the_folder_named_by_the_environment(tmp_path, monkeypatch):
    copies.write_folder(tmp_path / "there", copies.python_files())
    assert cifar_files.find(CIFAR10, tmp_path / "here") is None
    monkeypatch.setenv("CNN_DATA_DIR", str(tmp_path / "there"))
    assert cifar_files.find(CIFAR10, tmp_path / "here").path == tmp_path / "there"
    assert cifar_files.find(CIFAR10, None).path == tmp_path / "there"


def test_cifar_100(tmp_path):
    pixels, labels = copies.images(5, 0)
    files = {
        "train": copies.batch(5, 0, **{"fine_labels": [90] * 5}),
        "test": copies.batch(2, 1, **{"fine_labels": [99, 0]}),
        "meta": pickle.dumps({b"fine_label_names": [b"n%d" % k for k in range(100)]}, protocol=2),
    }
    copies.write_archive(tmp_path / "cifar-100-python.tar.gz", files, "cifar-100-python/")
    images, _ = read(tmp_path, True, CIFAR100)
    np.testing.assert_array_equal(images.pixels.reshape(5, -1), pixels)
    assert images.labels == [90] * 5
    assert images.classes[90] == "n90"
    assert read(tmp_path, False, CIFAR100)[0].labels == [99, 0]


@copies.needs_real_copy
def test_the_real_archive():
    source = cifar_files.find(CIFAR10, copies.REAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = cifar_files.read(source, train=False)
    with tarfile.open(source.path) as tar:
        entry = pickle.load(tar.extractfile("cifar-10-batches-py/test_batch"), encoding="bytes")
    np.testing.assert_array_equal(images.pixels.reshape(-1, 3072), entry[b"data"])
    assert images.labels == entry[b"labels"]


# ---- refused --------------------------------------------------------------------------------------------------------


def link(kind, target="/etc/passwd"):
    def change(name, member):
        if name == "test_batch":
            member.type, member.linkname, member.size = kind, target, 0

    return change


def sparse_member(name, member):
    if name == "test_batch":
        member.type = tarfile.GNUTYPE_SPARSE


def twice(path):
    files = copies.python_files()
    return copies.write_archive(path, files, order=[*files, "test_batch"])


def of_files(change=None, **replaced):
    def write(path):
        files = copies.python_files() | replaced
        return copies.write_archive(
            path, {name: content for name, content in files.items() if content is not None}, change=change
        )

    return write


def cut(share, where=0):
    def write(path):
        whole = of_files()(path).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        return path

    return write


def flipped(path):
    """Bytes changed in the middle of the compressed data: gzip's checksum finds it."""
    whole = bytearray(
        gzip.compress(gzip.decompress(of_files()(path).read_bytes()), 0)
    )  # stored, so that any byte may change
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    return path


class Evil:
    def __reduce__(self):
        return (os.system, ("echo this must never run",))


REFUSED = {
    "symbolic link": (of_files(link(tarfile.SYMTYPE)), "is not a plain file"),
    "hard link": (of_files(link(tarfile.LNKTYPE, "cifar-10-batches-py/data_batch_1")), "is not a plain file"),
    "fifo": (of_files(link(tarfile.FIFOTYPE)), "is not a plain file"),
    "device": (of_files(link(tarfile.CHRTYPE)), "is not a plain file"),
    "directory": (of_files(link(tarfile.DIRTYPE)), "is not a plain file"),
    "sparse": (of_files(sparse_member), "is not a plain file"),
    "twice": (twice, "is in it twice"),
    "missing": (of_files(test_batch=None), "test_batch not found"),
    "empty member": (of_files(test_batch=b""), "has 0 bytes"),
    "cut in the middle": (cut(0.5), "not a whole tar.gz archive"),
    "cut at the end": (cut(0.9999), "not a whole tar.gz archive"),
    "changed byte": (flipped, "not a whole tar.gz archive"),
    "no gzip": (lambda path: path.write_bytes(b"<!doctype html>" * 100) and path, "not a whole tar.gz archive"),
    "empty file": (lambda path: path.write_bytes(b"") or path, "not a whole tar.gz archive (empty file)"),
    "gzip of nothing": (lambda path: path.write_bytes(gzip.compress(b"")) and path, "not"),
    "no pickle": (of_files(test_batch=b"hello" * 100), "not a file of this data set"),
    "cut pickle": (of_files(test_batch=copies.batch(4, 5)[:-100]), "not a file of this data set"),
    "evil pickle": (of_files(test_batch=pickle.dumps({b"data": Evil()}, 2)), "not on the list of names"),
    "evil meta": (of_files(**{"batches.meta": pickle.dumps(Evil(), 2)}), "not on the list of names"),
    "no dict": (of_files(test_batch=pickle.dumps([1, 2], 2)), "'data' is NoneType"),
    "no data": (of_files(test_batch=pickle.dumps({b"labels": [1]}, 2)), "'data' is NoneType"),
    "float pixels": (of_files(test_batch=copies.batch(4, 5, data=np.zeros((4, 3072)))), "'data' is float64 (4, 3072)"),
    "grey pixels": (
        of_files(test_batch=copies.batch(4, 5, data=np.zeros((4, 1024), np.uint8))),
        "expected uint8 (N, 3072)",
    ),
    "too few labels": (of_files(test_batch=copies.batch(4, 5, labels=[1, 2])), "4 images, but 2 labels"),
    "label 10": (of_files(test_batch=copies.batch(4, 5, labels=[0, 1, 2, 10])), "labels from 0 to 10, expected 0 to 9"),
    "label -1": (of_files(test_batch=copies.batch(4, 5, labels=[0, 1, 2, -1])), "labels from -1 to 2"),
    "label 2.5": (of_files(test_batch=copies.batch(4, 5, labels=[0, 1, 2, 2.5])), "'labels' is not a list of integers"),
    "no labels": (of_files(test_batch=copies.batch(4, 5, labels=None)), "'labels' is not a list of integers"),
    "nine classes": (
        of_files(**{"batches.meta": pickle.dumps({b"label_names": [b"x"] * 9}, 2)}),
        "names of 10 classes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_crafted_archives_are_refused(tmp_path, case):
    write, words = REFUSED[case]
    path = write(tmp_path / "cifar-10-python.tar.gz")
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, train=False)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == [path.name]


def test_a_member_larger_than_any_honest_one(tmp_path):
    copies.write_archive(tmp_path / "cifar-10-python.tar.gz", copies.python_files() | {"test_batch": bytes(34_000_001)})
    with pytest.raises(DatasetError, match="has 34,000,001 bytes, expected at most 33,"):
        read(tmp_path, train=False)


def test_an_archive_that_unpacks_to_far_too_much(tmp_path):
    """A bomb: 400 MB of zeros in another member, before the ones that are read."""
    member = tarfile.TarInfo("zeros")
    member.size = 400 << 20
    with gzip.open(tmp_path / "cifar-10-python.tar.gz", "wb", 1) as out:
        out.write(member.tobuf())
        for _ in range(400):
            out.write(bytes(1 << 20))
    with pytest.raises(DatasetError, match="unpacks to far more"):
        read(tmp_path, train=False)


def test_binary_files_of_a_wrong_length(tmp_path):
    files = copies.binary_files() | {"test_batch.bin": bytes(3072)}
    copies.write_folder(tmp_path, files)
    with pytest.raises(DatasetError, match="3,072 bytes, expected a multiple of 3073"):
        read(tmp_path, train=False)


def test_an_unpacked_file_that_is_far_too_large(tmp_path):
    copies.write_folder(tmp_path, copies.python_files())
    with open(tmp_path / "test_batch", "r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(DatasetError, match="1,099,511,627,776 bytes, expected at most"):
        read(tmp_path, train=False)


def test_damaged_archives_never_end_in_anything_else(tmp_path):
    """Bytes changed at random, in the tar and in the gzip around it: an error, or the same images."""
    rng = random.Random(0)
    path = of_files()(tmp_path / "cifar-10-python.tar.gz")
    packed = path.read_bytes()
    tar = gzip.decompress(packed)
    refused = 0
    for k in range(int(400 * TIMES)):
        data = bytearray(tar if k % 4 else packed)
        for _ in range(rng.choice([1, 3, 30])):
            # Headers are the interesting part of a tar: every member begins with one.
            place = rng.randrange(len(data)) if k % 2 else rng.randrange(0, len(data), 512) + rng.randrange(160)
            data[min(place, len(data) - 1)] = rng.choice([0, 255, 48, 55, 120, rng.randrange(256)])
        path.write_bytes(gzip.compress(bytes(data), 0) if k % 4 else data)
        try:
            images, _ = read(tmp_path, train=False)
            assert images.pixels.dtype == np.uint8
        except DatasetError:
            refused += 1
    assert refused > 50 * TIMES
    assert os.listdir(tmp_path) == [path.name]


# ---- not there, and downloading -------------------------------------------------------------------------------------


def test_missing_says_how_to_bring_it(tmp_path):
    message = str(cifar_files.missing(CIFAR10, tmp_path))
    for part in (str(tmp_path), "cifar-10-python.tar.gz", "170,498,071 bytes", "download=True", "CNN_DATA_DIR"):
        assert part in message
    assert "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce" in message


@pytest.mark.parametrize("form", FORMS)
def test_download_from_the_address_in_the_environment(tmp_path, monkeypatch, form):
    files, folder = FORMS[form]
    path = copies.write_archive(tmp_path / "served", files(), folder + "/")
    site = FaultySite(path.read_bytes())
    url = site.url(f"/cifar-10-{form}.tar.gz")
    monkeypatch.setenv("CNN_CIFAR10_URL", f"{url}#sha256={checksum(path)}")
    source = cifar_files.fetch(CIFAR10, tmp_path / "data", say=lambda line: None)
    assert source.path == tmp_path / "data" / f"cifar-10-{form}.tar.gz"
    assert cifar_files.fetch(CIFAR10, tmp_path / "data", say=lambda line: None) == source
    assert len(site.requests) == 1
    check(tmp_path / "data")
    site.close()


def test_another_archive_than_the_public_one_needs_its_checksum(tmp_path, monkeypatch):
    path = of_files()(tmp_path / "served")
    site = FaultySite(path.read_bytes())
    monkeypatch.setenv("CNN_CIFAR10_URL", site.url("/cifar-10-python.tar.gz"))
    with pytest.raises(DownloadError) as caught:
        cifar_files.fetch(CIFAR10, tmp_path / "data", say=lambda line: None)
    assert "expected 170,498,071" in str(caught.value)
    assert "#sha256=" in str(caught.value)
    assert not (tmp_path / "data" / "cifar-10-python.tar.gz").exists()
    site.close()


def test_the_public_archives_are_told_apart_by_size_then_checksum(tmp_path, monkeypatch):
    path = of_files()(tmp_path / "cifar-10-python.tar.gz")
    content = path.read_bytes()
    public = cifar_files.CIFAR10_PYTHON.archive
    for known, said in ((hashlib.sha256(content).hexdigest(), 1), ("0" * 64, 2)):
        archive = RemoteFile(public.name, public.urls, "sha256:" + known, len(content), public.magic)
        layout = cifar_files.Layout(**{**cifar_files.CIFAR10_PYTHON.__dict__, "archive": archive})
        lines = []
        cifar_files.read(cifar_files.Source(layout, path), False, lines.append)
        assert len(lines) == said
        if said == 2:
            assert "sha256 is not the public archive's" in lines[0]


def test_a_copy_that_is_unusual_warns_once(tmp_path):
    copies.write_folder(tmp_path, copies.python_files())
    source = cifar_files.find(CIFAR10, tmp_path)
    with pytest.warns(UserWarning, match="holds 4 test images"):
        cifar_files.read(source, train=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cifar_files.read(source, train=False)


def test_nothing_is_read_past_the_cap():
    stream = cifar_files._Capped(io.BytesIO(bytes(100)), 10)
    assert len(stream.read(10)) == 10
    with pytest.raises(tarfile.ReadError):
        stream.read(1)


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_batch_in_an_old_pickle_protocol_says_what_it_is(tmp_path, protocol):
    batch = {"data": np.zeros((4, 3072), np.uint8), "labels": [0] * 4}
    copies.write_folder(tmp_path, copies.python_files() | {"data_batch_2": pickle.dumps(batch, protocol)})
    with pytest.raises(DatasetError) as problem:
        datasets.CIFAR10(tmp_path)
    message = str(problem.value)
    assert "data_batch_2: not a file of this data set" in message and "\n" not in message
    assert "it is a pickle of protocol 0 or 1, and only 2 to 5 are read" in message and "protocol=2" in message
