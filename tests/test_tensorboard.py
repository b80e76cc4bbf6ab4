"""SummaryWriter stands in: it has torch's folder and takes torch's calls."""

import os
import socket

import pytest

from cnn.utils.tensorboard import SummaryWriter

pytestmark = pytest.mark.filterwarnings("ignore:cnn writes no TensorBoard logs")


def test_the_folder_is_a_path_and_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_lr3") as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.flush()
    assert writer.log_dir == writer.get_logdir() and os.path.isdir(writer.log_dir)
    assert writer.log_dir.startswith(f"runs{os.sep}") and writer.log_dir.endswith(f"_{socket.gethostname()}_lr3")
    assert SummaryWriter(tmp_path / "mine").log_dir == str(tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == []


def test_it_says_that_nothing_is_logged(tmp_path):
    with pytest.warns(UserWarning, match="no TensorBoard logs"):
        writer = SummaryWriter(str(tmp_path))
    with pytest.raises(AttributeError, match="'SummaryWriter' object has no attribute 'file_write'"):
        writer.file_write  # noqa: B018
