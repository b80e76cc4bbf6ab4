"""cnn.load of files that somebody made to do harm, and of damaged ones: an error that says why, and nothing else."""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from test_serialization import Block, saved, values
from test_unpickle import HOSTILE as HOSTILE_PICKLES  # noqa: F401  (the audit below takes it from here)

import cnn
from cnn.errors import CheckpointError
from cnn.serialization.writer import dump

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more


def pickled(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


MODULE_STATE = b"}(" + b"".join(text(key) + b"}" for key in ("_parameters", "_buffers", "_modules"))
NEW_BLOCK = name("test_serialization", "Block") + b")\x81"

HOSTILE_MODULES = {
    "class that is no Module": name("decimal", "Decimal") + b")\x81",
    "process": name("subprocess", "Popen") + b")\x81}b",
    "system": name("os", "system") + text("true") + b"\x85R",
    "function of this process": name("test_serialization", "saved") + b")R",
    "Module called": name("test_serialization", "Block") + b")R",
    "Module made with arguments": name("test_serialization", "Block") + text("x") + b"\x85\x81",
    "layer of torch called": name("torch.nn.modules.activation", "ReLU") + b")R",
    "function of cnn called": name("cnn", "save") + b")R",
    "function of cnn called by torch's name": name("torch", "load") + text("x") + b"\x85R",
    "submodule walk": name("cnn.nn", "module.type_name"),
    "walk to os": name("cnn.serialization.atomic", "os.system") + text("true") + b"\x85R",
    "method of a class": name("test_serialization", "Block.forward"),
    "not imported": name("antigravity", "fly"),
    "instance called": NEW_BLOCK + MODULE_STATE + b"ub)R",
    "state twice": NEW_BLOCK + MODULE_STATE + b"ub" + MODULE_STATE + b"ub",
    "no state": NEW_BLOCK,
    "state is a list": NEW_BLOCK + b"]b",
    "state with slots": NEW_BLOCK + b"N}\x86b",
    "no parameters": NEW_BLOCK + b"}b",
    "parameters that are none": NEW_BLOCK + MODULE_STATE + text("_parameters") + b"}" + text("w") + b"K\x01sub",
    "modules that are none": NEW_BLOCK + MODULE_STATE + text("_modules") + b"}" + text("w") + b"]sub",
    "hooks": NEW_BLOCK + MODULE_STATE + text("_forward_hooks") + b"}K\x01" + NEW_BLOCK + MODULE_STATE + b"ubsub",
    "state of a tensor": name("collections", "OrderedDict") + b")R}" + text("items") + b"K\x01sb",
}


@pytest.mark.parametrize("attack", HOSTILE_MODULES)
@pytest.mark.parametrize("weights_only", [True, False])
def test_refuses_hostile_modules(attack, weights_only):
    with pytest.raises(CheckpointError, match="cannot load the file: "):
        cnn.load(archive({"data.pkl": pickled(HOSTILE_MODULES[attack])}), weights_only=weights_only)


# Hostile archives


def archive(members, folder="archive", compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for member, data in members.items():
            file.writestr(f"{folder}/{member}" if folder else member, data)
    buffer.seek(0)
    return buffer


def tensor_pickle(size=(2, 3), stride=(3, 1), offset=0, numel=6, kind="FloatStorage", key="0", extra=b"", grad=b"\x89"):
    def integers(numbers):
        return b"(" + b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in numbers) + b"t"

    storage = b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + integers([numel])[1:-1] + b"tQ"
    arguments = storage + integers([offset])[1:-1] + integers(size) + integers(stride) + grad
    hooks = name("collections", "OrderedDict") + b")R"
    return pickled(name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + hooks + extra + b"tR")


def tensor_archive(data=bytes(24), **changes):
    return archive({"data.pkl": tensor_pickle(**changes), "data/0": data, "version": "3\n"})


def test_the_handmade_archive_is_one():
    assert cnn.load(tensor_archive()).shape == (2, 3)


def untyped_archive(
    data=bytes(6), kind=b"ctorch.storage\nUntypedStorage\n", dtype=b"ctorch\nuint16\n", size=3, order="little"
):
    """A tensor of a type that has no storage of its own, as torch writes uint16."""
    storage = b"(" + text("storage") + kind + text("0") + text("cpu") + bytes([75, len(data)]) + b"tQ"
    shape = b"K\x00" + bytes([75, size]) + b"\x85K\x01\x85\x89" + name("collections", "OrderedDict") + b")R"
    call = name("torch._utils", "_rebuild_tensor_v3") + b"(" + storage + shape + dtype + b"tR"
    return archive({"data.pkl": pickled(call), "data/0": data, "byteorder": order})


def test_untyped_storages():
    assert cnn.load(untyped_archive(b"\1\0\2\0\3\1")).tolist() == [1, 2, 259]
    assert cnn.load(untyped_archive(b"\0\1\0\2\1\3", order="big")).tolist() == [1, 2, 259]
    for says, changes in {
        "reaches element 3": {"size": 4},
        "in the middle of a number": {"data": bytes(7)},
        "instead of a storage of bytes": {"kind": b"ctorch\nCharStorage\n"},
        "a tensor of the type torch.float32": {"dtype": b"ctorch\nfloat32\n"},
        "a tensor of the type 1": {"dtype": b"K\x01"},
    }.items():
        with pytest.raises(CheckpointError, match=says):
            cnn.load(untyped_archive(**changes))


HOSTILE_TENSORS = {
    "reaches past its storage": {"size": (3, 3)},
    "reaches past by one": {"offset": 1},
    "stride past": {"stride": (4, 1)},
    "negative stride": {"stride": (-3, 1)},
    "negative size": {"size": (-2, 3)},
    "negative offset": {"offset": -1},
    "offset past": {"offset": 7, "size": (0, 3)},
    "size 2^62": {"size": (2**62, 3), "stride": (0, 0)},
    "sizes whose product overflows": {"size": (2**33, 2**33), "stride": (0, 0)},
    "stride 2^62": {"stride": (2**61, 1)},
    "expanded to 2^40": {"size": (2**20, 2**20), "stride": (0, 0)},
    "more sizes than strides": {"size": (2, 3, 1)},
    "65 dimensions": {"size": (1,) * 65, "stride": (0,) * 65},
    "storage longer than the file": {"numel": 1 << 40},
    "storage shorter than the file": {"numel": 5},
    "storage negative": {"numel": -1},
    "storage missing": {"key": "1"},
    "storage outside the folder": {"key": "../../etc/passwd"},
    "storage of the pickle": {"key": "../data.pkl"},
    "unknown type": {"kind": "ComplexFloatStorage"},
    "quantised type": {"kind": "QUInt8Storage"},
    "other type": {"kind": "DoubleStorage"},
    "half a number": {"data": bytes(23)},
    "integers with gradient": {"kind": "IntStorage", "grad": b"\x88"},
    "too many arguments": {"extra": b"NNN"},
}


@pytest.mark.parametrize("attack", HOSTILE_TENSORS)
def test_refuses_hostile_tensors(attack):
    with pytest.raises(CheckpointError):
        cnn.load(tensor_archive(**HOSTILE_TENSORS[attack]))


def changed(buffer, old, new, count=-1):
    data = buffer.getvalue()
    assert old in data
    return io.BytesIO(data.replace(old, new, count))


def twice():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a/data.pkl", pickled(b"N"))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a/data.pkl", pickled(b"N"))
    return buffer


def overlapping():
    """Two members on the same bytes, as zip bombs have it."""
    data = bytearray(archive({"data.pkl": pickled(b"N"), "data/0": bytes(100), "data/1": bytes(100)}).getvalue())
    first, second = data.index(b"PK\1\2"), data.rindex(b"PK\1\2")
    middle = data.index(b"PK\1\2", first + 1)
    data[second + 42 : second + 46] = data[middle + 42 : middle + 46]
    return io.BytesIO(data.replace(b"archive/data/1", b"archive/data/0"))


def with_end(**fields):
    """A good archive with a changed end record."""
    names = ["disk", "disk2", "here", "count", "size", "offset", "comment"]
    data = tensor_archive().getvalue()
    values = dict(zip(names, struct.unpack("<HHHHIIH", data[-18:]), strict=True)) | fields
    return io.BytesIO(data[:-18] + struct.pack("<HHHHIIH", *values.values()))


HOSTILE_ARCHIVES = {
    "empty": lambda: io.BytesIO(b""),
    "one byte": lambda: io.BytesIO(b"P"),
    "text": lambda: io.BytesIO(b"epoch,loss\n1,0.5\n" * 9),
    "picture": lambda: io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "pickle without archive": lambda: io.BytesIO(pickle.dumps({"a": 1}, 2)),
    "pickle that runs code": lambda: io.BytesIO(b"cos\nsystem\n(S'true'\ntR."),
    "safetensors": lambda: io.BytesIO(struct.pack("<Q", 2) + b"{}"),
    "compressed": lambda: archive({"data.pkl": pickled(b"N"), "data/0": bytes(1000)}, compression=zipfile.ZIP_DEFLATED),
    "no data.pkl": lambda: archive({"version": "3\n"}),
    "no members": lambda: archive({}),
    "no folder": lambda: archive({"data.pkl": pickled(b"N"), "version": "3\n"}, folder=""),
    "TorchScript": lambda: archive({"data.pkl": pickled(b"N"), "constants.pkl": pickled(b")")}),
    "bad byte order": lambda: archive({"data.pkl": pickled(b"N"), "byteorder": "middle"}),
    "binary byte order": lambda: archive({"data.pkl": pickled(b"N"), "byteorder": b"\xff\xfe"}),
    "a member twice": twice,
    "members that overlap": overlapping,
    "cut in the middle": lambda: io.BytesIO(tensor_archive().getvalue()[:200]),
    "cut at the end": lambda: io.BytesIO(tensor_archive().getvalue()[:-1]),
    "something appended": lambda: io.BytesIO(tensor_archive().getvalue() + b"#!"),
    "something in front": lambda: io.BytesIO(b"#!" + tensor_archive().getvalue()),
    "encrypted": lambda: changed(tensor_archive(), b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0"),
    "names differ": lambda: changed(tensor_archive(), b"archive/data/0", b"archive/data/7", 1),
    "damaged data": lambda: changed(tensor_archive(bytes(20) + b"abcd"), b"abcd", b"abce"),
    "damaged pickle": lambda: changed(tensor_archive(), b"FloatStorage", b"GloatStorage"),
    "65535 members": lambda: with_end(here=65535, count=65535),
    "fewer members": lambda: with_end(here=1, count=1),
    "directory elsewhere": lambda: with_end(offset=0),
    "directory of 4 GB": lambda: with_end(size=0xFFFFFFFF),
    "second disk": lambda: with_end(disk=1),
    "comment": lambda: with_end(comment=5),
}


@pytest.mark.parametrize("attack", HOSTILE_ARCHIVES)
def test_refuses_hostile_archives(attack, tmp_path):
    path = tmp_path / "a file.pt"
    path.write_bytes(HOSTILE_ARCHIVES[attack]().getvalue())
    with pytest.raises(CheckpointError, match=r"a file\.pt"):
        cnn.load(path)


def test_nothing_is_run_imported_or_written():
    """All hostile files under an audit hook, in a process of its own because hooks stay for ever."""
    script = """
import sys
sys.path[:0] = sys.argv[1:]
import test_hostile_files as t
import encodings.ascii, encodings.latin_1
t.cnn.load(t.tensor_archive())
seen, watching = [], False
forbidden = ("exec", "compile", "import", "open", "subprocess", "os.", "ctypes", "socket", "pickle", "code.__new__")
def hook(event, args):
    if watching and event.startswith(forbidden):
        seen.append((event, repr(args)[:80]))
sys.addaudithook(hook)
files = [t.archive({"data.pkl": t.pickled(data)}) for data in t.HOSTILE_MODULES.values()]
files += [t.archive({"data.pkl": data}) for data in t.HOSTILE_PICKLES.values() if len(data) < 10**5]
files += [t.tensor_archive(**changes) for changes in t.HOSTILE_TENSORS.values()]
files += [make() for make in t.HOSTILE_ARCHIVES.values()]
for file in files:
    for weights_only in (True, False):
        watching = True
        try:
            t.cnn.load(file, weights_only=weights_only)
        except t.CheckpointError:
            pass
        else:
            raise AssertionError("an attack was read without an error")
        finally:
            watching = False
        assert not seen, seen
print(len(files))
"""
    command = [sys.executable, "-W", "ignore", "-c", script, ROOT, os.path.dirname(os.path.abspath(__file__))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 120


def test_damaged_files_never_do_more_than_fail():
    """Every cut and random changes of good files: a value or CheckpointError, nothing else."""
    seeds = [saved(values(cnn)["checkpoint"]).getvalue(), saved(Block()).getvalue(), tensor_archive().getvalue()]
    generator = random.Random(0)
    end = time.monotonic() + 3 * TIMES
    count = refused = 0
    while time.monotonic() < end:
        data = bytearray(generator.choice(seeds))
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)) :]
        for _ in range(generator.choice([1, 1, 2, 5])):
            if data:
                data[generator.randrange(len(data))] = generator.randrange(256)
        count += 1
        try:
            cnn.load(io.BytesIO(data), weights_only=generator.random() < 0.5)
        except CheckpointError:
            refused += 1
    assert count > 500
    assert refused > count // 3


def test_damaged_pickles_in_sound_archives():
    """The same for the pickle alone, with the checksums made right again."""
    generator = random.Random(1)
    seeds = [dump(values(cnn)["checkpoint"], 2), dump(Block(), 2)]
    end = time.monotonic() + 3 * TIMES
    count = refused = 0
    while time.monotonic() < end:
        data, storages = generator.choice(seeds)
        data = bytearray(data)
        for _ in range(generator.choice([1, 1, 2, 5])):
            at = generator.randrange(len(data))
            kind = generator.random()
            if kind < 0.6:
                data[at] = generator.randrange(256)
            elif kind < 0.8:
                del data[at : at + generator.randrange(1, 9)]
            else:
                data[at:at] = data[generator.randrange(len(data)) :][: generator.randrange(30)]
        members = {f"data/{s.key}": s.array.tobytes() for s in storages}
        count += 1
        try:
            cnn.load(archive({"data.pkl": bytes(data)} | members), weights_only=generator.random() < 0.5)
        except CheckpointError:
            refused += 1
    assert count > 300
    assert refused > count // 3


def test_memory_stays_in_proportion_to_the_file():
    bombs = [pickled(b"}" * 400_000), tensor_pickle(size=(2**31,), stride=(0,))]
    for bomb in bombs:
        file = archive({"data.pkl": bomb, "data/0": bytes(24)})
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError):
                cnn.load(file)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * len(file.getvalue()) + (64 << 20)


def test_big_endian_file():
    members = {"data.pkl": tensor_pickle(), "data/0": np.arange(6, dtype=">f4").tobytes(), "byteorder": "big"}
    assert cnn.load(archive(members)).tolist() == [[0, 1, 2], [3, 4, 5]]
