"""Running PyTorch scripts: `python -m cnn script.py`, `import cnn.as_torch`, and the absences that scripts meet."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from harness import needs_torch

import cnn

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]))


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


def script(folder, text, name="script.py"):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def elsewhere(tmp_path_factory):
    """A folder to start from that is not the script's."""
    return tmp_path_factory.mktemp("elsewhere")


def test_a_script_runs_unchanged(tmp_path, elsewhere):
    script(
        tmp_path,
        """
        import sys
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim as optim
        import torch.utils.data
        from torch import Tensor
        from torch.optim.lr_scheduler import StepLR
        from torch.utils.data import DataLoader, TensorDataset
        from torch.nn.modules.conv import Conv2d, _ConvNd
        from torch.nn.modules.utils import _pair
        import torchvision.transforms as transforms
        from helper import double

        def f(x: torch.Tensor, d: torch.device = torch.device("cpu"), g: "torch.Generator | None" = None) -> Tensor:
            return double(x)

        assert Conv2d is nn.Conv2d and F is torch.nn.functional and _pair(3) == _pair([3, 3]) == (3, 3)
        assert isinstance(nn.Conv1d(1, 1, 1), _ConvNd) and nn.modules.conv.Conv2d is nn.Conv2d
        assert isinstance(nn.BatchNorm2d(1), torch.nn.modules.batchnorm._BatchNorm)
        try:
            import torch.nn.modules.rnn
            raise SystemExit("there are no recurrent layers")
        except ImportError as error:
            assert "cnn has no 'torch.nn.modules.rnn'" in str(error)
        assert issubclass(nn.CrossEntropyLoss, torch.nn.modules.loss._WeightedLoss)
        assert __name__ == "__main__" and sys.modules["__main__"].f is f
        print(sys.argv[1:], f(torch.ones(2)), torch.backends.cudnn.benchmark, torch.utils.data.DataLoader.__name__)
        """,
    )
    script(tmp_path, "import torch\n\ndef double(x):\n    return x * 2\n", "helper.py")
    result = run("-m", "cnn", str(tmp_path / "script.py"), "--lr", "1", cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "['--lr', '1'] tensor([2., 2.]) False DataLoader\n"


def test_files_named_torch_or_cnn_do_not_get_in_the_way(tmp_path, elsewhere):
    script(tmp_path, "raise SystemExit('the wrong torch')", "torch.py")
    script(tmp_path, "import torch\nclass Net(torch.nn.Module):\n    mine = True\n", "cnn.py")
    script(tmp_path, "import torch, cnn\nfrom cnn import Net\nprint(torch.ones(1), Net.mine, Net())")
    result = run("-m", "cnn", str(tmp_path / "script.py"), cwd=elsewhere)
    assert result.stdout == "tensor([1.]) True Net()\n", result.stderr


def test_errors_and_exit_codes_are_the_scripts_own(tmp_path, elsewhere):
    path = script(tmp_path, "import sys\nsys.exit(3)")
    assert run("-m", "cnn", str(path), cwd=elsewhere).returncode == 3
    path = script(tmp_path, "def f():\n    raise ValueError('mine')\nf()")
    result = run("-m", "cnn", str(path), cwd=elsewhere)
    assert result.returncode == 1 and "ValueError: mine" in result.stderr and 'script.py", line 2' in result.stderr
    result = run("-m", "cnn", "nowhere.py", cwd=elsewhere)
    assert result.returncode == 2 and result.stderr == "cnn: can't open file 'nowhere.py': no such file\n"
    assert run("-m", "cnn", cwd=elsewhere).returncode == 2
    assert "usage: python -m cnn" in run("-m", "cnn", "--help", cwd=elsewhere).stdout


def test_as_torch(tmp_path):
    path = script(
        tmp_path,
        """
        import cnn.as_torch
        import torch, torchvision
        from torchvision import datasets
        import cnn
        assert torch is cnn and torchvision is cnn.vision and torch.nn.Module is cnn.nn.Module
        assert cnn.__spec__.name == "cnn" and cnn.nn.__spec__.name == "cnn.nn"
        try:
            import torch.fx
        except ModuleNotFoundError as error:
            print(error)
        """,
    )
    result = run(str(path), cwd=tmp_path)
    assert result.stdout == "cnn has no 'torch.fx': this part of PyTorch is not provided\n", result.stderr


@needs_torch
def test_a_real_torch_is_not_displaced(tmp_path):
    path = script(
        tmp_path,
        """
        import torch
        try:
            import cnn.as_torch
        except ImportError as error:
            print("the real torch is already imported" in str(error), hasattr(torch, "_C"))
        """,
    )
    assert run(str(path), cwd=tmp_path).stdout == "True True\n"


def test_importing_cnn_brings_everything_and_nothing_heavy(tmp_path):
    path = script(
        tmp_path,
        """
        import sys, cnn
        cnn.nn.functional.relu, cnn.optim.lr_scheduler.StepLR, cnn.utils.data.DataLoader, cnn.nn.init, cnn.autograd
        heavy = {"torch", "matplotlib", "scipy", "tqdm", "PIL", "safetensors", "urllib.request"} & set(sys.modules)
        print(sorted(heavy))
        """,
    )
    result = run(str(path), cwd=tmp_path)
    assert result.stdout == "[]\n", result.stderr


def test_cuda_is_a_lenient_absence():
    assert not cnn.cuda.is_available() and cnn.cuda.device_count() == 0
    cnn.cuda._warned = False
    with pytest.warns(UserWarning, match="cnn runs on the CPU") as warnings:
        x = cnn.ones(2).cuda().to("cuda:0").to(cnn.device("cuda"))
        assert cnn.cuda.current_device() == 0
        cnn.zeros(2, device="cuda")
    assert len(warnings) == 1
    assert x.device == cnn.device("cpu") and not x.is_cuda
    cnn.cuda.manual_seed_all(1)
    cnn.cuda.synchronize()
    cnn.cuda.empty_cache()
    start, end = cnn.cuda.Event(enable_timing=True), cnn.cuda.Event(enable_timing=True)
    start.record(), end.record()
    assert start.elapsed_time(end) >= 0
    assert isinstance(cnn.cuda.FloatTensor([1]), cnn.Tensor)
    assert cnn.backends.mps.is_available() is False


def test_devices():
    assert str(cnn.device("cuda:1")) == "cuda:1" and cnn.device("cuda", 1).index == 1
    assert repr(cnn.device("cpu")) == "device(type='cpu')" and cnn.device(type="cpu").type == "cpu"
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        cnn.device("tpu")
    with pytest.raises(RuntimeError, match="Invalid device string"):
        cnn.device("cuda:x")


def test_what_is_not_supported_says_so():
    for ask in (
        lambda: cnn.jit.trace(None, None),
        lambda: cnn.onnx.export(None),
        lambda: cnn.hub.load("a", "b"),
        lambda: cnn.vmap(None),
        lambda: cnn.distributed.init_process_group(),
    ):
        with pytest.raises(NotImplementedError, match="not supported by cnn"):
            ask()


def test_amp_and_compile_change_nothing():
    scaler = cnn.cuda.amp.GradScaler()
    with cnn.autocast("cuda", dtype=cnn.bfloat16), cnn.amp.autocast(device_type="cpu"), cnn.cuda.amp.autocast():
        x = cnn.ones(2, requires_grad=True)
        loss = scaler.scale((x * 2).sum())
    loss.backward()
    assert x.grad.tolist() == [2, 2]
    assert cnn.compile(len) is len and cnn.compile(mode="max-autotune")(len) is len
    assert cnn.zeros(2, dtype=cnn.bfloat16).dtype is cnn.bfloat16
