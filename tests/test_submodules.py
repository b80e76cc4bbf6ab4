"""The places where scripts look for what torch keeps in submodules, and what stands in them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.utils.rnn import pad_sequence, unpad_sequence
from cnn.utils.checkpoint import checkpoint, checkpoint_sequential
from cnn.utils.data import DataLoader, DistributedSampler, TensorDataset
from cnn.vision.datasets import utils as dataset_utils

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]))

#   what a script imports
IMPORTS = """
from torch.cuda.amp import GradScaler, autocast
from torch.cuda.amp.grad_scaler import GradScaler
from torch.amp.autocast_mode import autocast
from torch.autograd.variable import Variable
from torch.autograd.anomaly_mode import detect_anomaly
from torch.nn.parallel.data_parallel import DataParallel
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data.distributed import DistributedSampler
from torch.utils.data._utils.collate import default_collate
from torch.utils.checkpoint import checkpoint
from torch.utils.dlpack import from_dlpack, to_dlpack
from torch.utils.tensorboard.writer import SummaryWriter
from torch.multiprocessing import Process, spawn, set_start_method
from torch.linalg import norm
from torch.functional import norm
from torchvision.transforms.transforms import Compose
from torchvision.transforms.v2.functional import resize
from torchvision.transforms._functional_tensor import resize
from torchvision.datasets.utils import check_integrity, download_url
from torchvision.version import __version__
import torch.multiprocessing as mp, torch.linalg, torch.cuda.amp, torch.random
"""
THERE_AT_ONCE = (
    "multiprocessing linalg utils.data.distributed utils.data.DistributedSampler nn.utils.rnn cuda.amp.autocast"
)


def run(text, folder, *options, timeout=100):
    (folder / "script.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-m", "cnn", *options, str(folder / "script.py")],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def test_names_that_scripts_import(tmp_path):
    looks = "\n".join(f"torch.{name}" for name in THERE_AT_ONCE.split())
    done = run(f"import torch\n{looks}\n{IMPORTS}\nprint(mp.cpu_count() > 0)", tmp_path)
    assert done.stdout == "True\n", done.stderr


def test_a_variable_is_a_tensor():
    x = cnn.zeros(2)
    assert isinstance(x, cnn.autograd.Variable) and not isinstance(3, cnn.autograd.Variable)
    assert cnn.autograd.Variable(x, requires_grad=True) is x and x.requires_grad
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got ndarray"):
        cnn.autograd.Variable(np.zeros(2))


# Processes

SPAWN = """
import torch
import torch.multiprocessing as mp
from helper import double

class Net(torch.nn.Linear):
    pass

def work(x):
    return double(x).sum().item()

def answer(rank, base, queue):
    queue.put((rank, Net(2, 2)(torch.ones(1, 2)).shape, work(torch.ones(2)) + base))

if __name__ == "__main__":
    context = mp.get_context("spawn")
    with context.Pool(1) as pool:
        print(pool.map(work, [torch.ones(3)]))
    queue = context.Queue()
    mp.spawn(answer, (10, queue), nprocs=2)
    print(sorted(queue.get(timeout=60) for _ in range(2)))
"""


def test_a_spawned_process_runs_the_script_too(tmp_path):
    (tmp_path / "helper.py").write_text("import torch\n\ndef double(x):\n    return x * 2\n")
    done = run(SPAWN, tmp_path)
    expected = "[6.0]\n[(0, torch.Size([1, 2]), 14.0), (1, torch.Size([1, 2]), 14.0)]\n"
    assert done.stdout == expected, done.stderr


def test_a_spawned_process_that_fails_is_an_error(tmp_path):
    done = run(
        """
        import torch.multiprocessing as mp

        def fail(rank):
            raise ValueError("mine")

        if __name__ == "__main__":
            try:
                mp.spawn(fail, nprocs=1)
            except mp.ProcessRaisedException as error:
                print(error)
        """,
        tmp_path,
    )
    assert "process 0 of spawn raised an error" in done.stdout and "ValueError: mine" in done.stderr


# Data


@needs_torch
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("size", "replicas"), [(10, 3), (9, 3), (2, 5), (7, 1)])
def test_distributed_sampler_is_torchs(size, replicas, shuffle, drop_last):
    from torch.utils.data.distributed import DistributedSampler as Torchs

    for rank in range(replicas):
        options = {"num_replicas": replicas, "rank": rank, "shuffle": shuffle, "seed": 3, "drop_last": drop_last}
        ours, theirs = DistributedSampler(range(size), **options), Torchs(range(size), **options)
        for epoch in range(2):
            ours.set_epoch(epoch), theirs.set_epoch(epoch)
            assert list(ours) == list(theirs) and len(ours) == len(theirs)


def test_distributed_sampler_alone_has_everything():
    data = TensorDataset(cnn.arange(5))
    loader = DataLoader(data, sampler=DistributedSampler(data, shuffle=False))
    assert [batch[0].item() for batch in loader] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"Invalid rank 2, rank should be in the interval \[0, 1\]"):
        DistributedSampler(data, 2, 2)


@needs_torch
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pad_sequence_is_torchs(batch_first, side):
    import torch

    def padded(package, function):
        parts = [package.arange(2.0 * n).reshape(n, 2) + n for n in (3, 1, 4)]
        return function(parts, batch_first, -1.0, side)

    ours = padded(cnn, pad_sequence)
    assert ours.tolist() == padded(torch, torch.nn.utils.rnn.pad_sequence).tolist()
    if side == "right":
        assert [p.shape for p in unpad_sequence(ours, [3, 1, 4], batch_first)] == [(3, 2), (1, 2), (4, 2)]


def test_pad_sequence_hands_the_gradient_on_and_refuses_what_does_not_fit():
    x = cnn.ones(2, requires_grad=True)
    pad_sequence([x, cnn.zeros(3)]).sum().backward()
    assert x.grad.tolist() == [1, 1]
    for wrong, says in (([], "at least one"), ([cnn.zeros(2), cnn.zeros(2, 1)], r"shapes \[2\], \[2, 1\]")):
        with pytest.raises(RuntimeError, match=f"pad_sequence: .*{says}"):
            pad_sequence(wrong)


def test_checkpoint_calls_the_function():
    layer = cnn.nn.Sequential(cnn.nn.Linear(2, 3), cnn.nn.ReLU(), cnn.nn.Linear(3, 1))
    x = cnn.ones(4, 2)
    assert cnn.equal(checkpoint(layer, x, use_reentrant=False), layer(x))
    assert cnn.equal(checkpoint_sequential(layer, 2, x), layer(x))


def test_files_of_other_data_sets(tmp_path):
    import tarfile
    import zipfile

    path = tmp_path / "a.txt"
    path.write_text("abc")
    md5 = "900150983cd24fb0d6963f7d28e17f72"
    assert dataset_utils.calculate_md5(path) == md5 and dataset_utils.check_integrity(path, md5)
    assert not dataset_utils.check_integrity(path, md5[::-1]) and not dataset_utils.check_integrity(tmp_path / "b")
    dataset_utils.download_url("http://127.0.0.1:9/a.txt", tmp_path, md5=md5)  # it is there
    with pytest.raises(ValueError, match="expected the file's MD5"):
        dataset_utils.download_url("http://127.0.0.1:9/a.txt", tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/a.txt")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(path, "in/a.txt")
    for name in ("a.zip", "a.tar.gz"):
        folder = tmp_path / name.replace(".", "_")
        assert dataset_utils.extract_archive(tmp_path / name, folder) == str(folder)
        assert (folder / "in" / "a.txt").read_text() == "abc"
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(path, "../outside.txt")
    with pytest.raises(tarfile.FilterError):
        dataset_utils.extract_archive(tmp_path / "evil.tar", tmp_path / "inner")
    assert not (tmp_path / "outside.txt").exists()
    with pytest.raises(RuntimeError, match="neither a zip nor a tar"):
        dataset_utils.extract_archive(path)
    assert dataset_utils.verify_str_arg("train", "split", ("train", "test")) == "train"
    with pytest.raises(ValueError, match="Unknown value 'x' for argument split"):
        dataset_utils.verify_str_arg("x", "split", ("train", "test"))
