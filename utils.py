"""Helpers that no lesson depends on: statistics and .mat files, options, and what a training run shows and keeps.

`python utils.py` writes image_stats.mat from training.mat, as in the course.

NumPy, SciPy and the rest are imported where they are used, so that `python main.py --help` answers at once.
"""

import argparse
import contextlib
import csv
import difflib
import glob
import itertools
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import time

try:
    import fcntl
except ImportError:  # Windows: two runs are kept apart by their folders' contents only
    fcntl = None


class InputError(ValueError):
    """A value or a file from outside is not what it should be. The text is one line: what, expected, got."""


# ----------------------------------------------------------------------------------------- statistics and .mat files


def cal_stats(imgs):
    """Mean and standard deviation of each colour over a whole data set: {'mean': (3,), 'std': (3,)}, float64.

    imgs: (N, 3, H, W), bytes (uint8, 0..255) or floats scaled to 0..1. In both cases the result is of pixels in 0..1.
    """
    import numpy as np

    if imgs.ndim != 4 or imgs.shape[1] != 3 or imgs.size == 0:
        raise InputError(f"cal_stats: expected images (N, 3, height, width), got {imgs.shape}")
    if imgs.dtype == np.uint8:
        # A byte has 256 values: counting them is exact and needs no float copy of the images.
        levels = np.arange(256) / 255
        counts = [np.bincount(imgs[:, c].ravel(), minlength=256) for c in range(3)]
        mean = np.array([np.average(levels, weights=count) for count in counts])
        var = np.array([np.average((levels - m) ** 2, weights=count) for m, count in zip(mean, counts, strict=True)])
        return {"mean": mean, "std": np.sqrt(var)}
    if not (imgs.min() >= 0 and imgs.max() <= 1):
        raise InputError(
            f"cal_stats: expected floats from 0 to 1 (or bytes), got {imgs.min():g} to {imgs.max():g}; divide by 255"
        )
    mean = imgs.mean(axis=(0, 2, 3), dtype=np.float64)
    var = np.zeros(3)
    for img in imgs:  # image by image: no second copy of the data set
        var += ((img - mean.reshape(3, 1, 1)) ** 2).sum(axis=(1, 2))
    return {"mean": mean, "std": np.sqrt(var / (imgs.size // 3))}


def check_stats(stats, source):
    """Mean and std of `stats` as two float64 arrays (3,), or an InputError that names `source`."""
    import numpy as np

    values = []
    for key in ("mean", "std"):
        if stats is None or key not in stats:
            raise InputError(f"{source}: expected 'mean' and 'std' of three colours, got no '{key}'")
        value = np.asarray(stats[key], dtype=np.float64).ravel()  # SciPy reads a vector back as (1, 3)
        if value.shape != (3,) or not np.isfinite(value).all():
            raise InputError(f"{source}: expected three numbers as '{key}', got {np.asarray(stats[key]).tolist()}")
        if value.max() > 1 or value.min() < 0:
            raise InputError(f"{source}: '{key}' must be that of pixels scaled to 0..1, got {value.tolist()}")
        values.append(value)
    if values[1].min() == 0:
        raise InputError(f"{source}: 'std' must be above 0 for every colour, got {values[1].tolist()}")
    return values


def read_stats(path, data_name):
    """The statistics in `path`; they must belong to the data set `data_name` where the file says whose they are."""
    contents = read_mat(path)
    owner = mat_name(contents, data_name)
    if owner != data_name:
        raise InputError(f"{path}: expected the statistics of {data_name}, got those of {owner}; delete the file")
    mean, std = check_stats(contents, path)
    return {"mean": mean, "std": std}


def write_stats(path, stats, data_name):
    import scipy.io

    from cnn.serialization.atomic import atomic_write

    with atomic_write(path) as file:
        scipy.io.savemat(file, {**stats, "name": data_name})


def mat_name(contents, default):
    """The name of the data set, which get_data.py notes in a .mat file; `default` where a student's file has none."""
    return str(contents["name"].ravel()[0]) if "name" in contents and contents["name"].size else default


def read_images(path):
    """The data set in a .mat file: images (N, 3, 32, 32), labels int64 (N, 1), name.

    Images are uint8 where all pixels are whole numbers (CIFAR-10's are), else float32; from 0 to 255 in both cases.
    """
    import numpy as np

    path = os.fspath(path)
    contents = read_mat(path)
    for key in ("img", "cls"):
        if key not in contents:
            raise InputError(f"{path}: expected the arrays 'img' and 'cls', got no '{key}'")
    img, labels = contents["img"], contents["cls"].reshape(-1, 1)
    if img.ndim != 2 or img.shape[1] != 3072 or img.dtype.kind not in "uif":
        raise InputError(f"{path}: expected 'img' as N x 3072 numbers, got {img.shape} of {img.dtype}")
    if len(labels) != len(img) or labels.dtype.kind not in "uif" or not (labels == np.floor(labels)).all():
        got = f"{labels.size} of {labels.dtype}"
        raise InputError(f"{path}: expected one whole number in 'cls' for each of the {len(img)} images, got {got}")

    # MATLAB keeps columns together. Column by column, no more than one column is ever in memory as floats.
    images = np.empty(img.shape, np.uint8)
    for column in range(3072):
        pixels = img[:, column]
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):
            got = f"{pixels.min():g} to {pixels.max():g}"
            raise InputError(f"{path}: expected pixels from 0 to 255 in 'img', got {got}")
        if images.dtype == np.uint8 and not (pixels == np.floor(pixels)).all():
            images = images.astype(np.float32)
        images[:, column] = pixels
    if images.dtype == np.float32 and images.max() <= 1:
        got = f"{images.min():g} to {images.max():g}"
        raise InputError(f"{path}: expected pixels from 0 to 255 in 'img', got {got}; do not divide them by 255")
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64), mat_name(contents, os.path.basename(path))


def read_mat(path):
    """The arrays in a .mat file as {name: array}, or an error that names the file."""
    from cnn.utils import matfile

    if not os.path.isfile(path):
        make = f"`{command('get_data.py')}` makes the data, `{command('utils.py')}` the statistics"
        raise InputError(f"{path}: no such file; {make}")
    try:
        return matfile.load(path)
    except ValueError as problem:
        raise InputError(
            f"{path}: expected a MATLAB 5 file, got another or a damaged one: {one_line(problem)}"
        ) from None


# ----------------------------------------------------------------------------------------------------------- options


def whole(least, most=2**31 - 1):
    """A check: a whole number from least to most, or its text."""

    def check(value):
        try:
            number = int(value) if isinstance(value, str) else value.__index__()
        except (AttributeError, TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or not least <= number <= most:
            too_much = f" (at most {most})" if number and number > most else ""
            raise ValueError(f"expected a whole number, {least} or more{too_much}")
        return number

    return check


def number(least=0.0, above=False):
    """A check: a finite number, `least` or more (or above it), or its text."""

    def check(value):
        try:
            result = float(value)
        except (TypeError, ValueError):
            result = math.nan
        if isinstance(value, bool) or not math.isfinite(result) or result < least or (above and result == least):
            raise ValueError(f"expected a number {f'above {least:g}' if above else f'of {least:g} or more'}")
        return result

    return check


def one_of(*names):
    """A check: one of these names."""

    def check(value):
        if value not in names:
            raise ValueError(f"expected {' or '.join(map(repr, names))}")
        return value

    return check


def flag(value):
    """A check: true or false, or a word for it."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise ValueError("expected true or false")
    return words[str(value).lower()]


def text(value):
    """A check: a text that is not empty, or a path."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError("expected a text")
    return os.fspath(value)


def several(check, count=None):
    """A check: a list of values that each pass `check`."""

    def check_all(values):
        values = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(values, (list, tuple)) or (count is not None and len(values) != count):
            raise ValueError(f"expected {'a list' if count is None else f'{count} values'}")
        return [check(value) for value in values]

    return check_all


#   key            check                        what --help says
OPTIONS = {
    "tag": (text, "name of the experiment; what it makes goes to RUN_ROOT/TAG, the next run's to RUN_ROOT/TAG-2"),
    "trn_root": (text, "training data, a .mat file; made by get_data.py if it is not there"),
    "val_root": (text, "validation data, likewise"),
    "stats_file": (text, "mean and standard deviation of the colours, a .mat file; made if it is not there"),
    "inp_dim": (several(whole(1), 3), "channels, height and width of an image"),
    "out_dim": (whole(1), "number of classes"),
    "kernel": (whole(1), "size of the convolution kernels"),
    "channels": (several(whole(1), 2), "channels of the two convolutional blocks"),
    "hidden": (whole(1), "units of the first dense block"),
    "gpu": (flag, "ask for a GPU; accepted, but cnn computes on the CPU"),
    "gpu_idx": (whole(0), "which GPU; accepted likewise"),
    "solver": (one_of("Adam", "SGDM"), "optimiser: Adam, or SGDM (stochastic gradient descent with momentum)"),
    "tbs": (whole(1), "training batch size"),
    "vbs": (whole(1), "validation batch size"),
    "num_epochs": (whole(1), "how often to go through the training data"),
    "lr": (number(above=True), "learning rate"),
    "wd": (number(), "weight decay"),
    "momentum": (number(), "momentum of SGDM"),
    "lr_sch": (several(whole(1)), "epochs after which the learning rate is lowered"),
    "lr_factor": (number(above=True), "what it is multiplied with then"),
    "coll_cycle": (whole(1), "note loss and accuracy every so many iterations (for the plot)"),
    "display_freq": (whole(1), "show loss and accuracy every so many iterations"),
    "val_cycle": (whole(0), "validate every so many iterations; 0: at the end of each epoch"),
    "data": (one_of("cifar10", "shapes"), "cifar10, or shapes: the built-in drawn data set, made in seconds"),
    "data_root": (text, "folder with a copy of CIFAR-10 (the archive or its unpacked folder); also CNN_DATA_DIR"),
    "offline": (flag, "never use the network"),
    "run_root": (text, "folder of all experiments"),
    "seed": (whole(0), "where the random numbers start; the same seed gives the same run, bit for bit"),
}
WORDS = ("Adam", "SGDM", "cifar10", "shapes")  # the values that are words
NEEDED = ("tag", "solver", "num_epochs", "lr", "wd", "lr_sch", "lr_factor", "gpu", "tbs", "out_dim")  # by sup_trn
NEEDED += ("coll_cycle", "display_freq", "val_cycle")
ADDED_AT_RUN_TIME = ("stats", "trn_size", "val_size", "data_name", "resume", "folder")
MAY_CHANGE_ON_RESUME = ("num_epochs", "display_freq", "data_root", "offline")


def check_options(opt_dict):
    """Raise an InputError for the first key of opt_dict that is unknown, missing, or whose value cannot be used."""
    for key, value in opt_dict.items():
        if key in ADDED_AT_RUN_TIME or (value is None and key == "data_root"):
            continue
        if key not in OPTIONS:
            raise InputError(f"opt_dict: unknown key '{key}'" + did_you_mean(key, OPTIONS))
        try:
            OPTIONS[key][0](value)
        except ValueError as problem:
            raise InputError(f"opt_dict['{key}']: {problem}, got {value!r}{did_you_mean(value, WORDS)}") from None
    missing = [key for key in NEEDED if key not in opt_dict]
    if opt_dict.get("solver") == "SGDM" and "momentum" not in opt_dict:
        missing.append("momentum")
    if missing:
        raise InputError(f"opt_dict: missing key '{missing[0]}': {OPTIONS[missing[0]][1]}")


def did_you_mean(word, known):
    close = difflib.get_close_matches(str(word).lower(), [name.lower() for name in known], 1)
    names = {name.lower(): name for name in known}
    return f"; did you mean '{names[close[0]]}'?" if close else ""


EXAMPLES = """examples:
  {main}                              train with the defaults
  {main} --num-epochs 3 --lr 5e-4     fewer epochs, smaller steps
  {main} --data shapes                the built-in drawn data set, no download
  {main} --data-root ~/cifar10        CIFAR-10 from a local copy
  {main} --resume                     go on after Ctrl-C, with the same result
  {main} --preset course              the course's own values"""


def command(script, *arguments):
    """The command line that starts a script of ours here, as it can be typed: the Python that runs now, by its name
    where that finds it, else by its path."""
    python = sys.executable or "python"
    names = [name for name in ("python", "python3") if shutil.which(name) == python]
    if not names and os.path.dirname(python).startswith(os.getcwd() + os.sep):
        python = os.path.relpath(python)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), script)
    if os.path.dirname(path) == os.getcwd():
        path = script
    return shlex.join([*(names[:1] or [python]), path, *arguments])


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}\n")


def read_options(defaults, presets, argv=None):
    """The command line as (opt_dict, the keys that were given on it, where to resume from or None).

    Every key of `defaults` is an option, with dashes or underscores. presets: {name: {key: value}}, chosen by --preset.
    """
    parser = Parser(
        prog="main.py",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train the network of the assignment: data, statistics, training, validation, checkpoint and plot.",
        epilog=EXAMPLES.format(main=command("main.py")),
    )
    for key, default in defaults.items():
        check, meaning = OPTIONS[key]
        words = {"dest": key, "metavar": key.split("_")[-1].upper(), "default": argparse.SUPPRESS}
        if isinstance(default, (list, tuple)):
            words["nargs"] = "*"
            default = " ".join(map(str, default))
        elif check is flag:
            words |= {"nargs": "?", "const": True}
        parser.add_argument("--" + key.replace("_", "-"), help=f"{meaning} (default: {default})", **words)
    parser.add_argument("--preset", choices=sorted(presets), help="other defaults; course: the course's own values")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="FILE",
        help="go on with a stopped run (FILE: its last.pt; without it the latest of TAG)",
    )

    argv = sys.argv[1:] if argv is None else argv
    argv = [dashes(word) if word.startswith("--") else word for word in argv]
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        names = ["--" + key.replace("_", "-") for key in (*defaults, "preset", "resume", "help")]
        guess = did_you_mean(unknown[0].partition("=")[0], names)
        parser.error(f"unknown option '{unknown[0]}'{guess}; --help lists all")
    given = vars(given)
    preset, resume = given.pop("preset"), given.pop("resume")
    if preset and resume:
        parser.error("--resume goes on with the values that the run began with; leave --preset out")
    for key, value in given.items():
        try:
            given[key] = OPTIONS[key][0](value)
        except ValueError as problem:
            parser.error(f"--{key.replace('_', '-')}: {problem}, got {value!r}{did_you_mean(value, WORDS)}")
    return {**defaults, **presets.get(preset, {}), **given}, set(given), resume


def resumed_options(options, given, resume):
    """The options of the run to go on with, and its checkpoint as 'resume'. Only a few may be changed on the way.

    The checkpoint gets the key 'folder': where it lies, if that is its run's folder, else None."""
    path = latest_checkpoint(options) if resume is True else resume
    if resume is True and not os.path.isfile(path):
        others = sorted(glob.glob(os.path.join(glob.escape(options["run_root"]), "*", "last.pt")))
        hint = f"; there is {', '.join(others)}: name it, --resume FILE" if others else ""
        raise InputError(f"{path}: no such checkpoint{hint}")
    state = load(path)
    try:
        saved = state["options"]
        check_options(saved)
    except (TypeError, KeyError, InputError):
        raise InputError(f"{path}: expected a checkpoint that main.py saved as last.pt, got another file") from None
    for key in given - set(MAY_CHANGE_ON_RESUME):
        if options[key] != saved[key]:
            raise InputError(f"--resume: {key} is {saved[key]!r} in {path} and cannot become {options[key]!r}")
    folder = os.path.dirname(path)
    state["folder"] = folder if os.path.basename(folder) == state.get("run", saved["tag"]) else None
    return {**saved, **{key: options[key] for key in given}, "resume": state}


def latest_checkpoint(options):
    """The last.pt of TAG, TAG-2, ... that was written last; that of TAG where there is none."""
    stem = os.path.join(options["run_root"], options["tag"])
    folders = [folder for folder in glob.glob(glob.escape(stem) + "*") if re.fullmatch(r"(-\d+)?", folder[len(stem) :])]
    files = [path for path in (os.path.join(folder, "last.pt") for folder in folders) if os.path.isfile(path)]
    return max(files, key=os.path.getmtime, default=os.path.join(stem, "last.pt"))


def check_feed(feed, root, options):
    """The images and labels of a data set must fit the network's inp_dim and out_dim."""
    if not len(feed):
        raise InputError(f"{root}: expected images, got none")
    if list(feed.images.shape[1:]) != list(options["inp_dim"]):
        got = list(feed.images.shape[1:])
        raise InputError(f"{root}: expected images of inp_dim {list(options['inp_dim'])}, got {got}")
    least, most = feed.labels.min(), feed.labels.max()
    if least < 0 or most >= options["out_dim"]:
        raise InputError(f"{root}: expected labels from 0 to {options['out_dim'] - 1} (out_dim), got {least} to {most}")


def complain(problem, code):
    print(f"main.py: {one_line(problem)}", file=sys.stderr)
    return code


def dashes(option):
    """--num_epochs=3 as --num-epochs=3"""
    name, equals, value = option.partition("=")
    return name.replace("_", "-") + equals + value


def one_line(problem):
    return " ".join(str(problem).split()) or type(problem).__name__


# ---------------------------------------------------------------------------------------------------- a training run


class TrainingStopped(RuntimeError):
    """Training has been given up: the text says what happened and what to change."""


class Run:
    """What sup_trn keeps beside the mathematics: progress, trn_info, history, the best network, checkpoints.

        with Run(net, solver, schedule, trn_loader, opt_dict) as run:
            while run.epoch < opt_dict["num_epochs"]:
                for x, t in run.batches():
                    ... forward, backward ...
                    with run.update(loss, y, t):
                        solver.step()
                with run.end_of_epoch():
                    schedule.step()

    Files, in opt_dict["folder"] or a folder that `take_folder` finds: history.csv and history.json, a row for each
    epoch; best.pt, the weights of the best validation accuracy; last.pt, all that a resumed run needs to give the same
    bits as one that was never stopped: weights, optimiser, schedule, the place in the epoch, and the state of the
    random numbers now and where the epoch began (from there the order of the batches is drawn again).

    Ctrl-C may come at any moment. `update` and `end_of_epoch` hold it back for the few milliseconds in which weights
    and records change together. A forward or backward pass that it cuts short has moved only random numbers and buffers
    (batch norm's running statistics); `mark` has noted where they stood after the last whole step.
    """

    KEPT = ("epoch", "batch", "itr", "seconds", "sums", "epochs_at_chance", "info", "history", "best_acc", "epoch_rng")

    def __init__(self, net, solver, schedule, trn_loader, opt_dict):
        self.net, self.solver, self.schedule, self.loader, self.opt = net, solver, schedule, trn_loader, opt_dict
        self.name = opt_dict.get("data_name") or opt_dict["tag"]
        self.folder, self.lock = opt_dict.get("folder"), None
        if not self.folder and "run_root" in opt_dict:
            self.folder, self.lock = take_folder(opt_dict)
        self.per_epoch = len(trn_loader)
        if not self.per_epoch:
            raise InputError("sup_trn: expected batches to train with, got an empty trn_loader")
        self.total = self.per_epoch * opt_dict["num_epochs"]
        self.epoch = 0  # whole epochs done
        self.batch = 0  # batches of this epoch done
        self.itr = 0  # iterations done, in all epochs
        self.seconds = 0.0
        self.sums = {"loss": 0.0, "right": 0, "seen": 0}  # over this epoch
        self.epochs_at_chance = 0  # in a row
        self.info = {key: [] for key in ("trn_loss", "val_loss", "trn_acc", "val_acc", "trn_itr", "val_itr")}
        self.history = []
        self.best_acc, self.best, self.best_is_saved = -1.0, None, True
        self.epoch_rng = None  # the random numbers where this epoch began
        if opt_dict.get("resume"):
            self.load(opt_dict["resume"])
        self.mark()

    def __enter__(self):
        self.started, self.first = time.monotonic(), self.itr
        self.bar = progress_bar(self.total, self.itr, self.name)
        if self.opt.get("resume"):
            self.say(f"resumed in epoch {self.epoch + 1}, after {counted(self.itr, 'iteration')} of {self.total}")
        return self

    def __exit__(self, kind, problem, trace):
        self.bar.close()
        self.seconds += time.monotonic() - self.started
        if kind in (KeyboardInterrupt, TrainingStopped):
            self.take_back()
            self.save()
        if kind is KeyboardInterrupt and self.folder:
            path = os.path.join(self.folder, "last.pt")
            go_on = command("main.py", "--resume", path)
            self.say(f"stopped after {counted(self.itr, 'iteration')}; saved. Go on with: {go_on}")
        if self.lock:
            self.lock.close()

    # One batch, one epoch

    def batches(self):
        """The batches of this epoch; a resumed run leaves out those it has had."""
        import cnn

        now = cnn.get_rng_state()
        resumed = self.batch > 0  # in an epoch without a whole step, the loader's own draws are still to come
        if self.epoch_rng is None:
            self.epoch_rng = now
        cnn.set_rng_state(self.epoch_rng)
        for batch, (x, t) in enumerate(self.loader):
            if batch < self.batch:
                continue
            if resumed:
                cnn.set_rng_state(now)
                resumed = False
            self.mark()
            self.x = x
            yield x, t
        if resumed:  # it was stopped behind the last batch
            cnn.set_rng_state(now)

    @contextlib.contextmanager
    def update(self, loss, y, t):
        """Around solver.step(): weights and records change together."""
        loss, right, size = loss.item(), (y.argmax(dim=1) == t).sum().item(), len(t)
        if not math.isfinite(loss):
            found = f"the loss is {loss} at iteration {self.itr + 1}: {self.culprit()}"
            raise TrainingStopped(f"{found}. Lower --lr (now {self.opt['lr']:g}).")
        with without_interrupt():
            yield
            self.batch += 1
            self.itr += 1
            for key, value in (("loss", loss * size), ("right", right), ("seen", size)):
                self.sums[key] += value
            if self.itr % self.opt["coll_cycle"] == 0 or self.itr == 1:
                for key, value in (("trn_loss", loss), ("trn_acc", right / size), ("trn_itr", self.itr)):
                    self.info[key].append(value)
            self.mark()
        self.show(loss, right / size)

    def time_to_validate(self):
        """After every val_cycle iterations (0: at the end of the epoch) and after the last one, but only once."""
        every = self.opt["val_cycle"] or self.per_epoch
        due = self.itr and (self.itr % every == 0 or self.itr == self.total)
        return due and self.itr not in self.info["val_itr"][-1:]

    def validated(self, loss, accuracy):
        with without_interrupt():
            for key, value in (("val_loss", loss), ("val_acc", accuracy), ("val_itr", self.itr)):
                self.info[key].append(value)
            if accuracy > self.best_acc:
                self.best_acc = accuracy
                self.best = {name: value.clone() for name, value in self.net.state_dict().items()}
                self.best_is_saved = False
            self.mark()

    @contextlib.contextmanager
    def end_of_epoch(self):
        """Around schedule.step(): closes the epoch, writes history and checkpoint, stops a run that learns nothing."""
        row = self.summary()
        with without_interrupt():
            yield
            self.history.append(row)
            self.epoch += 1
            self.batch, self.epoch_rng = 0, None
            self.sums = dict.fromkeys(self.sums, 0)
            self.epochs_at_chance = self.epochs_at_chance + 1 if self.is_guessing(row) else 0
            self.mark()
        scores = f"training loss {row['trn_loss']:.3f}, accuracy {row['trn_acc']:.1%}"
        if row["val_itr"] == row["itr"]:
            scores += f"; validation loss {row['val_loss']:.3f}, accuracy {row['val_acc']:.1%}"
        self.say(f"epoch {self.epoch}/{self.opt['num_epochs']}: {scores}")
        lr = self.schedule.get_last_lr()[-1]
        if lr != row["lr"]:
            self.say(f"learning rate {row['lr']:g} -> {lr:g}")
        self.save()
        if self.epochs_at_chance >= 3 and self.itr >= 30:
            found = f"after {self.epoch} epochs the network still guesses"
            scores = f"accuracy {row['trn_acc']:.1%} of {self.opt['out_dim']} classes, loss {row['trn_loss']:.3f}"
            change = f"Lower --lr (now {self.opt['lr']:g}) or --tbs (now {self.opt['tbs']})"
            raise TrainingStopped(f"{found}: {scores}. {change}; --lr 0.001 --tbs 128 learns.")

    def summary(self):
        """This epoch as a row of the history. Its validation is the latest one; val_itr says when that was."""
        latest = {key: values[-1] if values else None for key, values in self.info.items()}
        return {
            "epoch": self.epoch + 1,
            "itr": self.itr,
            "lr": self.schedule.get_last_lr()[-1],
            "trn_loss": self.sums["loss"] / self.sums["seen"],
            "trn_acc": self.sums["right"] / self.sums["seen"],
            "val_loss": latest["val_loss"],
            "val_acc": latest["val_acc"],
            "val_itr": latest["val_itr"],
            "minutes": (self.seconds + time.monotonic() - self.started) / 60,
        }

    def is_guessing(self, row):
        """Neither accuracy nor loss is visibly better than the same scores for every image would be."""
        classes = self.opt["out_dim"]
        return classes > 1 and row["trn_acc"] < 1.25 / classes and row["trn_loss"] > 0.99 * math.log(classes)

    def culprit(self):
        """Where the first number that is not finite stands: a weight, the input, or a layer's output."""
        import numpy as np

        import cnn

        def finite(tensor):
            return np.isfinite(tensor.detach().numpy()).all()

        for name, weight in self.net.named_parameters():
            if not finite(weight):
                return f"{name} is not finite"
        if not finite(self.x):
            return "the input is not finite"
        found = []
        for name, layer in self.net.named_modules():
            if not list(layer.children()):
                layer.register_forward_hook(
                    lambda layer, inputs, y, name=name: None if finite(y) else found.append(name)
                )
        with cnn.no_grad():
            self.net(self.x)
        return f"{(found + ['the loss'])[0]} gives values that are not finite"

    # What is shown

    def show(self, loss, accuracy):
        done = self.itr - self.first
        left = (time.monotonic() - self.started) / done * (self.total - self.itr)
        if done == min(20, self.total - self.first - 1):
            self.say(f"{counted(self.opt['num_epochs'] - self.epoch, 'epoch')} to go, about {minutes(left)}")
        self.bar.update()
        if self.itr % self.opt["display_freq"] == 0:
            if self.bar.disable:
                best = f", best validation {self.best_acc:.1%}" if self.best else ""
                scores = f"loss {loss:.3f}, accuracy {accuracy:.1%}{best}"
                self.say(f"iteration {self.itr}/{self.total}: {scores}, {minutes(left)} left")
            else:  # there may be 80 columns
                best = f" best {self.best_acc:.1%}" if self.best else ""
                self.bar.set_postfix_str(f"loss {loss:.3f} acc {accuracy:.1%}{best}")

    def say(self, words):
        self.bar.write(f"{self.name} | {words}", file=sys.stdout)
        sys.stdout.flush()

    # What is kept

    def mark(self):
        """Remember what a forward pass changes on the side."""
        import cnn

        self.marked = cnn.get_rng_state(), [buffer.clone() for buffer in self.net.buffers()]

    def take_back(self):
        """The state of the last whole step, after an interrupted forward pass."""
        import cnn

        rng, buffers = self.marked
        cnn.set_rng_state(rng)
        with cnn.no_grad():
            for buffer, value in zip(self.net.buffers(), buffers, strict=True):
                buffer.copy_(value)

    def save(self):
        if not self.folder:
            return
        if not self.best_is_saved:
            save(self.best, os.path.join(self.folder, "best.pt"))
            self.best_is_saved = True
        state = {key: getattr(self, key) for key in self.KEPT}
        state |= {"rng": self.marked[0], "options": plain_options(self.opt), "run": os.path.basename(self.folder)}
        state |= {key: getattr(self, key).state_dict() for key in ("net", "solver", "schedule")}
        save(state, os.path.join(self.folder, "last.pt"))
        write_history(self.folder, self.opt, self.history)

    def load(self, state):
        import cnn

        for key in self.KEPT:
            setattr(self, key, state[key])
        for key in ("net", "solver", "schedule"):
            getattr(self, key).load_state_dict(state[key])
        best = os.path.join(self.folder or "", "best.pt")
        if self.best_acc >= 0 and os.path.isfile(best):
            self.best = load(best)
        else:
            self.best_acc = -1.0
        cnn.set_rng_state(state["rng"])

    def result(self):
        """[net with its best weights, trn_info], as sup_trn returns them."""
        import numpy as np

        if self.best:
            self.net.load_state_dict(self.best)
        trn_info = {key: np.array(values) for key, values in self.info.items()}
        return [self.net, {**trn_info, "trn_duration": self.seconds / 60}]


@contextlib.contextmanager
def without_interrupt():
    """Hold Ctrl-C back until the block has ended."""
    held = []
    try:
        before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    except ValueError:  # not the main thread: Ctrl-C does not arrive here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


# 80 columns have room for it, with loss and accuracy behind it.
BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining}{postfix}"


def progress_bar(total, done, name):
    """One bar for the whole run, in a terminal or a notebook; nothing moves in a log file."""
    notebook = "ipykernel" in sys.modules
    try:
        if notebook:
            import ipywidgets  # noqa: F401  (without it tqdm's own notebook bar is an error message)
        from tqdm.auto import tqdm
    except ImportError:
        from tqdm import tqdm
    return tqdm(
        total=total,
        initial=done,
        desc=name,
        bar_format=BAR,
        dynamic_ncols=True,
        disable=not (notebook or sys.stderr.isatty()),
    )


def minutes(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.{0 if seconds >= 10 else 1}f} s"


def counted(number, noun):
    """1 epoch, 2 epochs"""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def take_folder(opt_dict):
    """(folder, its lock) for a run: the folder that a resumed one began in, else the first of RUN_ROOT/TAG,
    RUN_ROOT/TAG-2, RUN_ROOT/TAG-3, ... that is empty and no other run's. It is this run's until the lock is closed.
    """
    stem = os.path.join(opt_dict["run_root"], opt_dict["tag"])
    resumed = opt_dict.get("resume")
    if resumed:
        folder = resumed.get("folder", os.path.join(opt_dict["run_root"], resumed.get("run", opt_dict["tag"])))
        if folder:
            lock = lock_folder(folder)
            if lock is None:
                raise InputError(f"{folder}: another run is going on there; wait for it, or stop it with Ctrl-C")
            return folder, lock
    for number in itertools.count(1):
        folder = stem if number == 1 else f"{stem}-{number}"
        lock = lock_folder(folder)
        if lock and not os.listdir(folder):
            return folder, lock
        if lock:
            lock.close()


class Lock:
    """A folder is one process's until `close`, or until the process ends."""

    def __init__(self, folder):
        self.descriptor = os.open(folder, os.O_RDONLY) if fcntl else None
        if fcntl:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise
            except OSError:  # a file system without locks
                pass

    def close(self):
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def lock_folder(folder):
    """The lock of a folder, which is made where it is not there; None where another run has it."""
    os.makedirs(folder, exist_ok=True)
    try:
        return Lock(folder)
    except BlockingIOError:
        return None


def plain_options(opt_dict):
    """The options of a run without what is added at run time: only numbers, texts and lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in opt_dict.items() if key in OPTIONS
    }


def save(state, path):
    import cnn

    cnn.save(state, path)


def load(path):
    """A checkpoint, or an error that names the file."""
    import cnn

    if not os.path.isfile(path):
        raise InputError(f"{path}: no such checkpoint")
    try:
        return cnn.load(path)
    except Exception as problem:
        raise InputError(
            f"{path}: expected a checkpoint, got a file that cannot be read ({one_line(problem)})"
        ) from None


def write_history(folder, opt_dict, history):
    with open(os.path.join(folder, "history.csv"), "w", newline="") as file:
        table = csv.DictWriter(file, history[0] if history else ["epoch"])
        table.writeheader()
        table.writerows(history)
    with open(os.path.join(folder, "history.json"), "w") as file:
        json.dump({"options": plain_options(opt_dict), "epochs": history}, file, indent=1)


def plot(trn_info, title, path):
    """Accuracy and loss over the iterations, as a PNG. Needs no display: the figure is drawn without pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle(title)
    for place, key, label, scale in ((1, "acc", "accuracy (%)", 100), (2, "loss", "loss", 1)):
        axes = figure.add_subplot(1, 2, place)
        axes.plot(trn_info["trn_itr"], trn_info[f"trn_{key}"] * scale, "-b", alpha=0.5, label="training batches")
        axes.plot(trn_info["val_itr"], trn_info[f"val_{key}"] * scale, "-or", markersize=4, label="validation")
        axes.set(xlabel="iteration", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def write_image_stats(argv=None):
    """python utils.py: the statistics of a .mat file."""
    parser = Parser(prog="utils.py", description="Write the mean and standard deviation of each colour of a data set.")
    parser.add_argument("--trn-root", metavar="FILE", default="training.mat", help="the data (default: %(default)s)")
    parser.add_argument(
        "--stats-file", metavar="FILE", default="image_stats.mat", help="what to write (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    try:
        images, _, name = read_images(options.trn_root)
        stats = cal_stats(images)
        write_stats(options.stats_file, stats, name)
    except (InputError, OSError) as problem:
        parser.error(one_line(problem))
    print(f"{name} | {options.stats_file}: mean {stats['mean']}, std {stats['std']}")


if __name__ == "__main__":
    write_image_stats()
