"""cnn.training: runs of one's own, resume to the same bits, Ctrl-C, folders, what is shown, and the errors."""

import csv
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from checkpoints import assert_same_checkpoint
from child_processes import run_script, run_to_its_end

import cnn
from cnn import nn, optim, training
from cnn.errors import InputError
from cnn.training.progress import BAR, Progress
from cnn.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).resolve().parents[1]

# --------------------------------------------------------------------------------------------------------- the example


def example():
    """The script in the docstring of cnn.training."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", training.__doc__, re.MULTILINE)
    return textwrap.dedent(max(blocks, key=len)) + "\nprint(validate())\n"


def test_the_example_trains_and_leaves_its_files(tmp_path):
    said = run_script(f"import os; os.chdir({str(tmp_path)!r})\n" + example())
    lines = said.splitlines()
    assert all(line.startswith("points | ") for line in lines[:-1]) and "epoch 3/3: training loss" in lines[-2] + said
    assert float(lines[-1].split()[-1][:-1]) > 0.9
    assert sorted(os.listdir(tmp_path / "runs/points")) == ["best.pt", "history.csv", "history.json", "last.pt"]
    with open(tmp_path / "runs/points/history.csv", newline="") as file:
        assert [row["itr"] for row in csv.DictReader(file)] == ["15", "30", "45"]


def test_the_example_goes_on_with_more_epochs(tmp_path):
    begin = f"import os; os.chdir({str(tmp_path)!r})\n"
    run_script(begin + example().replace("epochs=3", "epochs=2"))
    more = (
        example()
        .replace('"runs", "points"', '"runs", "points", state')
        .replace("folder=folder", "folder=folder, resume=state")
    )
    state = (
        'import cnn.training\nstate = cnn.training.load_checkpoint(cnn.training.latest_checkpoint("runs", "points"))\n'
    )
    said = run_script(begin + state + more)
    assert said.startswith("points | resumed in epoch 3, after 30 iterations of 45\n")
    assert os.listdir(tmp_path / "runs") == ["points"]
    run_script(begin + example().replace('"points"', '"once"'))
    assert_same_checkpoint(tmp_path / "runs/points/last.pt", tmp_path / "runs/once/last.pt", but=("run",))


def test_the_documentation_has_the_same_example():
    assert example().partition("\n\nprint")[0].strip() in (ROOT / "docs" / "training.md").read_text()


def test_importing_is_light():
    code = "import sys, cnn; before = 'cnn.training' in sys.modules; import cnn.training\n"
    said = run_script(code + "print(before, [name for name in ('tqdm', 'matplotlib', 'scipy') if name in sys.modules])")
    assert said == "False []\n"
    assert run_script("import cnn; print(cnn.training.Run.__name__)") == "Run\n"


# --------------------------------------------------------------------------------------------------------- exact resume


class Restless(nn.Module):
    """A network whose forward pass has side effects: dropout draws random numbers, batch norm moves its statistics.

    It counts its forward passes, and raises KeyboardInterrupt in the middle of the chosen one.
    """

    def __init__(self, interrupt_at=None):
        super().__init__()
        self.calls, self.interrupt_at = 0, interrupt_at
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )
        self.head = nn.Linear(4 * 7 * 7, 10)

    def forward(self, x):
        x = self.body(x)
        self.calls += 1
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        return self.head(x)


class CutShort(DataLoader):
    """Raises KeyboardInterrupt where an epoch begins: random numbers are drawn for its order, and no batch is made."""

    epochs = cut = 0

    def __iter__(self):
        batches = super().__iter__()
        self.epochs += 1
        if self.epochs == self.cut:
            next(batches)
            raise KeyboardInterrupt
        return batches


def train_restless(root, interrupt_at=None, resume=None, cut_epoch=0):
    """Three epochs on random images; True if they were interrupted."""
    cnn.manual_seed(3)
    x, t = cnn.randn(560, 3, 32, 32), cnn.randint(0, 10, (560,))
    loader = CutShort(TensorDataset(x[:430], t[:430]), 50, shuffle=True)
    validation = DataLoader(TensorDataset(x[430:], t[430:]), 70, shuffle=True)
    loader.cut = cut_epoch
    net, criterion = Restless(interrupt_at), nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, [1])

    def validate():
        net.eval()
        with cnn.no_grad():
            scores = [(net(x), t) for x, t in validation]
        loss = sum(criterion(y, t).item() for y, t in scores) / len(scores)
        return loss, sum((y.argmax(dim=1) == t).sum().item() for y, t in scores) / 130

    try:
        with (
            training.take_folder(root, "restless", resume) as folder,
            training.Run(
                net,
                optimizer,
                loader,
                3,
                scheduler=scheduler,
                validate=validate,
                validate_every=4,
                note_every=2,
                folder=folder,
                resume=resume,
            ) as run,
        ):
            for _ in run.epochs_left():
                for x, t in run.batches():
                    net.train()
                    optimizer.zero_grad()
                    y = net(x)
                    loss = criterion(y, t)
                    loss.backward()
                    with run.update(loss, y, t):
                        optimizer.step()
                with run.end_of_epoch():
                    scheduler.step()
    except KeyboardInterrupt:
        return True
    return False


def test_an_interrupted_run_resumes_to_the_same_bits_wherever_it_was_cut(tmp_path):
    assert not train_restless(tmp_path / "whole")
    whole = tmp_path / "whole" / "restless" / "last.pt"
    # 27 training passes and 7 validations of 2 passes: the cuts are in both, and at the ends of epochs.
    for cut in (1, 2, 5, 6, 7, 12, 13, 14, 20, 27, 34, 40, 41):
        folder = tmp_path / str(cut)
        last = folder / "restless" / "last.pt"
        assert train_restless(folder, interrupt_at=cut), cut
        assert not train_restless(folder, resume=cnn.load(last))
        assert_same_checkpoint(whole, last)


def test_a_run_cut_between_two_epochs_resumes_to_the_same_bits(tmp_path):
    assert not train_restless(tmp_path / "whole")
    whole = tmp_path / "whole" / "restless" / "last.pt"
    for cut in (1, 2, 3):
        folder = tmp_path / str(cut)
        last = folder / "restless" / "last.pt"
        assert train_restless(folder, cut_epoch=cut), cut
        assert not train_restless(folder, resume=cnn.load(last))
        assert_same_checkpoint(whole, last)


def test_a_run_interrupted_again_and_again_still_gives_the_same_bits(tmp_path):
    train_restless(tmp_path / "whole")
    last = tmp_path / "often" / "restless" / "last.pt"
    stopped = train_restless(tmp_path / "often", interrupt_at=3)
    cuts = 1
    while stopped:
        stopped = train_restless(tmp_path / "often", interrupt_at=6, resume=cnn.load(last))
        cuts += 1
    assert cuts > 5
    assert_same_checkpoint(tmp_path / "whole" / "restless" / "last.pt", last)


# --------------------------------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_waits_while_weights_change():
    steps = []

    def change():
        with training.without_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("weights")
            steps.append("records")

    with pytest.raises(KeyboardInterrupt):
        change()
    assert steps == ["weights", "records"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_says_where_it_went_on_and_leaves_the_folder_free(tmp_path, capsys):
    assert train_restless(tmp_path, interrupt_at=5)
    path = str(tmp_path / "restless" / "last.pt")
    assert f"stopped after 4 iterations; saved. Go on with: resume={path!r}" in capsys.readouterr().out
    training.RunFolder(tmp_path / "restless").close()


def test_a_snapshot_undoes_a_forward_pass():
    net = Restless()
    snapshot = training.Snapshot(net)
    before = cnn.get_rng_state(), [buffer.clone() for buffer in net.buffers()]
    net(cnn.randn(4, 3, 32, 32))
    assert not cnn.equal(cnn.get_rng_state(), before[0])
    snapshot.restore()
    assert cnn.equal(cnn.get_rng_state(), before[0])
    assert all(cnn.equal(a, b) for a, b in zip(net.buffers(), before[1], strict=True))


# ------------------------------------------------------------------------------------------------------- runs that fail


def small_run(net=None, **more):
    net = net or nn.Linear(4, 3)
    loader = DataLoader(TensorDataset(cnn.zeros(80, 4), cnn.arange(80) % 3), 4)
    return training.Run(net, optim.SGD(net.parameters(), lr=0.5), loader, **{"epochs": 9, **more})


def go(run):
    with run:
        for _ in run.epochs_left():
            for x, t in run.batches():
                y = run.net(x)
                loss = nn.functional.cross_entropy(y, t)
                with run.update(loss, y, t):
                    pass
            with run.end_of_epoch():
                pass


def test_a_layer_that_gives_nan_is_named():
    class Broken(nn.Module):
        def forward(self, x):
            return x * float("nan")

    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), Broken())
    expected = "the loss is nan at iteration 1: 2 gives values that are not finite. Lower the learning rate (now 0.5)."
    with pytest.raises(training.TrainingStopped, match=re.escape(expected)):
        go(small_run(net))
    assert not any(layer._forward_hooks for layer in net.modules())  # those of the search are gone
    assert training.not_finite(nn.Linear(2, 2), cnn.tensor([[float("inf"), 0]])) == "the input is not finite"


def test_a_network_that_guesses_is_given_up_where_the_classes_are_known():
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.bias)
    with pytest.raises(training.TrainingStopped, match="after 3 epochs the network still guesses: .* of 3 classes"):
        go(small_run(net, classes=3))
    run = small_run(net)
    go(run)
    assert run.epoch == 9 and run.records()["trn_itr"].tolist()[:3] == [1, 10, 20]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "Run: epochs: expected a whole number, 1 or more, got 0"),
        ({"epochs": 2.5}, "Run: epochs: expected a whole number, 1 or more, got 2.5"),
        ({"show_every": True}, "Run: show_every: expected a whole number, 1 or more, got True"),
        ({"validate_every": -1}, "Run: validate_every: expected a whole number, 0 or more, got -1"),
        ({"resume": {"epoch": 3}}, "Run: resume: expected a checkpoint that a run saved as last.pt, got another file"),
        ({"resume": "gone.pt"}, "gone.pt: no such checkpoint"),
    ],
)
def test_wrong_arguments_are_named(change, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        small_run(**change)


def test_an_epoch_that_is_not_closed_is_an_error_not_an_endless_loop():
    with small_run() as run, pytest.raises(RuntimeError, match="epoch 1 was not closed: .* run.end_of_epoch"):
        for _ in run.epochs_left():
            pass


def test_a_checkpoint_with_a_schedule_wants_one(tmp_path):
    go(small_run(folder=tmp_path, epochs=1))
    run = small_run(folder=tmp_path, epochs=1)
    scheduler = optim.lr_scheduler.StepLR(run.optimizer, 1)
    with pytest.raises(InputError, match="resume: expected a checkpoint with a schedule, got one without"):
        training.Run(run.net, run.optimizer, run.loader, 2, scheduler=scheduler, resume=tmp_path / "last.pt")
    go(training.Run(run.net, run.optimizer, run.loader, 1, scheduler=scheduler, folder=tmp_path))
    with pytest.raises(InputError, match="resume: expected a checkpoint without a schedule, got one with it"):
        training.Run(run.net, run.optimizer, run.loader, 2, resume=tmp_path / "last.pt")


def test_a_run_without_batches_is_refused():
    with pytest.raises(InputError, match="expected batches to train with, got an empty loader"):
        training.Run(nn.Linear(1, 1), None, [], 1)


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"noise" * 99)
    with pytest.raises(InputError, match="a.pt: expected a checkpoint, got a file that cannot be read"):
        training.read_checkpoint(tmp_path / "a.pt")
    cnn.save({"weight": cnn.zeros(2)}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="b.pt: expected a checkpoint that a run saved as last.pt, got another file"):
        training.load_checkpoint(tmp_path / "b.pt")


# -------------------------------------------------------------------------------------------------------------- folders


def test_two_runs_at_once_do_not_share_a_folder(tmp_path):
    first, second = training.take_folder(tmp_path, "t"), training.take_folder(tmp_path, "t")
    assert (first.path, second.path) == (str(tmp_path / "t"), str(tmp_path / "t-2"))
    with pytest.raises(InputError, match="t: another run is going on there"):
        training.take_folder(tmp_path, "t", {"run": "t"})
    done = run_to_its_end(f"from cnn import training; print(training.take_folder({str(tmp_path)!r}, 't').path)")
    assert done.stdout == str(tmp_path / "t-3") + "\n", done.stderr
    first.close()
    assert training.take_folder(tmp_path, "t", {"run": "t"}).path == first.path
    second.close()
    assert training.take_folder(tmp_path, "t").path == second.path  # nothing was written to it


def test_the_latest_checkpoint_is_that_of_the_tag(tmp_path):
    assert training.latest_checkpoint(tmp_path, "t") == str(tmp_path / "t" / "last.pt")
    for age, name in enumerate(("t-other", "t-10", "t", "t-2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.pt").write_bytes(b"")
        os.utime(tmp_path / name / "last.pt", (1000 - age, 1000 - age))
    assert training.latest_checkpoint(tmp_path, "t") == str(tmp_path / "t-10" / "last.pt")


# -------------------------------------------------------------------------------------------------------- what is shown


def test_the_bar_fits_80_columns():
    from tqdm import tqdm

    shown = tqdm.format_meter(
        1234, 39100, 100.0, 80, "drawn shapes", bar_format=BAR, postfix="loss 1.234 acc 45.6% best 61.2%"
    )
    assert shown.endswith("loss 1.234 acc 45.6% best 61.2%") and len(shown) <= 80
    assert shown.index("| ") - shown.index("|") >= 5


@pytest.mark.parametrize("name", ["CIFAR-10", "drawn shapes", "the data set of a long experiment"])
def test_the_accuracy_is_seen_on_a_terminal_of_80_columns(name):
    code = f"""
        from cnn.training import Progress
        progress = Progress({name!r}, total=39100, done=38990)
        for _ in range(10):
            progress.advance(loss=12.345, accuracy=0.456, best=0.612, epochs_left=100)
        progress.close()
    """
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=slave, check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert child.wait(timeout=60) == 0, shown
    bars = [bar for bar in re.split("[\r\n]+", shown.decode()) if "acc 45.6% best 61.2%" in bar]
    assert bars, shown.decode()
    assert all(len(bar) <= 80 and name[:13] in bar for bar in bars)


def test_a_log_file_gets_lines(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of the tests of notebooks
    progress = Progress("mine", total=60, show_every=25)
    for step in range(60):
        progress.advance(loss=0.5, accuracy=0.25, best=0.75 if step > 40 else None, epochs_left=2)
    progress.close()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("mine | 2 epochs to go, about ")
    assert shown[1].startswith("mine | iteration 25/60: loss 0.500, accuracy 25.0%, ")
    assert shown[2].startswith("mine | iteration 50/60: loss 0.500, accuracy 25.0%, best validation 75.0%, ")
    assert len(shown) == 3
