"""Helpers that no lesson depends on: statistics of the colours, the plot, and the options of the experiment.

`python utils.py` writes image_stats.mat from training.mat, as in the course. What a training run shows and keeps is in
cnn.training, .mat files are in cnn.utils.matfile.

cnn, NumPy, SciPy and the rest are imported where they are used, so that `python main.py --help` answers at once.
"""

import argparse
import difflib
import math
import os
import shlex
import shutil
import sys


def input_error(text):
    """An InputError, one line: what, expected, got."""
    from cnn.errors import InputError

    return InputError(text)


# -------------------------------------------------------------------------------------------------- statistics and plot


def cal_stats(imgs):
    """Mean and standard deviation of each colour over a whole data set: {'mean': (3,), 'std': (3,)}, float64.

    imgs: (N, 3, H, W), bytes (uint8, 0..255) or floats scaled to 0..1. In both cases the result is of pixels in 0..1.
    """
    import numpy as np

    if imgs.ndim != 4 or imgs.shape[1] != 3 or imgs.size == 0:
        raise input_error(f"cal_stats: expected images (N, 3, height, width), got {imgs.shape}")
    if imgs.dtype == np.uint8:
        # A byte has 256 values: counting them is exact and needs no float copy of the images.
        levels = np.arange(256) / 255
        counts = [np.bincount(imgs[:, c].ravel(), minlength=256) for c in range(3)]
        mean = np.array([np.average(levels, weights=count) for count in counts])
        var = np.array([np.average((levels - m) ** 2, weights=count) for m, count in zip(mean, counts, strict=True)])
        return {"mean": mean, "std": np.sqrt(var)}
    if not (imgs.min() >= 0 and imgs.max() <= 1):
        raise input_error(
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
            raise input_error(f"{source}: expected 'mean' and 'std' of three colours, got no '{key}'")
        value = np.asarray(stats[key], dtype=np.float64).ravel()  # SciPy reads a vector back as (1, 3)
        if value.shape != (3,) or not np.isfinite(value).all():
            raise input_error(f"{source}: expected three numbers as '{key}', got {np.asarray(stats[key]).tolist()}")
        if value.max() > 1 or value.min() < 0:
            raise input_error(f"{source}: '{key}' must be that of pixels scaled to 0..1, got {value.tolist()}")
        values.append(value)
    if values[1].min() == 0:
        raise input_error(f"{source}: 'std' must be above 0 for every colour, got {values[1].tolist()}")
    return values


def read_stats(path, data_name):
    """The statistics in `path`; they must belong to the data set `data_name` where the file says whose they are."""
    from cnn.utils import matfile

    check_file(path)
    contents = matfile.read(path)
    owner = matfile.name_in(contents, data_name)
    if owner != data_name:
        raise input_error(f"{path}: expected the statistics of {data_name}, got those of {owner}; delete the file")
    mean, std = check_stats(contents, path)
    return {"mean": mean, "std": std}


def write_stats(path, stats, data_name):
    import scipy.io

    from cnn.serialization.atomic import atomic_write

    with atomic_write(path) as file:
        scipy.io.savemat(file, {**stats, "name": data_name})


def check_file(path):
    """Where a .mat file is not there, say how to make it."""
    if not os.path.isfile(path):
        make = f"`{command('get_data.py')}` makes the data, `{command('utils.py')}` the statistics"
        raise input_error(f"{path}: no such file; {make}")


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


# -------------------------------------------------------------------------------------------- options of the experiment


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


def check_options(opt_dict):
    """Raise an InputError for the first key of opt_dict that is unknown, missing, or whose value cannot be used."""
    for key, value in opt_dict.items():
        if key in ADDED_AT_RUN_TIME or (value is None and key == "data_root"):
            continue
        if key not in OPTIONS:
            raise input_error(f"opt_dict: unknown key '{key}'" + did_you_mean(key, OPTIONS))
        try:
            OPTIONS[key][0](value)
        except ValueError as problem:
            raise input_error(f"opt_dict['{key}']: {problem}, got {value!r}{did_you_mean(value, WORDS)}") from None
    missing = [key for key in NEEDED if key not in opt_dict]
    if opt_dict.get("solver") == "SGDM" and "momentum" not in opt_dict:
        missing.append("momentum")
    if missing:
        raise input_error(f"opt_dict: missing key '{missing[0]}': {OPTIONS[missing[0]][1]}")


def did_you_mean(word, known):
    close = difflib.get_close_matches(str(word).lower(), [name.lower() for name in known], 1)
    names = {name.lower(): name for name in known}
    return f"; did you mean '{names[close[0]]}'?" if close else ""


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


def write_image_stats(argv=None):
    """python utils.py: the statistics of a .mat file."""
    parser = Parser(prog="utils.py", description="Write the mean and standard deviation of each colour of a data set.")
    parser.add_argument("--trn-root", metavar="FILE", default="training.mat", help="the data (default: %(default)s)")
    parser.add_argument(
        "--stats-file", metavar="FILE", default="image_stats.mat", help="what to write (default: %(default)s)"
    )
    options = parser.parse_args(argv)

    from cnn.errors import InputError, one_line
    from cnn.utils.matfile import read_images

    try:
        check_file(options.trn_root)
        images, _, name = read_images(options.trn_root)
        stats = cal_stats(images)
        write_stats(options.stats_file, stats, name)
    except (InputError, OSError) as problem:
        parser.error(one_line(problem))
    print(f"{name} | {options.stats_file}: mean {stats['mean']}, std {stats['std']}")


if __name__ == "__main__":
    write_image_stats()
