"""save_file and load_file: the safetensors format."""

import pytest
from harness import torch

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
