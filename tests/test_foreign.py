"""cnn.load of files of another kind, a row each: the line says what it is and what would read it."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from harness import needs_torch, torch

import cnn
from cnn.errors import CheckpointError

CHECKPOINT = {"weight": cnn.ones(2, 3)}


def filled(write, *arguments, **words):
    """What a function writes to a file, as bytes."""
    buffer = io.BytesIO()
    write(buffer, *arguments, **words)
    return buffer.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    def write(file):
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    return filled(write)


def tarred(name, data):
    def write(file):
        with tarfile.open(fileobj=file, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    return filled(write)


def checkpoint():
    return filled(lambda file: cnn.save(CHECKPOINT, file))


def zipped_again():
    with zipfile.ZipFile(io.BytesIO(checkpoint())) as archive:
        return zipped({name: archive.read(name) for name in archive.namelist()}, zipfile.ZIP_DEFLATED)


def scripted():
    return filled(lambda file: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file))


def before_1_6():
    return filled(lambda file: torch.save({"a": torch.ones(2)}, file, _use_new_zipfile_serialization=False))


def hdf5():
    return b"\x89HDF\r\n\x1a\n" + bytes(600)


FILES = [
    ("empty", lambda: b"", "it is empty"),
    ("page", lambda: b"<html>404</html>", "it is no checkpoint: it begins with b'<html>404'"),
    ("csv", lambda: b"epoch,loss\n1,0.5\n" * 9, "it is no checkpoint: it begins with b'epoch,los'"),
    ("python", lambda: b"class Net:\n    def forward(self):\n        pass\n", "it is no checkpoint: it begins with"),
    ("pickle", lambda: pickle.dumps(list(range(300))), "it is a plain pickle, not a checkpoint: pickle.load reads it"),
    ("pickle of NumPy", lambda: pickle.dumps({"w": np.ones(3)}, 2), "it is a plain pickle"),
    ("text pickle", lambda: pickle.dumps({"a": [1, 2], "b": 3}, 0), "it is a plain pickle"),
    ("pickle, protocol 1", lambda: pickle.dumps([1, 2, {"a": 3}], 1), "it is a plain pickle"),
    ("text pickle, long", lambda: pickle.dumps({str(i): i for i in range(999)}, 0), "it is a plain pickle"),
    ("npy", lambda: filled(np.save, np.ones(3)), "it is an array of NumPy's (.npy): cnn.from_numpy(numpy.load(path))"),
    ("npz", lambda: filled(np.savez, a=np.ones(3), b=np.ones(2)), "it is an archive of NumPy's (.npz): numpy.load"),
    ("npz, packed", lambda: filled(np.savez_compressed, a=np.ones(99)), "it is an archive of NumPy's (.npz)"),
    ("gzip", lambda: gzip.compress(checkpoint()), "it is compressed with gzip: unpack it with gunzip, or pass gzip.op"),
    ("bzip2", lambda: bz2.compress(checkpoint()), "it is compressed with bzip2: unpack it with bunzip2"),
    ("xz", lambda: lzma.compress(checkpoint()), "it is compressed with xz"),
    ("zip around it", lambda: zipped({"net/model.pt": checkpoint()}), "it is a zip archive around 'net/model.pt': unp"),
    ("zip of others", lambda: zipped({"a.txt": b"", "b/c.txt": b""}), "it has no data.pkl: it is a zip archive"),
    ("zipped again", zipped_again, "its members are compressed: it was unpacked and zipped again; zip -0"),
    ("tar", lambda: tarred("model.pt", checkpoint()), "it is a tar archive: unpack it"),
    ("HDF5", hdf5, "it is an HDF5 file, such as Keras writes"),
    ("LFS", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a Git LFS pointer"),
    ("safetensors", lambda: struct.pack("<Q", 2) + b"{}", "it looks like a safetensors file: cnn.serialization"),
    pytest.param("TorchScript", scripted, "it is a TorchScript archive (torch.jit.save)", marks=needs_torch),
    pytest.param("before 1.6", before_1_6, "it is in torch's format from before version 1.6", marks=needs_torch),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "contents", "says"), FILES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_says_what_it_is(kind, contents, says, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(contents())
    with pytest.raises(CheckpointError) as problem:
        cnn.load(path)
    message = str(problem.value)
    assert message.startswith(f"cannot load {str(path)!r}: {says}")
    assert "\n" not in message


def test_what_the_line_for_gzip_says_works(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(gzip.compress(checkpoint()))
    with gzip.open(path) as file:
        assert cnn.load(file)["weight"].tolist() == CHECKPOINT["weight"].tolist()


# One file object, several saves


def test_a_save_counts_from_where_the_file_stood():
    buffer = io.BytesIO()
    cnn.save([1], buffer)
    second = buffer.tell()
    cnn.save([2, cnn.ones(3)], buffer)
    buffer.seek(0)
    with pytest.raises(CheckpointError, match=f"{second} bytes stand in front of its last archive.*save a list"):
        cnn.load(buffer)
    buffer.seek(second)
    for _ in range(2):  # a load leaves the file where it stood
        assert cnn.load(buffer)[0] == 2
    buffer.seek(0, 2)
    with pytest.raises(CheckpointError, match=r"the file stands at its end: seek\(0\)"):
        cnn.load(buffer)


@needs_torch
def test_torch_reads_what_was_saved_behind_something(tmp_path):
    with open(tmp_path / "both", "wb") as file:
        file.write(b"12345")
        cnn.save([1, cnn.ones(2)], file)
        third = file.tell()
        torch.save([3, torch.ones(2)], file)
    for load, place, number in ((torch.load, third, 3), (cnn.load, third, 3)):
        with open(tmp_path / "both", "rb") as file:
            file.seek(place)
            assert load(file)[0] == number
    whole = (tmp_path / "both").read_bytes()
    (tmp_path / "both").write_bytes(whole[:third])
    for load in (torch.load, cnn.load):
        with open(tmp_path / "both", "rb") as file:
            file.seek(5)
            assert load(file)[0] == 1


# What a refused pickle says


def test_a_refusal_names_things_and_no_addresses(tmp_path):
    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01"
    for attack in (
        storage + b"K\x05tQ",  # six parts
        b"(" + text("storage") + b"ctorch\nFloatStorage\nctorch\nFloatStorage\n" + text("cpu") + b"K\x01tQ",
        b"ctorch\nSize\nctorch\nFloatStorage\n\x85R",
        b"ctorch\nSize\nctorch\nSize\n\x85R",
        b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\nK\x00))N}tR",
        b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"tQ(ctorch\nSize\nt)N}tR",
    ):
        path = tmp_path / "refused.pt"
        path.write_bytes(zipped({"a/data.pkl": b"\x80\x02" + attack + b".", "a/data/0": bytes(4), "a/version": b"3\n"}))
        with pytest.raises(CheckpointError) as problem:
            cnn.load(path)
        assert " object at " not in str(problem.value) and "0x" not in str(problem.value), str(problem.value)
