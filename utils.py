"""Helpers that no lesson depends on: statistics and .mat files, and what a training run shows and keeps.

`python utils.py` writes image_stats.mat from training.mat, as in the course.

NumPy, SciPy and the rest are imported where they are used, so that `python main.py --help` answers at once.
"""

import contextlib
import csv
import glob
import json
import math
import os
import signal
import sys
import time

from options import (  # noqa: F401  (some are for the other scripts)
    OPTIONS,
    InputError,
    Parser,
    check_options,
    command,
    one_line,
    plain_options,
    read_options,
)
from run_folder import latest_checkpoint, take_folder

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


# ----------------------------------------------------------------------------------------- options of a resumed run


MAY_CHANGE_ON_RESUME = ("num_epochs", "display_freq", "data_root", "offline")


def resumed_options(options, given, resume):
    """The options of the run to go on with, and its checkpoint as 'resume'. Only a few may be changed on the way.

    The checkpoint gets the key 'folder': where it lies, if that is its run's folder, else None."""
    path = latest_checkpoint(options) if resume is True else resume
    if os.path.isdir(path):
        path = os.path.join(path, "last.pt")
    if resume is True and not os.path.isfile(path):
        others = sorted(glob.glob(os.path.join(glob.escape(options["run_root"]), "*", "last.pt")))
        more = ", ..." if len(others) > 3 else ""
        hint = f"; there is {', '.join(others[:3])}{more}: name it, --resume FILE" if others else ""
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
            if self.epoch < self.opt["num_epochs"]:
                self.say(f"resumed in epoch {self.epoch + 1}, after {counted(self.itr, 'iteration')} of {self.total}")
            else:
                self.say(f"this run has had its {counted(self.epoch, 'epoch')}; go on with more by --num-epochs")
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
    if seconds >= 10:
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{max(seconds, 0.1):.1f} s"


def counted(number, noun):
    """1 epoch, 2 epochs"""
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
