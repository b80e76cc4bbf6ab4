"""cnn.save and cnn.load: files go both ways between torch and cnn. What fails is in test_hostile_files and
test_atomic."""

import argparse
import collections
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from harness import needs_torch, rng, torch

import cnn
from cnn import nn
from cnn.errors import CheckpointError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DTYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool", "uint16", "uint32"]
DTYPES += ["uint64"]


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
    np.testing.assert_array_equal(loaded.float().numpy(), values.float().numpy())


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
        assert cnn.equal(cnn.load(file), x)  # it stands where it stood
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


def test_what_is_computed_from_a_loaded_bfloat16_is_one(tmp_path):
    """In a fresh process, where nothing else has made one."""
    cnn.save(cnn.tensor([1.0]).bfloat16(), tmp_path / "a.pt")
    cnn.serialization.save_file({"a": cnn.tensor([1.0]).bfloat16()}, tmp_path / "a.st")
    script = """
import sys, cnn
for x in (cnn.load(sys.argv[1] + ".pt"), cnn.serialization.load_file(sys.argv[1] + ".st")["a"]):
    y = x + 1 / 512
    print(y.dtype, y.item())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.stdout == "torch.bfloat16 1.0\n" * 2, done.stderr
