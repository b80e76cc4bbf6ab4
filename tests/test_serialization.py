"""cnn.save and cnn.load: files go both ways between torch and cnn, a save is all or nothing, and a file can do nothing
but be read."""

import argparse
import collections
import errno
import io
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from harness import needs_torch, rng, torch
from test_unpickle import HOSTILE as HOSTILE_PICKLES  # noqa: F401  (the audit below takes it from here)

import cnn
from cnn import nn
from cnn.errors import CheckpointError
from cnn.serialization import atomic
from cnn.serialization.writer import dump

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more
DTYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool"]


def same(a, b):
    """Equal in type and value, tensors bit for bit; `a` and `b` may come from different libraries."""
    if hasattr(a, "requires_grad"):
        a_bits, b_bits = a.detach().numpy(), b.detach().numpy()
        return (
            type(a).__name__ == type(b).__name__
            and a_bits.dtype == b_bits.dtype
            and a_bits.shape == b_bits.shape
            and a_bits.tobytes() == b_bits.tobytes()
            and a.requires_grad == b.requires_grad
            and (tuple(a.stride()) == tuple(b.stride()) or a.numel() == 0)
        )
    if isinstance(a, dict):
        return (
            type(a) is type(b)
            and list(a) == list(b)
            and all(same(a[key], b[key]) for key in a)
            and getattr(a, "_metadata", None) == getattr(b, "_metadata", None)
        )
    if isinstance(a, (list, tuple)):
        return type(a).__name__ == type(b).__name__ and len(a) == len(b) and all(map(same, a, b))
    return str(a) == str(b) and type(a).__name__ == type(b).__name__


def saved(obj, save=cnn.save):
    buffer = io.BytesIO()
    save(obj, buffer)
    buffer.seek(0)
    return buffer


def values(lib):
    """Things that checkpoints hold, made with torch or cnn."""
    t = lib.arange(12, dtype=lib.float32).reshape(3, 4)
    state = collections.OrderedDict([("conv.weight", t.clone()), ("bn.num_batches_tracked", lib.tensor(3))])
    state._metadata = collections.OrderedDict([("", {"version": 1}), ("bn", {"version": 2})])
    optimizer = {
        "state": {0: {"step": lib.tensor(5.0), "exp_avg": t * 2}, 1: {"momentum_buffer": None}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "nesterov": False, "params": [0, 1]}],
    }
    return {
        "state_dict": state,
        "checkpoint": {"epoch": 3, "acc": 71.25, "net": state, "optimizer": optimizer, "tag": "run 1", "best": None},
        "view": [t, t[1:, ::2], t.t(), t[0, 0], t[:0]],
        "expanded": lib.ones(1).expand(3, 4),
        "parameter": lib.nn.Parameter(t.clone()),
        "frozen parameter": lib.nn.Parameter(t.clone(), requires_grad=False),
        "leaf": t.clone().requires_grad_(),
        "zero-d": lib.tensor(1.5),
        "empty": lib.empty(0, 3),
        "size": t.shape,
        "dtype": [lib.float32, lib.int64, lib.bool],
        "device": lib.device("cpu"),
        "numbers": [0, -1, 2**40, 2**100, 1.5, float("inf"), True, None],
        "text": ["", "caf\u00e9", b"", b"\x00\xff", bytearray(b"xy")],
        "containers": [(), (1,), [1, [2, (3,)]], {"a": {1: 2}}, {1, 2}, collections.Counter("aab")],
    }


@pytest.mark.parametrize("name", values(cnn))
def test_round_trip(name):
    value = values(cnn)[name]
    assert same(value, cnn.load(saved(value)))
    assert same(value, cnn.load(saved(value), weights_only=False))


@needs_torch
@pytest.mark.parametrize("name", values(cnn))
def test_torch_reads_what_cnn_writes(name):
    assert same(values(torch)[name], torch.load(saved(values(cnn)[name]), weights_only=True))


@needs_torch
@pytest.mark.parametrize("name", values(cnn))
def test_cnn_reads_what_torch_writes(name):
    assert same(values(cnn)[name], cnn.load(saved(values(torch)[name], torch.save)))


@needs_torch
@pytest.mark.parametrize("name", DTYPES)
def test_every_type_both_ways(name):
    array = rng(1).integers(0, 2, (3, 5)).astype(name if name != "bool" else np.bool_)
    assert same(torch.from_numpy(array), torch.load(saved(cnn.from_numpy(array)), weights_only=True))
    assert same(cnn.from_numpy(array), cnn.load(saved(torch.from_numpy(array), torch.save)))


@needs_torch
def test_bfloat16_comes_as_float32_values():
    values = torch.tensor([1.5, -2.0, 3e30, float("nan"), 0.0], dtype=torch.bfloat16)
    loaded = cnn.load(saved(values, torch.save))
    assert loaded.dtype is cnn.bfloat16
    np.testing.assert_array_equal(loaded.numpy(), values.float().numpy())


@needs_torch
@pytest.mark.parametrize("seed", range(10))
def test_random_state_dicts_both_ways(seed):
    generator = rng(seed)
    layers = []
    for _ in range(generator.integers(1, 6)):
        a, b = map(int, generator.integers(1, 9, 2))
        layers.append([torch.nn.Linear(a, b), torch.nn.Conv2d(a, b, 3), torch.nn.BatchNorm2d(a)][generator.integers(3)])
    state = torch.nn.Sequential(*layers).state_dict()
    through = cnn.load(saved(state, torch.save))
    assert same(state, torch.load(saved(through), weights_only=True))


def test_views_share_memory_again():
    whole = cnn.arange(6.0)
    loaded = cnn.load(saved({"whole": whole, "part": whole[2:4], "other": whole.clone()}))
    loaded["part"].zero_()
    assert loaded["whole"].tolist() == [0, 1, 0, 0, 4, 5]
    assert loaded["other"].tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_is_written_once():
    big = cnn.zeros(100_000)
    one, three = (len(saved(x).getvalue()) for x in ([big], [big, big[5:], big.reshape(100, 1000)]))
    assert three < one + 2000


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0)[::-1],
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12, dtype=">i4"),
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)[1:, :, ::2],
        np.frombuffer(bytes(range(32)), np.uint8)[1:].copy()[1:9].view(np.float32),
        np.broadcast_to(np.float32(2), (3, 4)),
        np.zeros((4, 3, 2, 2), np.float32).transpose(0, 3, 1, 2),
    ],
    ids=["reversed", "fortran", "big-endian", "permuted", "offset", "broadcast", "channels last"],
)
def test_any_memory_layout(array):
    loaded = cnn.load(saved(cnn.Tensor._wrap(array)))
    np.testing.assert_array_equal(loaded.numpy(), array)


def test_numpy_values_become_python_numbers_and_arrays_stay():
    loaded = cnn.load(saved({"loss": np.float32(0.5), "n": np.int64(3), "flag": np.bool_(True), "a": np.arange(3)}))
    assert [type(loaded[key]) for key in ("loss", "n", "flag")] == [float, int, bool]
    np.testing.assert_array_equal(loaded["a"], np.arange(3))


def test_loading_does_not_tie_the_counter_of_changes_to_another_file():
    first, second = cnn.load(saved([cnn.zeros(2), cnn.zeros(2)]))
    first.add_(1)
    assert (first._version, second._version) == (1, 0)


# Whole Modules


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Flatten())
        self.scale = nn.Parameter(cnn.ones(4))
        self.register_buffer("offset", cnn.zeros(4))
        self.act = nn.functional.relu
        self.options = argparse.Namespace(lr=0.1)
        self.shared = self.layers

    def forward(self, x):
        return self.act(self.layers(x)) * self.scale + self.offset


class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        raise AssertionError("__init__ ran")

    def __setstate__(self, state):
        raise AssertionError("__setstate__ ran")


def test_whole_module(tmp_path):
    block = Block().eval()
    cnn.save(block, tmp_path / "net.pt")
    with pytest.raises(pickle.UnpicklingError, match=r"test_serialization\.Block.*weights_only=False") as caught:
        cnn.load(tmp_path / "net.pt")
    assert isinstance(caught.value, CheckpointError)
    loaded = cnn.load(tmp_path / "net.pt", weights_only=False)
    x = cnn.from_numpy(rng(0).standard_normal((3, 4), np.float32))
    assert cnn.equal(loaded(x), block(x))
    assert repr(loaded) == repr(block)
    assert loaded.shared is loaded.layers
    assert loaded.options == block.options
    assert loaded.training is False
    loaded.register_forward_hook(lambda *args: None)
    assert list(loaded.state_dict()) == list(block.state_dict())


def test_whole_module_runs_no_method_of_its_class():
    silent = Loud.__new__(Loud)
    nn.Module.__init__(silent)
    assert type(cnn.load(saved(silent), weights_only=False)) is Loud


@needs_torch
def test_whole_module_of_torch():
    """torch's layers become ours: the file names their classes, the attributes are the same."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1, bias=False),
        torch.nn.ReLU(inplace=True),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect"),
        torch.nn.AdaptiveAvgPool2d((2, 2)),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
    )
    loaded = cnn.load(saved(net, torch.save), weights_only=False)
    assert type(loaded[0]) is nn.Conv2d
    x = rng(0).standard_normal((2, 3, 8, 8), np.float32)
    np.testing.assert_allclose(loaded(cnn.from_numpy(x)).detach(), net(torch.from_numpy(x)).detach(), 1e-5, 1e-6)
    assert list(loaded.state_dict()) == list(net.state_dict())
    assert repr(cnn.load(saved(loaded), weights_only=False)) == repr(loaded)


SCRIPT = """
import torch
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)

    def forward(self, x):
        return self.fc(x)

torch.manual_seed(0)
net = Net()
torch.save(net, "whole.pth")
torch.save({"epoch": 3, "state": net.state_dict()}, "state.pth")
again = torch.load("whole.pth", weights_only=False)
assert type(again) is Net and torch.equal(again(torch.ones(1, 2)), net(torch.ones(1, 2)))
net.load_state_dict(torch.load("state.pth", map_location=torch.device("cuda:0"))["state"])
print(torch.__name__, torch.load("state.pth")["epoch"])
"""


def test_a_script_finds_its_own_classes_again(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-W", "ignore", "-m", "cnn", "script.py"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.stdout.split()[1:] == ["3"], result.stderr
    with pytest.raises(CheckpointError, match=r"asks for __main__\.Net"):
        cnn.load(tmp_path / "whole.pth", weights_only=False)
    if torch:
        assert torch.load(tmp_path / "state.pth", weights_only=True)["state"]["fc.weight"].shape == (3, 2)


@needs_torch
@pytest.mark.parametrize(("name", "options"), [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.01})])
def test_optimizer_states_both_ways(name, options):
    """Two steps in one library, the file, two steps in the other: the same weights as four steps in one."""

    def steps(lib, weights, state, count):
        parameter = lib.nn.Parameter(weights.clone())
        optimizer = getattr(lib.optim, name)([parameter], **options)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(count):
            optimizer.zero_grad()
            (parameter**2).sum().backward()
            optimizer.step()
        return parameter.detach(), optimizer.state_dict()

    start = rng(1).standard_normal((3, 4), np.float32)
    expected, _ = steps(torch, torch.from_numpy(start), None, 4)
    for first, second in ((torch, cnn), (cnn, torch)):
        halfway = steps(first, first.from_numpy(start), None, 2)
        weights, state = second.load(saved(halfway, first.save), weights_only=True)
        result, _ = steps(second, weights, state, 2)
        np.testing.assert_allclose(result.numpy(), expected.numpy(), 1e-6)


def test_local_classes_and_lambdas_are_refused_when_saving(tmp_path):
    block = Block()
    block.act = lambda x: x
    with pytest.raises(CheckpointError, match="lambda"):
        cnn.save(block, tmp_path / "net.pt")
    assert os.listdir(tmp_path) == []


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


def test_says_what_else_the_file_is():
    for attack, message in {
        "pickle without archive": "before version 1.6",
        "safetensors": "load_file",
        "TorchScript": "TorchScript",
        "empty": "empty",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            cnn.load(HOSTILE_ARCHIVES[attack]())


def test_nothing_is_run_imported_or_written():
    """All hostile files under an audit hook, in a process of its own because hooks stay for ever."""
    script = """
import sys
sys.path[:0] = sys.argv[1:]
import test_serialization as t
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


# What f, map_location and the rest may be


def test_paths_and_files(tmp_path):
    x = cnn.arange(3.0)
    path = tmp_path / "with space and \u00fc.ckpt"
    for f in (path, str(path)):
        cnn.save(x, f)
        assert cnn.equal(cnn.load(f), x)
    with open(path, "wb") as file:
        cnn.save(x, file)
    with open(path, "rb") as file:
        assert cnn.equal(cnn.load(file), x)
        assert cnn.equal(cnn.load(file), x)  # from wherever it was read to
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as r, os.fdopen(writing, "wb") as w:
        cnn.save(x, w)
        w.close()
        assert cnn.equal(cnn.load(r), x)
    for f in (3, None):
        with pytest.raises(TypeError, match="expected 'f' to be string, path, or a file-like object"):
            cnn.save(x, f)
        with pytest.raises(TypeError, match="expected 'f' to be string, path, or a file-like object"):
            cnn.load(f)


def test_map_location_in_every_form():
    file = saved(cnn.arange(3.0))
    seen = []
    forms = [None, "cpu", "cuda:0", cnn.device("cpu"), {"cuda:0": "cpu"}, lambda storage, where: seen.append(where)]
    for form in forms:
        assert cnn.load(file, map_location=form).tolist() == [0, 1, 2]
    assert seen == ["cpu"]
    with pytest.raises(RuntimeError, match="nowhere"):
        cnn.load(file, map_location="nowhere")
    assert cnn.load(file, mmap=True, weights_only=True, pickle_module=pickle).tolist() == [0, 1, 2]


def test_big_endian_file():
    members = {"data.pkl": tensor_pickle(), "data/0": np.arange(6, dtype=">f4").tobytes(), "byteorder": "big"}
    assert cnn.load(archive(members)).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol):
    value = values(cnn)["checkpoint"]
    assert same(value, cnn.load(saved(value, lambda obj, f: cnn.save(obj, f, pickle_protocol=protocol))))


@needs_torch
def test_torch_can_map_the_file(tmp_path):
    cnn.save({"a": cnn.arange(1000.0), "b": cnn.arange(7)}, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt", mmap=True, weights_only=True)
    assert loaded["a"].data_ptr() % 64 == loaded["b"].data_ptr() % 64 == 0
    assert loaded["b"].tolist() == list(range(7))


def test_missing_and_impossible_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        cnn.load(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        cnn.load(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a directory"):
        cnn.save(1, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"directory .*runs' does not exist"):
        cnn.save(1, tmp_path / "runs" / "x.pt")
    assert os.listdir(tmp_path) == []


# All or nothing


class FaultyFile:
    """A file whose k-th call of write, flush or close fails."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.faults.step("write")
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()


class Faults:
    """Counts the calls that reach the disk; the one numbered `fail_at` fails with `code`."""

    def __init__(self, monkeypatch, fail_at=None, code=errno.ENOSPC):
        self.log, self.fail_at, self.code = [], fail_at, code
        fsync, replace = os.fsync, os.replace

        def faulty_fsync(descriptor):
            self.step("fsync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")
            fsync(descriptor)

        def faulty_replace(source, target):
            self.step("rename")
            replace(source, target)

        monkeypatch.setattr(atomic.os, "fsync", faulty_fsync)
        monkeypatch.setattr(atomic.os, "replace", faulty_replace)
        opener = lambda file, mode: FaultyFile(open(file, mode), self) if mode == "wb" else open(file, mode)  # noqa: E731
        monkeypatch.setattr(atomic, "open", opener, raising=False)

    def step(self, what):
        self.log.append(what)
        if len(self.log) == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_durable_order(tmp_path, monkeypatch):
    faults = Faults(monkeypatch)
    cnn.save(cnn.zeros(3), tmp_path / "x.pt")
    written, rest = faults.log[:-3], faults.log[-3:]
    assert set(written) == {"write"}
    assert rest == ["fsync file", "rename", "fsync directory"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EINTR, errno.EDQUOT])
def test_every_failing_call_keeps_a_whole_file(tmp_path, code):
    path = tmp_path / "x.pt"
    cnn.save("old", path)
    fail_at = 0
    while True:
        fail_at += 1
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fail_at, code)
            error = None
            try:
                cnn.save("new", path)
            except OSError as caught:
                error = caught
        if error is None:
            break
        assert error.errno == code
        assert str(path) in str(error)
        assert "bytes free" in str(error)
        expected = "new" if faults.log[-1] == "fsync directory" else "old"
        assert cnn.load(path) == expected
        assert os.listdir(tmp_path) == ["x.pt"]
        cnn.save("old", path)
    assert fail_at > 20
    assert cnn.load(path) == "new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_device():
    with pytest.raises(OSError, match=r"cannot save to '/dev/full': No space left"):
        cnn.save(cnn.zeros(100_000), "/dev/full")


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_real_size_limit_keeps_the_old_file(tmp_path):
    script = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import cnn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cnn.save("small", sys.argv[2])
try:
    cnn.save(cnn.zeros(100_000), sys.argv[2])
except OSError as error:
    print(error)
print(cnn.load(sys.argv[2]))
"""
    command = [sys.executable, "-c", script, ROOT, str(tmp_path / "x.pt")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "File too large" in result.stdout, result.stderr
    assert result.stdout.endswith("small\n")
    assert os.listdir(tmp_path) == ["x.pt"]


def test_save_through_a_link_and_with_the_old_mode(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    cnn.save(1, real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    cnn.save(2, link)
    assert link.is_symlink()
    assert cnn.load(real) == 2
    assert os.stat(real).st_mode & 0o777 == 0o640


def test_a_neighbour_who_is_saving_is_left_alone(tmp_path):
    path = tmp_path / "x.pt"
    with atomic.atomic_write(path) as file:
        file.write(b"slow ")
        cnn.save("fast", path)
        assert cnn.load(path) == "fast"
        file.write(b"writer")
    assert path.read_bytes() == b"slow writer"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_200_kills_lose_nothing(tmp_path):
    """A child saves without pause and is killed at a random moment; the file must be a whole one every time."""
    script = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import cnn
path, kills, generator = sys.argv[2], int(sys.argv[3]), random.Random(0)
cnn.save({"n": 0, "x": cnn.zeros(50_000)}, path)
newest, orphans = 0, 0
for round in range(kills):
    child = os.fork()
    if child == 0:
        n = newest
        while True:
            n += 1
            cnn.save({"n": n, "x": cnn.full((50_000,), float(n))}, path)
    time.sleep(generator.uniform(0.001, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = cnn.load(path)
    assert loaded["n"] >= newest, (loaded["n"], newest)
    assert bool((loaded["x"] == loaded["n"]).all()), round
    newest = loaded["n"]
    left = len(os.listdir(os.path.dirname(path))) - 1
    assert left <= 1, left
    orphans += left
cnn.save("end", path)
assert os.listdir(os.path.dirname(path)) == ["x.pt"]
print(newest, orphans)
"""
    command = [sys.executable, "-W", "ignore", "-c", script, ROOT, str(tmp_path / "x.pt"), str(int(200 * TIMES))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200 * TIMES)
    assert result.returncode == 0, result.stderr
    saves, orphans = map(int, result.stdout.split())
    assert saves > 50
    assert orphans > 0, "no save was interrupted: the test proves nothing"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals")
def test_ctrl_c_during_a_save(tmp_path):
    path = tmp_path / "x.pt"
    cnn.save("old", path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.os, "fsync", lambda descriptor: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            cnn.save("new", path)
    assert cnn.load(path) == "old"
    assert os.listdir(tmp_path) == ["x.pt"]


# safetensors


def test_safetensors(tmp_path):
    tensors = {
        "a": cnn.arange(6.0).reshape(2, 3).t(),
        "b": cnn.tensor([1, 2]),
        "c": cnn.zeros(0, 2),
        "d": cnn.tensor(True),
    }
    path = tmp_path / "x.safetensors"
    cnn.serialization.save_file(tensors, path, metadata={"epoch": "3"})
    loaded = cnn.serialization.load_file(path)
    assert set(loaded) == set(tensors)
    assert all(cnn.equal(loaded[key], tensors[key]) for key in tensors)
    if torch:
        from safetensors.torch import load_file

        assert load_file(path)["a"].tolist() == tensors["a"].tolist()


def test_safetensors_errors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="'a': list"):
        cnn.serialization.save_file({"a": [1]}, path)
    with pytest.raises(CheckpointError, match="metadata"):
        cnn.serialization.save_file({}, path, metadata={"epoch": 3})
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        cnn.serialization.load_file(path)
    with pytest.raises(FileNotFoundError):
        cnn.serialization.load_file(tmp_path / "none")
