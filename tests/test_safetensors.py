"""save_file and load_file: the safetensors format."""

import numpy as np
import pytest
from harness import needs_torch, torch

import cnn
from cnn.errors import CheckpointError


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


@needs_torch
def test_every_type_goes_both_ways(tmp_path):
    from safetensors.torch import load_file, save_file

    names = "bfloat16 float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
    theirs = {name: torch.arange(6).to(getattr(torch, name)).reshape(2, 3) for name in names}
    theirs["bfloat16"] = theirs["bfloat16"] * 1.1
    save_file(theirs, tmp_path / "theirs")
    ours = cnn.serialization.load_file(tmp_path / "theirs")
    assert set(ours) == set(names)
    cnn.serialization.save_file(ours, tmp_path / "ours")
    back = load_file(tmp_path / "ours")
    for name in names:
        assert repr(ours[name].dtype) == repr(back[name].dtype) == repr(theirs[name].dtype)
        assert ours[name].tolist() == back[name].tolist() == theirs[name].tolist()


def test_a_type_that_no_tensor_has(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3, "c8")}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="complex64"):
        cnn.serialization.load_file(tmp_path / "x")


def test_safetensors_errors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="'a': list"):
        cnn.serialization.save_file({"a": [1]}, path)
    with pytest.raises(CheckpointError, match="metadata"):
        cnn.serialization.save_file({}, path, metadata={"epoch": 3})
    with pytest.raises(CheckpointError, match="'__metadata__'"):
        cnn.serialization.save_file({"__metadata__": cnn.zeros(1)}, path)
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        cnn.serialization.load_file(path)
    with pytest.raises(FileNotFoundError):
        cnn.serialization.load_file(tmp_path / "none")
