"""Two students' solutions of the assignment, written for PyTorch, run on cnn and print what they print under PyTorch.

solutions/template follows the course's own scripts (opt_dict, .mat files, Adam); solutions/own_style is of another
school (torchvision transforms, batch norm, dropout, SGD, workers, a checkpoint). Each runs in processes of its own,
with the same seed and nothing else in common: under PyTorch; unchanged under `python -m cnn main.py`; and with only its
import lines changed. With TRACE=1 the scripts print fingerprints of what they draw at random, which must be equal; the
losses of the first 50 steps must agree to 1e-4.

The solutions' values are chosen so that PyTorch agrees with itself to 1e-5 when its convolutions are computed in
another way (oneDNN off, one thread). Networks with ReLU, max-pooling and batch norm do not at usual learning rates: a
rounding error in the seventh digit that turns one ReLU on is a 0.01 difference in the loss thirty steps later.
"""

import importlib.util
import os
import pathlib
import pickle
import re
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "tests" / "solutions"
STEPS = 50

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None,
    reason="PyTorch or torchvision is not installed: the solutions have nothing to be compared with",
)
pytestmark = pytest.mark.timeout(600)

# Before main.py under PyTorch: torchvision may come without the two operators that it declares when it is imported.
UNDER_TORCH = """
import sys, torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import runpy
sys.path.insert(0, "")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def write_batches(folder):
    """cifar-10-batches-py with 1,000 training and 100 test images: as the public archive, but drawn and few."""
    # Smooth patterns with some noise. Half of the labels are drawn at random, so that the loss stays away from 0, where
    # relative errors mean nothing.
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(10, 3, 32, 32)).cumsum(axis=2).cumsum(axis=3)
    patterns -= patterns.mean(axis=(2, 3), keepdims=True)
    patterns *= 50 / patterns.std(axis=(1, 2, 3), keepdims=True)
    rng = np.random.default_rng(1)
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for name, n in [(f"data_batch_{i}", 200) for i in range(1, 6)] + [("test_batch", 100)]:
        kinds, others = rng.integers(0, 10, n), rng.integers(0, 10, n)
        noise = rng.integers(-40, 41, (n, 3, 32, 32))
        images = np.clip(128 + patterns[kinds] + noise, 0, 255).astype(np.uint8).reshape(n, 3072)
        labels = np.where(rng.random(n) < 0.5, kinds, others)
        entry = {"data": images, "labels": labels.tolist(), "batch_label": name, "filenames": [""] * n}
        pickled = pickle.dumps(entry, protocol=2)
        for key in entry:  # Python 2 wrote the archive: its keys are byte strings (opcode U, one byte of length)
            letters = key.encode()
            pickled = pickled.replace(b"X" + struct.pack("<I", len(key)) + letters, b"U" + bytes([len(key)]) + letters)
        (batches / name).write_bytes(pickled)


def change_imports(text):
    """The same script with its imports changed from torch to cnn, and nothing else."""
    text = re.sub(r"^(\s*)import torch$", r"\1import cnn as torch", text, flags=re.MULTILINE)
    text = re.sub(r"^(\s*(?:import|from)) torchvision\b", r"\1 cnn.vision", text, flags=re.MULTILINE)
    return re.sub(r"^(\s*(?:import|from)) torch\b", r"\1 cnn", text, flags=re.MULTILINE)


def start(folder, how, script, *args, **environment):
    """Run a script of the solution in `folder` under PyTorch ('torch') or cnn ('cnn', 'imports'): its output."""
    command = {
        "torch": [sys.executable, "-c", UNDER_TORCH, script],
        "cnn": [sys.executable, "-m", "cnn", script],
        "imports": [sys.executable, script],
    }[how]
    environment = {**os.environ, "TRACE": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([*command, *args], cwd=folder, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{how} {script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout, done.stderr


def solve(name, how, tmp_path_factory, change=None, args=(), **environment):
    """The output of a whole solution: get_data.py and utils.py where it has them, then main.py."""
    folder = tmp_path_factory.mktemp(f"{name}_{how}")
    shutil.copytree(SOLUTIONS / name, folder, dirs_exist_ok=True)
    write_batches(folder)
    for path in folder.glob("*.py"):
        text = path.read_text()
        text = change_imports(text) if how == "imports" else text
        path.write_text(change(text) if change else text)
    if name == "template":
        start(folder, how, "get_data.py", **environment)
        start(folder, how, "utils.py", **environment)
    return (*start(folder, how, "main.py", *args, **environment), folder)


def traces(output):
    return re.findall(r"^TRACE (.*)$", output, flags=re.MULTILINE)


def losses(output):
    return [float(text) for text in re.findall(r"^(?:step|Epoch No).* loss =? ?([\d.]+)", output, flags=re.MULTILINE)]


def assert_equal_runs(expected, found):
    kinds = {line.split()[0] for line in traces(expected)}
    assert {"weights", "batch"} <= kinds
    assert len(traces(expected)) > STEPS
    for i, (theirs, ours) in enumerate(zip(traces(expected), traces(found), strict=True)):
        assert theirs == ours, f"the random number {i} differs: {theirs} under PyTorch, {ours} under cnn"
    theirs, ours = np.array(losses(expected)), np.array(losses(found))
    assert len(theirs) == len(ours)
    assert len(theirs) >= STEPS
    worst = np.abs(ours / theirs - 1)[:STEPS]
    assert worst.max() < 1e-4, f"step {worst.argmax() + 1}: {theirs[worst.argmax()]} against {ours[worst.argmax()]}"
    # What else they print is the same text: networks, shapes, numbers of parameters.
    assert without_numbers(expected) == without_numbers(found)


def without_numbers(output):
    lines = [line for line in output.splitlines() if not line.startswith("TRACE")]
    return [re.sub(r"\d+\.\d+(e-?\d+)?", "#", line) for line in lines]


@pytest.fixture(scope="module")
def template_under_torch(tmp_path_factory):
    return solve("template", "torch", tmp_path_factory)


@pytest.fixture(scope="module")
def own_style_under_torch(tmp_path_factory):
    return solve("own_style", "torch", tmp_path_factory)


@needs_torch
@pytest.mark.parametrize("how", ["cnn", "imports"])
def test_the_template_solution_prints_what_it_prints_under_torch(how, template_under_torch, tmp_path_factory):
    expected, _, _ = template_under_torch
    found, _, folder = solve("template", how, tmp_path_factory)
    assert_equal_runs(expected, found)
    assert (folder / "cifar_cnn.png").read_bytes().startswith(b"\x89PNG")


@needs_torch
@pytest.mark.parametrize("how", ["cnn", "imports"])
def test_the_own_style_solution_prints_what_it_prints_under_torch(how, own_style_under_torch, tmp_path_factory):
    expected, _, _ = own_style_under_torch
    found, _, _ = solve("own_style", how, tmp_path_factory)
    assert any(line.startswith("mask") for line in traces(expected))
    assert_equal_runs(expected, found)


@needs_torch
def test_own_style_without_workers_too(tmp_path_factory):
    args = ["--workers", "0", "--epochs", "1", "--seed", "7"]
    expected, _, _ = solve("own_style", "torch", tmp_path_factory, args=args)
    found, _, _ = solve("own_style", "cnn", tmp_path_factory, args=args)
    assert_equal_runs(expected, found)


def test_a_solution_that_asks_for_the_gpu_runs_and_is_told_once(tmp_path_factory):
    """The course's own options say 'gpu': True; labels come as float32 scalars, which today's PyTorch refuses here."""

    def as_the_course(text):
        text = text.replace("'gpu': torch.cuda.is_available()", "'gpu': True")
        text = text.replace("'num_epochs': 2", "'num_epochs': 1")
        return text.replace("torch.tensor([int(label)], dtype=torch.int64)", "torch.tensor([label], dtype=torch.int64)")

    output, errors, _ = solve("template", "cnn", tmp_path_factory, change=as_the_course)
    assert "Training on GPU 0" in output
    assert len(losses(output)) == STEPS
    assert errors.count("CPU") == 1, errors


@needs_torch
def test_checkpoints_go_both_ways(own_style_under_torch, tmp_path_factory):
    """best.pth of the solution, written under PyTorch, loads under cnn, and the other way round."""
    _, _, by_torch = own_style_under_torch
    _, _, by_cnn = solve("own_style", "cnn", tmp_path_factory, args=["--epochs", "1"])
    reader = (
        "import torch, numpy as np\n"
        "saved = torch.load('best.pth')\n"
        "print(sorted(saved), list(saved['net']), [tuple(v.shape) for v in saved['net'].values()])\n"
        "print(sum(float(v.double().sum()) for v in saved['net'].values()))\n"
    )
    for folder in (by_torch, by_cnn):
        (folder / "reader.py").write_text(reader)
        outputs = [start(folder, how, "reader.py")[0].splitlines() for how in ("torch", "cnn")]
        assert outputs[0][0] == outputs[1][0]
        assert np.isclose(float(outputs[0][1]), float(outputs[1][1]), rtol=1e-12)
