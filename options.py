"""The options of the experiment: what each key of opt_dict may be, and the command line that sets it."""

import argparse
import difflib
import math
import os
import shlex
import shutil
import sys


class InputError(ValueError):
    """A value or a file from outside is not what it should be. The text is one line: what, expected, got."""


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


def plain_options(opt_dict):
    """The options of a run without what is added at run time: only numbers, texts and lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in opt_dict.items() if key in OPTIONS
    }


def dashes(option):
    """--num_epochs=3 as --num-epochs=3"""
    name, equals, value = option.partition("=")
    return name.replace("_", "-") + equals + value


def one_line(problem):
    return " ".join(str(problem).split()) or type(problem).__name__
