"""cnn.utils.matfile: the same arrays as scipy.io.loadmat, and no file that ends in anything but ValueError."""

import numpy as np
import pytest
import scipy.io

from cnn.utils import matfile


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_arrays_of_every_type_and_shape_are_those_of_scipy(dtype, compressed, tmp_path):
    rng = np.random.default_rng(0)
    shapes = {
        "matrix": (5, 7),
        "row": (1, 9),
        "number": (1, 1),
        "empty": (0, 3),
        "cube": (2, 3, 4),
        "four": (2, 1, 3, 2),
    }
    written = {name: rng.integers(0, 100, shape).astype(dtype) for name, shape in shapes.items()}
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, written, do_compression=compressed)
    contents = matfile.load(path)
    assert set(contents) == set(written)
    for name, expected in written.items():
        assert contents[name].dtype == expected.dtype
        assert contents[name].shape == expected.shape
        assert (contents[name] == expected).all()


def test_texts_are_read_and_other_things_are_left_out(tmp_path):
    path = tmp_path / "a.mat"
    written = {
        "name": "CIFAR-10",
        "greek": "αβγ",
        "s": {"a": 1},
        "z": np.array([[1 + 2j]]),
        "c": np.array(["x", 1], object),
    }
    scipy.io.savemat(path, {**written, "last": np.eye(2)})
    contents = matfile.load(path)
    assert set(contents) == {"name", "greek", "last"}
    assert (contents["name"].item(), contents["greek"].item()) == ("CIFAR-10", "αβγ")
    assert (contents["last"] == np.eye(2)).all()


def test_an_uncompressed_array_is_mapped_not_read(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"img": np.ones((100, 1000))})
    array = matfile.load(tmp_path / "a.mat")["img"]
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 500, b"MATLAB 7.3 MAT-file" + b" " * 600, b"PK\x03\x04" + b"x" * 300]
)
def test_another_kind_of_file_is_a_value_error(content, tmp_path):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match="MATLAB 5 file"):
        matfile.load(tmp_path / "a.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_a_value_error_or_has_plausible_arrays(compressed, tmp_path):
    path = tmp_path / "a.mat"
    rng = np.random.default_rng(1)
    scipy.io.savemat(
        path, {"img": rng.integers(0, 9, (6, 50)).astype("f4"), "cls": np.arange(6.0)}, do_compression=compressed
    )
    whole = path.read_bytes()
    refused = 0
    for trial in range(400):
        damaged = bytearray(whole[: rng.integers(0, len(whole))] if trial % 4 == 0 else whole)
        for place in rng.integers(0, max(len(damaged), 1), rng.integers(1, 4)):
            if damaged:
                damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            contents = matfile.load(path)
        except ValueError:
            refused += 1
        else:
            for array in contents.values():  # readable to the last byte
                assert array.nbytes <= len(whole) or compressed
                array.copy()
    assert refused > 100
