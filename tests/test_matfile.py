"""cnn.utils.matfile: the arrays of scipy.io.loadmat, no file that ends in anything but ValueError, and data sets."""

import tracemalloc

import numpy as np
import pytest
import scipy.io

from cnn.errors import InputError
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


# ------------------------------------------------------------------------------------------------------------ data sets


def draw(n, seed):
    """n images, (n, 3072) of 0..255, and labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072)), rng.integers(0, 10, n)


def test_what_was_written_is_read_by_us_and_by_scipy(tmp_path):
    images, labels = draw(7, 1)
    images = images.astype(np.uint8).reshape(7, 3, 32, 32)
    path = tmp_path / "own.mat"
    matfile.write_images(path, images, labels.tolist(), "mine")
    read, read_labels, name = matfile.read_images(path)
    assert (read == images).all() and read_labels.ravel().tolist() == labels.tolist() and name == "mine"
    contents = scipy.io.loadmat(path)
    assert contents["img"].dtype == contents["cls"].dtype == np.float32
    assert (contents["img"] == images.reshape(7, 3072)).all() and contents["name"].item() == "mine"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.mat: no such file"):
        matfile.read_images(tmp_path / "gone.mat")


def test_pixels_stay_bytes_and_are_read_without_a_float_copy(tmp_path):
    images, labels = draw(2000, 4)
    scipy.io.savemat(tmp_path / "big.mat", {"img": images.astype(np.float32), "cls": labels.astype(np.float32)})
    tracemalloc.start()
    read, _, name = matfile.read_images(tmp_path / "big.mat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read.dtype == np.uint8
    assert read.nbytes == 2000 * 3072
    assert name == "big.mat"
    assert peak < 1.5 * read.nbytes
    assert (read.reshape(2000, 3072) == images).all()


@pytest.mark.parametrize(
    "options", [{"dtype": np.float32}, {"dtype": np.float64}, {"dtype": np.uint8}, {"dtype": np.int64}]
)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("row_labels", [False, True])
def test_mat_files_of_students_are_read_whatever_their_type(options, compressed, row_labels, tmp_path):
    images, labels = draw(20, 6)
    cls = labels.astype(options["dtype"])
    contents = {
        "other": np.eye(3),
        "cls": cls if row_labels else cls[:, None],
        "img": images.astype(options["dtype"]),
        "x": 1,
    }
    scipy.io.savemat(tmp_path / "own.mat", contents, do_compression=compressed)
    read, read_labels, name = matfile.read_images(tmp_path / "own.mat")
    assert read.dtype == np.uint8
    assert (read.reshape(20, 3072) == images).all()
    assert read_labels.dtype == np.int64
    assert (read_labels == labels[:, None]).all()
    assert name == "own.mat"


def test_pixels_that_are_not_whole_stay_float(tmp_path):
    images, labels = draw(5, 6)
    scipy.io.savemat(tmp_path / "own.mat", {"img": images * 0.5, "cls": labels})
    read, _, _ = matfile.read_images(tmp_path / "own.mat")
    assert read.dtype == np.float32
    assert (read.reshape(5, 3072) == (images * 0.5).astype(np.float32)).all()


def spoil_images(folder, **changes):
    images, labels = draw(12, 8)
    contents = {"img": images.astype(np.float32), "cls": labels.astype(np.float32)} | changes
    scipy.io.savemat(folder / "bad.mat", {key: value for key, value in contents.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"img": None}, "expected the arrays 'img' and 'cls', got no 'img'"),
        ({"cls": None}, "expected the arrays 'img' and 'cls', got no 'cls'"),
        ({"img": np.zeros((12, 3071), np.float32)}, "expected 'img' as N x 3072 numbers, got (12, 3071) of float32"),
        ({"img": np.zeros((12, 3, 32, 32), np.float32)}, "expected 'img' as N x 3072 numbers, got (12, 3, 32, 32)"),
        ({"cls": np.zeros(11)}, "expected one whole number in 'cls' for each of the 12 images, got 11"),
        ({"cls": np.full(12, 0.5)}, "expected one whole number in 'cls'"),
        ({"img": np.full((12, 3072), 256.0)}, "expected pixels from 0 to 255 in 'img', got 256 to 256"),
        ({"img": np.full((12, 3072), np.nan)}, "expected pixels from 0 to 255 in 'img', got nan"),
        ({"img": np.full((12, 3072), 0.7, np.float32)}, "do not divide them by 255"),
    ],
)
def test_a_wrong_data_file_is_named(changes, expected, tmp_path):
    spoil_images(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        matfile.read_images(tmp_path / "bad.mat")
    assert str(tmp_path / "bad.mat") in str(error.value)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_bytes_never_end_in_anything_but_an_error_that_names_the_file(tmp_path):
    spoil_images(tmp_path)
    whole = (tmp_path / "bad.mat").read_bytes()
    rng = np.random.default_rng(3)
    path, messages = tmp_path / "damaged.mat", []
    for trial in range(60):
        damaged = bytearray(whole[: rng.integers(0, len(whole))] if trial % 2 else whole)
        for place in rng.integers(0, min(400, max(len(damaged), 1)), 3):
            if damaged:
                damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            images, labels, _ = matfile.read_images(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert images.shape[1:] == (3, 32, 32)
            assert len(labels) == len(images)
    assert len(messages) > 20
    assert all(str(path) in message for message in messages)
