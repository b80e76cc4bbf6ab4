"""get_data.py: the .mat files of the course, from every source, and what it says when there is none."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cifar_copies as copies
import numpy as np
import pytest
from faulty_server import FaultySite

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cnn.errors import InputError  # noqa: E402
from cnn.utils import matfile  # noqa: E402
from get_data import DataNotFound, get_data  # noqa: E402

scipy_io = pytest.importorskip("scipy.io")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("CNN_DATA_DIR", raising=False)
    monkeypatch.delenv("CNN_CIFAR10_URL", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def check_files(n=4):
    for path, train in (("training.mat", True), ("testing.mat", False)):
        contents = scipy_io.loadmat(path)
        pixels, labels = copies.expected(train, n)
        np.testing.assert_array_equal(contents["img"], pixels.reshape(len(pixels), 3072))
        assert contents["img"].dtype == np.float32
        assert contents["cls"].dtype == np.float32
        np.testing.assert_array_equal(contents["cls"].ravel(), labels)
        images, read_labels, name = matfile.read_images(path)
        np.testing.assert_array_equal(images, pixels)
        assert read_labels.ravel().tolist() == labels
        assert name == "CIFAR-10"


@pytest.mark.parametrize(
    "form", ["folder", "folder around it", "python archive", "binary archive", "archive itself", "data/"]
)
def test_from_a_copy(tmp_path, form):
    root = tmp_path / "copy"
    if form in ("folder", "folder around it"):
        copies.write_folder(root / "cifar-10-batches-py", copies.python_files())
        root = root / "cifar-10-batches-py" if form == "folder" else root
    elif form == "binary archive":
        root.mkdir()
        copies.write_archive(root / "cifar-10-binary.tar.gz", copies.binary_files())
    elif form == "data/":
        copies.write_folder(Path("data/cifar-10-batches-py"), copies.python_files())
        root = None
    else:
        root.mkdir()
        path = copies.write_archive(root / "cifar-10-python.tar.gz", copies.python_files())
        root = path if form == "archive itself" else root
    lines = []
    assert get_data(data_root=root and str(root), offline=True, say=lines.append) == "CIFAR-10"
    check_files()
    assert sum("not the public archive" in line for line in lines) == ("archive" in form)
    assert any("holds 20 training images" in line for line in lines)
    assert all("\n" not in line for line in lines)


def test_from_the_folder_in_the_environment(tmp_path, monkeypatch):
    copies.write_folder(tmp_path / "copy", copies.python_files())
    monkeypatch.setenv("CNN_DATA_DIR", str(tmp_path / "copy"))
    get_data(say=lambda line: None)
    check_files()


def test_from_the_network(tmp_path, monkeypatch):
    path = copies.write_archive(tmp_path / "served", copies.python_files())
    site = FaultySite(path.read_bytes())
    site.behaviours = {"/cifar-10-python.tar.gz": ["short 1000", "ok"]}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("CNN_CIFAR10_URL", f"{site.url('/cifar-10-python.tar.gz')}#sha256={digest}")
    get_data(say=lambda line: None)
    check_files()
    assert os.listdir("data") == ["cifar-10-python.tar.gz"]
    assert [asked for _, asked in site.requests] == [None, "bytes=1000-"]
    site.close()


def test_what_is_there_is_left_alone_and_only_what_is_missing_is_made(tmp_path):
    copies.write_folder(tmp_path / "copy", copies.python_files())
    get_data(data_root=str(tmp_path / "copy"), say=lambda line: None)
    stamp = os.stat("training.mat").st_mtime_ns
    assert get_data(offline=True, say=lambda line: pytest.fail(line)) == "CIFAR-10"
    os.remove("testing.mat")
    get_data(data_root=str(tmp_path / "copy"), say=lambda line: None)
    check_files()
    assert os.stat("training.mat").st_mtime_ns == stamp


def test_a_students_own_file_keeps_its_file_name_as_name():
    for path in ("training.mat", "testing.mat"):
        scipy_io.savemat(path, {"img": np.full((2, 3072), 255, np.float32), "cls": np.zeros(2, np.float32)})
    assert get_data(offline=True) == "training.mat" == matfile.read_images("training.mat")[2]


def test_the_drawn_set():
    from cnn.vision.datasets import Shapes

    name = get_data("a.mat", "b.mat", data="shapes", seed=3, say=lambda line: None)
    images, labels, noted = matfile.read_images("b.mat")
    assert name == noted == "drawn shapes"
    shapes = Shapes(train=False, seed=3)
    np.testing.assert_array_equal(images, shapes.data.transpose(0, 3, 1, 2))
    assert labels.ravel().tolist() == shapes.targets
    assert len(matfile.read_images("a.mat")[0]) == 10_000


def test_nowhere_says_what_to_do(monkeypatch):
    with pytest.raises(DataNotFound) as caught:
        get_data(offline=True)
    for part in (
        "cifar-10-python.tar.gz",
        "170,498,071 bytes",
        "offline",
        "CNN_DATA_DIR",
        str(Path("data").absolute()),
    ):
        assert part in str(caught.value)
    monkeypatch.setenv("CNN_CIFAR10_URL", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DataNotFound, match="refused"):
        get_data(say=lambda line: None)
    assert os.listdir() == []


def test_a_damaged_copy_is_one_clear_line(tmp_path):
    copies.write_folder(tmp_path / "copy", copies.python_files() | {"data_batch_3": b"nonsense"})
    with pytest.raises(InputError) as caught:
        get_data(data_root=str(tmp_path / "copy"), say=lambda line: None)
    assert "data_batch_3" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir() == []


def test_no_space_for_the_files(tmp_path, monkeypatch):
    copies.write_folder(tmp_path / "copy", copies.python_files())

    class Usage:
        free = 1000

    monkeypatch.setattr(matfile.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(InputError, match="training.mat: needs 1 MB, but only 0 MB are free"):
        get_data(data_root=str(tmp_path / "copy"), say=lambda line: None)


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    copies.write_folder(tmp_path / "copy", copies.python_files())

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(matfile, "_append_matrix", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get_data(data_root=str(tmp_path / "copy"), say=lambda line: None)
    assert os.listdir() == []


def run(*arguments, **environment):
    command = [sys.executable, str(ROOT / "get_data.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
    )


def test_on_the_command_line(tmp_path):
    copies.write_folder(tmp_path / "copy", copies.python_files())
    done = run("--data-root", str(tmp_path / "copy"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "training.mat and testing.mat hold CIFAR-10"
    check_files()
    again = run("--force", "--offline")
    assert again.returncode == 1
    check_files()  # what is there stays until something else has come
    assert "--data shapes" in again.stderr
    assert "Traceback" not in again.stderr
    helped = run("--help")
    assert helped.returncode == 0
    for option in (
        "--data-root",
        "--trn-root",
        "--val-root",
        "--offline",
        "--data",
        "--seed",
        "CNN_DATA_DIR",
        "CNN_CIFAR10_URL",
    ):
        assert option in helped.stdout


def test_two_at_once(tmp_path):
    """Both make the files, neither trips over the other's."""
    copies.write_folder(tmp_path / "copy", copies.python_files())
    command = [sys.executable, str(ROOT / "get_data.py"), "--data-root", str(tmp_path / "copy"), "--force"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.communicate(timeout=100)[1] == "" and process.returncode == 0
    check_files()
    assert sorted(os.listdir()) == ["testing.mat", "training.mat"]


def test_importing_asks_nothing_of_the_network():
    code = "import socket\ndef no(*a, **k): raise SystemExit('network')\n"
    code += "socket.socket.connect = no\nsocket.getaddrinfo = no\n"
    code += "import get_data, cnn, cnn.vision, cnn.utils.data"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
