"""Common mistakes with files and scripts, a row each: the error names the file, what was expected, and what came."""

import contextlib
import datetime
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import scipy.io
from mistakes import ROOT, Net, Rows, check_message, start

import cnn
import cnn.nn as nn
from cnn.errors import CheckpointError
from cnn.utils.data import DataLoader

sys.path.insert(0, str(ROOT))

import algo_train  # noqa: E402
import main as script  # noqa: E402
import utils  # noqa: E402
from build_net import CNN, DenseBlock  # noqa: E402
from data_feed import DataFeed  # noqa: E402

ROWS = Rows()
mistake = ROWS.mistake


# ---------------------------------------------------------------------------------------------------------------- files


@mistake(["gone.pt"], FileNotFoundError)
def load_of_a_missing_file(folder):
    cnn.load(folder / "gone.pt")


@mistake(["page.pt", "no checkpoint", "<html>404"], CheckpointError)
def load_of_a_file_that_is_no_checkpoint(folder):
    (folder / "page.pt").write_text("<html>404</html>")
    cnn.load(folder / "page.pt")


@mistake(["cut.pt", "cut off"], CheckpointError)
def load_of_half_a_checkpoint(folder):
    cnn.save(nn.Linear(20, 20).state_dict(), folder / "cut.pt")
    whole = (folder / "cut.pt").read_bytes()
    (folder / "cut.pt").write_bytes(whole[: len(whole) // 2])
    cnn.load(folder / "cut.pt")


@mistake(["nowhere", "does not exist"], FileNotFoundError)
def save_into_a_missing_folder(folder):
    cnn.save({}, folder / "nowhere" / "x.pt")


@mistake(["gone.mat", "no such file", "get_data.py"])
def data_feed_of_a_missing_file(folder):
    DataFeed(folder / "gone.mat", False)


@mistake(["page.mat", "MATLAB 5 file"])
def data_feed_of_a_file_that_is_no_mat_file(folder):
    (folder / "page.mat").write_text("<html>404</html>" * 100)
    DataFeed(folder / "page.mat", False)


@mistake(["cut.mat", "MATLAB 5 file"])
def data_feed_of_half_a_file(folder):
    scipy.io.savemat(folder / "cut.mat", {"img": np.zeros((5, 3072), np.float32), "cls": np.zeros(5)})
    whole = (folder / "cut.mat").read_bytes()
    (folder / "cut.mat").write_bytes(whole[:9000])
    DataFeed(folder / "cut.mat", False)


@mistake(["stats", "'mean'", "'std'"])
def data_feed_without_statistics(folder):
    scipy.io.savemat(folder / "few.mat", {"img": np.full((5, 3072), 9.0), "cls": np.zeros(5)})
    DataFeed(folder / "few.mat", True)


@mistake(["CIFAR-10", "nothere", "cifar-10-python.tar.gz"], RuntimeError)
def cifar10_that_is_not_there(folder):
    from cnn.vision.datasets import CIFAR10

    CIFAR10(folder / "nothere")


# ---------------------------------------------------------------------------------------------------------- the scripts


def train(**changes):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    loader = DataLoader([[cnn.zeros(1, 2, 2), cnn.tensor([3])]] * 4, batch_size=2)
    options = {key: value for key, value in script.opt_dict.items() if key != "run_root"}
    algo_train.sup_trn(net, loader, loader, {**options, "trn_size": 4, "val_size": 4, **changes})


@mistake(["opt_dict['solver']", "'Adam' or 'SGDM'", "'Adagrad'"])
def unknown_solver(folder):
    train(solver="Adagrad")


@mistake(["opt_dict", "'num_epoch'", "'num_epochs'"])
def opt_dict_key_misspelt(folder):
    train(num_epoch=3)


@mistake(["opt_dict['tbs']", "1 or more", "0"])
def training_batches_of_nothing(folder):
    train(tbs=0)


@mistake(["opt_dict['lr_sch']", "list", "70"])
def schedule_that_is_no_list(folder):
    train(lr_sch=70)


@mistake(["DenseBlock", "'relu', 'sigmoid', 'tanh', 'none'", "'softmax'"])
def activation_that_is_not_offered(folder):
    DenseBlock(4, 10, "softmax")


@mistake(["cal_stats", "(N, 3, height, width)", "(2, 3072)"])
def statistics_of_flat_images(folder):
    utils.cal_stats(np.zeros((2, 3072)))


@mistake(["block1.conv1 (Conv2d)", "3 channels", "got 1 channels"])
def grey_images_for_the_network_of_the_assignment(folder):
    CNN((3, 32, 32), 10)(cnn.zeros(2, 1, 32, 32))


# ------------------------------------------------------------------------------------------------ more, a line for each


class Attack:
    """Read by pickle.load, it would make a file in the current folder."""

    def __reduce__(self):
        return os.system, ("touch attacked",)


class WithLambda(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = lambda x: x


def sgd():
    return cnn.optim.SGD(Net().parameters(), lr=0.1)


def saved(folder, contents):
    cnn.save(contents, folder / "net.pt")
    return folder / "net.pt"


def written(folder, contents):
    (folder / "file.pt").write_bytes(contents)
    return folder / "file.pt"


def with_a_wrong_bit(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    return path


def attack(folder):
    with zipfile.ZipFile(folder / "attack.pt", "w") as archive:
        archive.writestr("attack/data.pkl", pickle.dumps(Attack(), 2))
        archive.writestr("attack/version", "3\n")
    return folder / "attack.pt"


def mat(folder, **arrays):
    scipy.io.savemat(folder / "some.mat", arrays)
    return folder / "some.mat"


def command_line(*arguments):
    """What `python main.py ARGUMENTS` says on stderr, as a RuntimeError."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit), contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
        script.main()
    raise RuntimeError(said.getvalue().removesuffix("\n"))


COLOURS = {"mean": [125, 122, 113], "std": [63, 62, 66]}
PIXELS = np.full((5, 3072), 9.0)

ROWS.lines(
    # Checkpoints
    ("load a folder", lambda folder: cnn.load(folder), OSError, "cannot load", "it is a directory"),
    ("load nothing", lambda folder: cnn.load(written(folder, b"")), CheckpointError, "file.pt", "it is empty"),
    ("wrong bit", lambda folder: cnn.load(with_a_wrong_bit(saved(folder, cnn.ones(999)))), CheckpointError, "net.pt"),
    ("whole net", lambda folder: cnn.load(saved(folder, Net())), CheckpointError, "net.pt", "weights_only=False"),
    ("attack", lambda folder: cnn.load(attack(folder)), CheckpointError, "attack.pt", ".system"),
    ("trusted attack", lambda folder: cnn.load(attack(folder), weights_only=False), CheckpointError, ".system"),
    ("another net", lambda folder: Net(5).load_state_dict(cnn.load(saved(folder, Net().state_dict()))), RuntimeError,
     "state_dict", "conv.weight", "[4, 3, 3, 3]", "checkpoint", "[5, 3, 3, 3]"),
    ("save to a folder", lambda folder: cnn.save({}, folder), OSError, "cannot save to", "it is a directory"),
    ("save, exchanged", lambda folder: cnn.save(folder / "a.pt", {}), TypeError, "path", "got dict"),
    ("text file to load", lambda folder: cnn.load(open(written(folder, b"PK"))), TypeError, "binary file", "mode 'rb'"),
    ("text file to save", lambda folder: cnn.save({}, open(folder / "a", "w")), TypeError, "binary file", "mode 'wb'"),
    ("a lambda inside", lambda folder: cnn.save(WithLambda(), folder / "a"), CheckpointError, "WithLambda",
     "its state_dict() can be saved"),
    ("a date", lambda folder: cnn.load(saved(folder, datetime.date(2024, 1, 1))), CheckpointError, "datetime.date",
     "tensors, numbers, texts and containers"),
    ("a list to safetensors", lambda folder: cnn.serialization.save_file([cnn.ones(1)], folder / "a"), CheckpointError,
     "{name: tensor}", "got list"),
    ("checkpoint for weights", lambda _: Net().load_state_dict({"net": Net().state_dict(), "epoch": 1}), RuntimeError,
     "Unexpected", "checkpoint of several things: load state_dict['net']"),
    ("DataParallel's names", lambda _: Net().load_state_dict({f"module.{k}": v for k, v in Net().state_dict().items()}),
     RuntimeError, "Missing key", "behind 'module.'", "key.removeprefix('module.')"),
    ("net for state_dict", lambda _: Net().load_state_dict(Net()), TypeError, "state_dict", ".state_dict() returns"),
    ("state_dict not called", lambda _: Net().load_state_dict(Net().state_dict), TypeError, "Call it, .state_dict()"),
    ("weights for optimizer", lambda _: sgd().load_state_dict(Net().state_dict()), KeyError, "optimizer's state_dict",
     "'param_groups'", "got the keys ['conv.weight'"),
    ("None for optimizer", lambda _: sgd().load_state_dict(None), TypeError, "'param_groups'", "got NoneType"),
    # The scripts
    ("image size", lambda _: CNN((3, 32, 32), 10)(cnn.zeros(2, 3, 28, 28)), ValueError, "[-1, 4096]", "[2, 64, 7, 7]"),
    ("no cls", lambda folder: DataFeed(mat(folder, img=PIXELS), False), ValueError, "some.mat", "no 'cls'"),
    ("scaled", lambda folder: DataFeed(mat(folder, img=PIXELS / 18, cls=[0] * 5), False), ValueError, ".mat", "255"),
    ("narrow", lambda folder: DataFeed(mat(folder, img=PIXELS[:, :9], cls=[0] * 5), False), ValueError, "3072", "9"),
    ("stats", lambda folder: DataFeed(mat(folder, img=PIXELS, cls=[0] * 5), True, COLOURS), ValueError, "0..1", "125"),
    ("missing key", lambda _: algo_train.sup_trn(Net(), [], [], {"solver": "Adam"}), ValueError, "missing key 'tag'"),
    ("lr nan", lambda _: train(lr=float("nan")), ValueError, "opt_dict['lr']", "above 0", "got nan"),
    ("epochs 2^63", lambda _: train(num_epochs=2**63), ValueError, "opt_dict['num_epochs']", "at most", str(2**63)),
    ("--solver", lambda _: command_line("--solver", "adam"), RuntimeError, "--solver", "'SGDM'", "got 'adam'"),
    ("--num-epochs", lambda _: command_line("--num_epochs", -1), RuntimeError, "--num-epochs", "1 or more", "got '-1'"),
    ("--lr", lambda _: command_line("--lr", "small"), RuntimeError, "--lr", "above 0", "got 'small'"),
    ("--epochs", lambda _: command_line("--epochs", 3), RuntimeError, "unknown option '--epochs'", "'--num-epochs'?"),
    ("--trn-root", lambda _: command_line("--trn-root", "a.mat"), RuntimeError, "trn_root", "a.mat: no such file"),
    ("--resume", lambda folder: command_line("--resume", folder / "a.pt"), RuntimeError, "a.pt: no such checkpoint"),
    ("--resume noise", lambda folder: command_line("--resume", written(folder, b"noise")), RuntimeError, "file.pt"),
    ("--resume weights", lambda folder: command_line("--resume", saved(folder, {})), RuntimeError, "net.pt", "last.pt"),
)  # fmt: skip

#   arguments of python, environment, pieces of the last line on stderr
COMMANDS = [
    (["-c", "import cnn"], {"CNN_ISA": "mmx"}, "CNN_ISA: ", "'baseline'", "got 'mmx'"),
    (["-m", "cnn", "none.py"], {}, "cnn: can't open file 'none.py': no such file"),
    ([str(ROOT / "main.py"), "--tbs", "0"], {}, "main.py: --tbs: ", "whole number", "got '0'"),
    ([str(ROOT / "get_data.py"), "--data-root", "broken", "--offline"], {}, "get_data.py: ", "cifar-10-python.tar.gz"),
]


@pytest.mark.parametrize(("make", "error", "says"), ROWS)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_mistake_is_said_clearly(make, error, says, tmp_path):
    check_message(make, error, says, tmp_path)


def test_commands(tmp_path):
    """All at once: each takes as long as Python takes to start."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cifar-10-python.tar.gz").write_bytes(b"noise" * 99)
    processes = [start(arguments, tmp_path, **environment) for arguments, environment, *_ in COMMANDS]
    for (arguments, _, *says), process in zip(COMMANDS, processes, strict=True):
        _, err = process.communicate(timeout=60)
        assert process.returncode in (1, 2), f"{arguments}: {err}"
        line = err.rstrip("\n").splitlines()[-1]
        assert all(text in line for text in says), line
