"""The six scripts: the command line, what a run keeps, Ctrl-C and resume, data, and the errors.

cnn.training and cnn.utils.matfile have tests of their own.

Runs are on a few hundred drawn images and finish in a second or two.
"""

import csv
import json
import math
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.io

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from checkpoints import assert_same_checkpoint  # noqa: E402

import algo_train  # noqa: E402
import cnn  # noqa: E402
import cnn.nn as nn  # noqa: E402
import main  # noqa: E402
import utils  # noqa: E402
from build_net import CNN, ConvBlock, DenseBlock  # noqa: E402
from cnn.errors import InputError  # noqa: E402
from cnn.utils.data import DataLoader  # noqa: E402
from cnn.utils.matfile import read_images  # noqa: E402
from data_feed import DataFeed  # noqa: E402

SMALL = ["--channels", "4", "4", "--hidden", "16", "--tbs", "50", "--vbs", "70", "--num-epochs", "3", "--lr", "3e-3"]


def draw(n, seed):
    """n easy images, (n, 3072) of 0..255, and labels: each class is a pattern of 4 x 4 coloured squares, with noise."""
    squares = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4))
    classes = squares.repeat(8, axis=2).repeat(8, axis=3).reshape(10, 3072)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    return np.clip(classes[labels] + rng.integers(-60, 60, (n, 3072)), 0, 255), labels


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with training.mat and testing.mat as get_data.py writes them."""
    folder = tmp_path_factory.mktemp("data")
    for name, n, seed in (("training.mat", 430, 1), ("testing.mat", 130, 2)):
        images, labels = draw(n, seed)
        scipy.io.savemat(
            folder / name, {"img": images.astype(np.float32), "cls": labels.astype(np.float32), "name": "tiny"}
        )
    return folder


def files(data):
    return ["--trn-root", str(data / "training.mat"), "--val-root", str(data / "testing.mat")]


def run(args, folder, **more):
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *map(str, args)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )


def lines(text):
    return [line for line in text.splitlines() if line.strip()]


# --------------------------------------------------------------------------------------------------------- command line


def test_help_explains_every_option_and_loads_nothing_heavy(tmp_path):
    code = (
        "import runpy, sys\n"
        'sys.argv = ["main.py", "--help"]\n'
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f'    runpy.run_path({str(ROOT / "main.py")!r}, run_name="__main__")\n'
        "except SystemExit:\n"
        '    print("LOADED", *sorted({"numpy", "scipy", "matplotlib", "tqdm", "cnn"} & set(sys.modules)))\n'
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert time.monotonic() - started < 2  # 0.04 s on an idle machine; the limit leaves room for busy neighbours
    help_text, _, loaded = done.stdout.partition("LOADED")
    assert loaded.strip() == ""
    for key in main.opt_dict:
        assert f"--{key.replace('_', '-')} " in help_text
    assert " ".join(help_text.split()).count("(default: ") == len(main.opt_dict)
    assert "examples:" in help_text
    assert "--resume" in help_text
    assert "--preset" in help_text


def test_every_key_of_the_course_is_an_option_and_has_a_default():
    course = [
        "tag",
        "trn_root",
        "val_root",
        "stats_file",
        "inp_dim",
        "out_dim",
        "gpu",
        "gpu_idx",
        "solver",
        "tbs",
        "vbs",
        "num_epochs",
        "lr",
        "wd",
        "momentum",
        "lr_sch",
        "lr_factor",
        "coll_cycle",
        "display_freq",
        "val_cycle",
    ]
    assert set(course) <= set(main.opt_dict)
    assert set(main.opt_dict) == set(utils.OPTIONS)
    utils.check_options(main.opt_dict)


def test_options_take_dashes_and_underscores_and_have_the_type_of_the_key():
    options, given, resume = main.read_options(
        main.opt_dict,
        {},
        [
            "--num_epochs",
            "3",
            "--lr=5e-4",
            "--lr-sch",
            "2",
            "4",
            "--gpu",
            "--offline",
            "no",
            "--channels",
            "8",
            "16",
            "--solver",
            "SGDM",
        ],
    )
    assert (options["num_epochs"], options["lr"], options["lr_sch"], options["channels"]) == (3, 5e-4, [2, 4], [8, 16])
    assert options["gpu"] is True
    assert options["offline"] is False
    assert options["solver"] == "SGDM"
    assert resume is None
    assert given == {"num_epochs", "lr", "lr_sch", "gpu", "offline", "channels", "solver"}
    assert main.read_options(main.opt_dict, {}, ["--lr-sch"])[0]["lr_sch"] == []


def test_preset_course_has_the_values_of_the_course_and_gives_way_to_options():
    options, _, _ = main.read_options(main.opt_dict, {"course": main.course}, ["--preset", "course", "--tbs", "512"])
    assert (options["tbs"], options["vbs"], options["num_epochs"], options["lr"], options["wd"]) == (
        512,
        4096,
        100,
        1e-2,
        1e-5,
    )
    assert (options["lr_sch"], options["lr_factor"], options["solver"], options["momentum"]) == ([70], 0.1, "Adam", 0.9)
    assert (options["coll_cycle"], options["display_freq"], options["val_cycle"]) == (10, 10, 30)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--num-epoch", "3"], "unknown option '--num-epoch'; did you mean '--num-epochs'?"),
        (["--tbs", "0"], "--tbs: expected a whole number, 1 or more, got '0'"),
        (["--tbs", "1.5"], "--tbs: expected a whole number, 1 or more, got '1.5'"),
        (["--tbs", str(2**63)], "--tbs: expected a whole number, 1 or more (at most 2147483647), got"),
        (["--lr", "fast"], "--lr: expected a number above 0, got 'fast'"),
        (["--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["--wd", "-1"], "--wd: expected a number of 0 or more, got '-1'"),
        (["--solver", "adam"], "--solver: expected 'Adam' or 'SGDM', got 'adam'; did you mean 'Adam'?"),
        (["--inp-dim", "3", "32"], "--inp-dim: expected 3 values"),
        (["--data", "cifar"], "--data: expected 'cifar10' or 'shapes', got 'cifar'; did you mean 'cifar10'?"),
        (["--gpu", "maybe"], "--gpu: expected true or false"),
        (["--preset", "mine"], "--preset: invalid choice"),
        (["--trn-root", "nothere.mat"], "trn_root: nothere.mat: no such file"),
        (["--resume", "nothere.pt"], "nothere.pt: no such checkpoint"),
        (["--resume"], "last.pt: no such checkpoint"),
        (["--resume", "--preset", "course"], "--resume goes on with the values"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(args, expected, tmp_path):
    done = run(args, tmp_path)
    assert done.returncode == 2, done
    assert len(lines(done.stderr)) == 1, done.stderr
    assert expected in done.stderr
    assert done.stderr.startswith("main.py: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_epoch": 3}, "unknown key 'num_epoch'; did you mean 'num_epochs'?"),
        ({"solver": "Adm"}, "opt_dict['solver']: expected 'Adam' or 'SGDM', got 'Adm'; did you mean 'Adam'?"),
        ({"tbs": 0}, "opt_dict['tbs']: expected a whole number, 1 or more, got 0"),
        ({"tbs": True}, "opt_dict['tbs']: expected a whole number"),
        ({"lr": float("inf")}, "opt_dict['lr']: expected a number above 0, got inf"),
        ({"lr_sch": 70}, "opt_dict['lr_sch']: expected a list, got 70"),
    ],
)
def test_a_wrong_opt_dict_is_an_error_that_names_the_key(change, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        utils.check_options({**main.opt_dict, **change})


# ---------------------------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(files(data) + SMALL, folder)


def test_a_run_learns_and_leaves_checkpoint_best_network_history_and_picture(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    results = folder / "runs" / "cifar_cnn"
    assert sorted(path.name for path in results.iterdir()) == [
        "accuracy.png",
        "best.pt",
        "history.csv",
        "history.json",
        "last.pt",
    ]
    assert (results / "accuracy.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with open(results / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["itr"] for row in rows] == ["9", "18", "27"]
    assert float(rows[-1]["val_acc"]) > 0.5
    assert float(rows[-1]["trn_loss"]) < float(rows[0]["trn_loss"])
    kept = json.loads((results / "history.json").read_text())
    assert [row["val_acc"] for row in kept["epochs"]] == [float(row["val_acc"]) for row in rows]
    assert kept["options"]["tbs"] == 50
    assert kept["options"]["channels"] == [4, 4]
    for path in ("accuracy.png", "best.pt", "last.pt"):
        assert os.path.join("runs", "cifar_cnn", path) in lines(done.stdout)[-1]


def test_the_name_of_the_data_stands_on_every_line(finished):
    _, done = finished
    text = done.stdout
    network = text[text.index("CNN(") : text.index("\n)\n") + 3]
    assert all(line.startswith("tiny | ") for line in lines(text.replace(network, "")))
    assert "1 epoch to go, about" in text  # says up front how long it takes
    assert re.search(r"best validation accuracy \d+\.\d% after \d+\.\d s of training", text)


def test_best_pt_is_the_network_with_the_best_validation_accuracy(finished, data):
    folder, _ = finished
    results = folder / "runs" / "cifar_cnn"
    net = CNN((3, 32, 32), 10, 3, (4, 4), 16)
    net.load_state_dict(cnn.load(results / "best.pt"))
    stats = utils.read_stats(folder / "image_stats.mat", "tiny")
    _, accuracy = algo_train.validate(
        net, DataLoader(DataFeed(data / "testing.mat", True, stats), 64), nn.CrossEntropyLoss(), main.opt_dict
    )
    history = json.loads((results / "history.json").read_text())
    assert accuracy == max(row["val_acc"] for row in history["epochs"])


def test_a_finished_run_trains_on_with_more_epochs(finished, data, tmp_path):
    folder, _ = finished
    more = run(["--resume", folder / "runs/cifar_cnn/last.pt", "--num-epochs", "4", "--run-root", "runs"], folder)
    assert more.returncode == 0, more.stderr
    assert "epoch 4/4" in more.stdout
    assert "epoch 3/4" not in more.stdout
    once = run(files(data) + SMALL + ["--num-epochs", "4"], tmp_path)
    assert once.returncode == 0, once.stderr
    assert_same_checkpoint(folder / "runs/cifar_cnn/last.pt", tmp_path / "runs/cifar_cnn/last.pt")


def test_resume_refuses_what_would_make_it_another_run(data, tmp_path):
    assert run(files(data) + SMALL + ["--num-epochs", "1"], tmp_path).returncode == 0
    done = run(["--resume", "--tbs", "64"], tmp_path)
    assert done.returncode == 2
    assert "tbs is 50" in done.stderr
    assert "cannot become 64" in done.stderr
    (tmp_path / "broken.pt").write_bytes((tmp_path / "runs/cifar_cnn/last.pt").read_bytes()[:5000])
    done = run(["--resume", "broken.pt"], tmp_path)
    assert done.returncode == 2
    assert len(lines(done.stderr)) == 1
    assert "broken.pt: expected a checkpoint" in done.stderr
    done = run(["--resume", "runs/cifar_cnn/best.pt"], tmp_path)
    assert done.returncode == 2
    assert "expected a checkpoint that main.py saved as last.pt" in done.stderr


# ------------------------------------------------------------------------------------------------- exact resume, Ctrl-C


@pytest.mark.timeout(300)
def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(data, tmp_path):
    args = files(data) + SMALL + ["--num-epochs", "12", "--display-freq", "1"]
    whole = run(args, tmp_path)
    assert whole.returncode == 0, whole.stderr
    whole_file = tmp_path / "whole.pt"
    (tmp_path / "runs/cifar_cnn/last.pt").rename(whole_file)

    rng = random.Random(5)
    for trial in range(3):
        folder = tmp_path / f"trial{trial}"
        folder.mkdir()
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *args],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wanted = rng.randrange(1, 90)
        for line in child.stdout:  # wait until training is under way
            if f"iteration {wanted}/" in line:
                break
        time.sleep(rng.random() * 0.02)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
        assert child.returncode == 130, (out, err)
        assert "Traceback" not in err
        command = re.search(r"Go on with: (.*)", out).group(1)
        more = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=120)  # as typed
        assert more.returncode == 0, more.stderr
        assert "tiny | resumed in epoch " in more.stdout
        assert_same_checkpoint(whole_file, folder / "runs/cifar_cnn/last.pt")


# ------------------------------------------------------------------------------------------------------- runs that fail


def test_a_run_that_stays_at_chance_stops_and_names_what_to_change(data, tmp_path):
    done = run(files(data) + SMALL + ["--lr", "1e-9", "--num-epochs", "50"], tmp_path)
    assert done.returncode == 1
    assert len(lines(done.stderr)) == 1
    assert "still guesses" in done.stderr
    assert "--lr (now 1e-09)" in done.stderr
    assert "--tbs (now 50)" in done.stderr
    assert "epoch 10/50" not in done.stdout


def test_a_loss_that_is_not_finite_stops_and_names_the_place(data, tmp_path):
    done = run(files(data) + SMALL + ["--lr", "1e25", "--solver", "SGDM"], tmp_path)
    assert done.returncode == 1
    assert len(lines(done.stderr)) == 1
    assert re.search(
        r"the loss is (nan|inf) at iteration \d+: .* not finite. Lower --lr \(now 1e\+25\)", done.stderr
    ), done.stderr


# ----------------------------------------------------------------------------------------------------- folders of runs


def test_each_run_has_a_folder_of_its_own_and_resume_finds_the_latest(data, tmp_path):
    args = files(data) + SMALL + ["--num-epochs", "1"]
    for number, folder in enumerate(("cifar_cnn", "cifar_cnn-2", "cifar_cnn-3")):
        done = run(args + ["--seed", number], tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"results go to {os.path.join('runs', folder)}" in done.stdout
        assert "1 epoch to go, about" in done.stdout
        assert json.loads((tmp_path / "runs" / folder / "history.json").read_text())["options"]["seed"] == number
    (tmp_path / "runs" / "cifar_cnn-other").mkdir()  # another tag's
    (tmp_path / "runs" / "cifar_cnn-other" / "last.pt").write_bytes(b"")
    last = tmp_path / "runs/cifar_cnn/last.pt"
    before = last.read_bytes()
    done = run(["--resume"], tmp_path)
    assert "this run has had its 1 epoch; go on with more by --num-epochs" in done.stdout
    more = run(["--resume", "--num-epochs", "2"], tmp_path)
    assert more.returncode == 0, more.stderr
    assert "results go to runs/cifar_cnn-3" in more.stdout and last.read_bytes() == before
    assert "resumed in epoch 2, after 9 iterations of 18" in more.stdout
    done = run(["--resume", "runs/cifar_cnn-2"], tmp_path)  # the folder will do
    assert done.returncode == 0 and "results go to runs/cifar_cnn-2" in done.stdout
    (tmp_path / "elsewhere.pt").write_bytes(before)  # not in its run's folder: that may hold another run by now
    more = run(["--resume", "elsewhere.pt", "--num-epochs", "2"], tmp_path)
    assert "results go to runs/cifar_cnn-4" in more.stdout and last.read_bytes() == before


# ---------------------------------------------------------------------------------------------------- what can be typed


def test_printed_commands_can_be_typed(data, tmp_path):
    for folder in (ROOT, tmp_path):
        done = subprocess.run(
            [sys.executable, str(ROOT / "main.py"), "--help"], cwd=folder, capture_output=True, text=True
        )
        command = re.search(r"\n  (.*) --preset course ", done.stdout).group(1)
        typed = subprocess.run(command + " --help", shell=True, cwd=folder, capture_output=True, text=True)
        assert typed.stdout == done.stdout
        assert shlex.split(command)[1] == ("main.py" if folder == ROOT else str(ROOT / "main.py"))


def test_utils_answers_help_and_writes_nothing_then(data, tmp_path):
    def said(*arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "utils.py"), *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    assert said("--help").stdout.startswith("usage: utils.py") and os.listdir(tmp_path) == []
    assert said().returncode == 2 and "training.mat: no such file" in said().stderr
    assert said("--trn-root", str(data / "training.mat")).stdout.startswith("tiny | image_stats.mat: mean [")
    assert os.listdir(tmp_path) == ["image_stats.mat"]


def test_a_data_root_that_is_not_looked_into_is_said(data, tmp_path):
    for name in ("training.mat", "testing.mat"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    done = run(SMALL + ["--num-epochs", "1", "--data-root", "/nope"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "training.mat and testing.mat are there, with tiny; /nope was not looked into" in done.stdout
    assert "get_data.py --force --data-root /nope" in done.stdout


def without_files():
    return {key: value for key, value in main.opt_dict.items() if key != "run_root"}


def test_without_cifar10_it_says_so_and_goes_on_with_the_drawn_set(tmp_path):
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key != "CNN_DATA_DIR"}
    small = ["--num-epochs", "1", "--channels", "4", "4", "--hidden", "16", "--kernel", "1"]
    args = ["--offline", "--data-root", tmp_path / "nothing", *small]
    done = run(args, tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert lines(done.stdout)[0].startswith("CIFAR-10 was not found: ")
    assert "--data-root" in done.stdout
    assert "Going on with the drawn data set" in done.stdout
    assert (tmp_path / "shapes_training.mat").exists()
    assert not (tmp_path / "training.mat").exists()
    assert (tmp_path / "runs/shapes_cnn/accuracy.png").exists()
    assert "drawn shapes | " in lines(done.stdout)[-1]

    done = run(["--resume"], tmp_path)
    assert done.returncode == 2
    other = os.path.join("runs", "shapes_cnn", "last.pt")
    assert f"cifar_cnn/last.pt: no such checkpoint; there is {other}: name it, --resume FILE" in done.stderr
    done = run(["--data", "shapes", "--resume"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "runs/shapes_cnn/last.pt" in lines(done.stdout)[-1]


# -------------------------------------------------------------------------------------------- network, data, statistics


def test_the_blocks_have_the_layers_and_shapes_of_the_assignment():
    x = cnn.randn(2, 3, 32, 32)
    block = ConvBlock(5, 3, 12)
    assert [type(layer).__name__ for layer in block.children()] == ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert tuple(block(x).shape) == (2, 12, 16, 16)
    assert tuple(ConvBlock(4, 3, 6)(x).shape) == (2, 6, 16, 16)  # an even kernel keeps the size too
    assert tuple(DenseBlock(7, 5, "relu")(cnn.randn(2, 7)).shape) == (2, 5)
    assert tuple(CNN((3, 32, 32), 10)(x).shape) == (2, 10)
    assert tuple(CNN((1, 28, 28), 4)(cnn.randn(2, 1, 28, 28)).shape) == (2, 4)
    with pytest.raises(ValueError, match="act_type must be one of 'relu', 'sigmoid', 'tanh', 'none', got 'rellu'"):
        DenseBlock(7, 5, "rellu")


def test_items_and_batches_are_the_same_numbers(data):
    stats = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    feed = DataFeed(data / "training.mat", True, stats)
    assert len(feed) == 430
    x, t = feed[7]
    assert (x.dtype, tuple(x.shape), t.dtype, tuple(t.shape)) == (cnn.float32, (3, 32, 32), cnn.int64, (1,))
    images, labels = draw(430, 1)
    pixels = images[7].reshape(3, 32, 32) / 255
    for colour in range(3):  # each colour has its own statistics, blue as well
        expected = (pixels[colour] - stats["mean"][colour]) / stats["std"][colour]
        np.testing.assert_allclose(x.numpy()[colour], expected, rtol=0, atol=1e-6)
    assert t.item() == labels[7]
    indices = [7, 0, 429, 7]
    for index, xs, ts in zip(indices, *feed.__getbatch__(indices), strict=True):
        assert xs.numpy().tobytes() == feed[index][0].numpy().tobytes()
        assert ts.item() == feed[index][1].item()
    (x, t) = next(iter(DataLoader(feed, 32)))
    assert tuple(x.shape) == (32, 3, 32, 32)
    assert tuple(t.shape) == (32, 1)


def test_changing_an_item_leaves_the_data_set_alone(data):
    feed = DataFeed(data / "training.mat", False)
    x, t = feed[3]
    before = feed[3][0].numpy().copy(), feed[3][1].item()
    x.zero_()
    t.fill_(99)
    assert feed[3][0].numpy().tobytes() == before[0].tobytes()
    assert feed[3][1].item() == before[1]


def test_our_files_serve_the_scripts_of_the_course(finished, data):
    """What the course's own utils.py and DataFeed do with the files."""
    folder, _ = finished
    imgs = scipy.io.loadmat(data / "training.mat")["img"] / 255
    stats = scipy.io.loadmat(folder / "image_stats.mat")
    imgs = imgs.reshape(-1, 3, 32, 32)
    np.testing.assert_allclose(stats["mean"].reshape(3), imgs.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(stats["std"].reshape(3), imgs.std(axis=(0, 2, 3)), rtol=1e-6)
    assert DataFeed(data / "training.mat", True, stats)[0][0].shape == (3, 32, 32)


def test_cal_stats_of_bytes_and_of_floats_agree_with_numpy():
    images = np.random.default_rng(0).integers(0, 256, (11, 3, 8, 8), dtype=np.uint8)
    images[:, 2] //= 3
    for version in (images, (images / 255).astype(np.float32), images / 255):
        stats = utils.cal_stats(version)
        assert stats["mean"].shape == stats["std"].shape == (3,)
        np.testing.assert_allclose(stats["mean"], (images / 255).mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(stats["std"], (images / 255).std(axis=(0, 2, 3)), rtol=1e-6)


def test_accuracy_and_loss_weigh_a_smaller_last_batch_with_its_size(data):
    feed = DataFeed(data / "testing.mat", False)  # 130 images
    cnn.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    whole = algo_train.validate(net, DataLoader(feed, 130), nn.CrossEntropyLoss(), main.opt_dict)
    parts = algo_train.validate(net, DataLoader(feed, 64), nn.CrossEntropyLoss(), main.opt_dict)
    assert parts[1] == whole[1]
    assert math.isclose(parts[0], whole[0], rel_tol=1e-5)


def test_sup_trn_returns_what_the_course_expects(data):
    stats = utils.cal_stats(read_images(data / "training.mat")[0])
    trn, val = (DataFeed(data / name, True, stats) for name in ("training.mat", "testing.mat"))
    opt_dict = {
        **without_files(),
        "tbs": 100,
        "num_epochs": 4,
        "coll_cycle": 2,
        "val_cycle": 3,
        "lr_sch": [2],
        "trn_size": 430,
        "val_size": 130,
    }
    opt_dict["stats"] = stats
    cnn.manual_seed(1)
    net = CNN((3, 32, 32), 10, 3, (4, 4), 16)
    net, trn_info = algo_train.sup_trn(net, DataLoader(trn, 100, shuffle=True), DataLoader(val, 100), opt_dict)
    assert set(trn_info) == {"trn_loss", "val_loss", "trn_acc", "val_acc", "trn_itr", "val_itr", "trn_duration"}
    assert trn_info["trn_itr"].tolist() == [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert trn_info["val_itr"].tolist() == [3, 6, 9, 12, 15, 18, 20]
    for key in ("trn", "val"):
        assert len(trn_info[f"{key}_loss"]) == len(trn_info[f"{key}_acc"]) == len(trn_info[f"{key}_itr"])
    assert trn_info["val_acc"].max() <= 1
    assert trn_info["trn_duration"] > 0


# -------------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"mean": [0.5] * 3}, "got no 'std'"),
        ({"mean": [0.5] * 4, "std": [0.2] * 3}, "expected three numbers as 'mean'"),
        ({"mean": [125.0] * 3, "std": [60.0] * 3}, "'mean' must be that of pixels scaled to 0..1"),
        ({"mean": [0.5] * 3, "std": [0.2, 0, 0.2]}, "'std' must be above 0"),
        ({"mean": [0.5] * 3, "std": [np.nan] * 3}, "expected three numbers as 'std'"),
        ({"mean": [0.5] * 3, "std": [0.2] * 3, "name": "other"}, "expected the statistics of tiny, got those of other"),
    ],
)
def test_a_wrong_stats_file_is_named(contents, expected, data, tmp_path):
    scipy.io.savemat(tmp_path / "stats.mat", contents)
    done = run(files(data) + ["--stats-file", "stats.mat"], tmp_path)
    assert done.returncode == 2
    assert len(lines(done.stderr)) == 1
    assert "stats.mat: " in done.stderr
    assert expected in done.stderr


def test_labels_and_images_that_do_not_fit_the_network_are_said_before_training(data, tmp_path):
    done = run(files(data) + SMALL + ["--out-dim", "5"], tmp_path)
    assert done.returncode == 2
    assert "expected labels from 0 to 4 (out_dim), got 0 to 9" in done.stderr
    done = run(files(data) + SMALL + ["--inp-dim", "3", "28", "28"], tmp_path)
    assert done.returncode == 2
    assert "expected images of inp_dim [3, 28, 28], got [3, 32, 32]" in done.stderr


def test_plot_draws_without_a_display_and_without_touching_pyplot(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import utils, numpy as np\n"
        'info = dict.fromkeys(["trn_loss", "val_loss", "trn_acc", "val_acc", "trn_itr", "val_itr"], np.arange(3.0))\n'
        'utils.plot(info, "title", "p.png")\n'
        'print("matplotlib.pyplot" in sys.modules)'
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "False", done.stderr
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
