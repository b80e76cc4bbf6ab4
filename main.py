"""The assignment from beginning to end: data, statistics, network, training, validation, checkpoint, plot.

python main.py              train with the values below
python main.py --help       every value is an option
"""

import argparse
import glob
import os
import sys

import utils

# The parameters of the experiment. Every key is also an option of the command line: --num-epochs 3.
opt_dict = {
    "tag": "cifar_cnn",  # a title for the experiment
    # Data
    "trn_root": "training.mat",  # training data
    "val_root": "testing.mat",  # validation data
    "stats_file": "image_stats.mat",  # mean and standard deviation of the colours
    "data": "cifar10",  # or 'shapes', drawn by cnn itself
    "data_root": None,  # a local copy of CIFAR-10
    "offline": False,  # never use the network
    # Network
    "inp_dim": (3, 32, 32),  # channels, height, width
    "out_dim": 10,  # number of classes
    "kernel": 3,  # size of the convolution kernels
    "channels": (32, 64),  # of the two convolutional blocks
    "hidden": 512,  # units of the first dense block
    # Training
    "gpu": False,
    "gpu_idx": 0,
    "solver": "Adam",  # or 'SGDM'
    "tbs": 128,  # training batch size
    "vbs": 1000,  # validation batch size
    "num_epochs": 10,
    "lr": 1e-3,  # learning rate
    "wd": 1e-5,  # weight decay
    "momentum": 0.9,  # of SGDM
    "lr_sch": [7],  # epochs after which the learning rate is lowered
    "lr_factor": 0.1,  # what it is multiplied with
    "seed": 0,
    # Records
    "coll_cycle": 10,  # note training loss and accuracy every so many iterations
    "display_freq": 50,  # show them every so many iterations
    "val_cycle": 0,  # validate every so many iterations; 0: at the end of each epoch
    "run_root": "runs",  # results go to runs/TAG, those of the next run to runs/TAG-2
}

# The course's own values where ours differ: --preset course.
course = {
    "tbs": 4096,
    "vbs": 4096,
    "num_epochs": 100,
    "lr": 1e-2,
    "lr_sch": [70],
    "coll_cycle": 10,
    "display_freq": 10,
    "val_cycle": 30,
}

# Where the drawn data set is kept, so that it never stands where CIFAR-10 is expected.
shapes = {
    "tag": "shapes_cnn",
    "data": "shapes",
    "trn_root": "shapes_training.mat",
    "val_root": "shapes_testing.mat",
    "stats_file": "shapes_stats.mat",
}


def main():
    options, given, resume = read_options(opt_dict, {"course": course})
    if options["data"] == "shapes":
        options.update({key: value for key, value in shapes.items() if key not in given})
    try:
        run(options, given, resume)
    except KeyboardInterrupt:
        sys.exit(130)


def run(options, given, resume):
    from cnn.errors import InputError
    from cnn.training import TrainingStopped

    try:
        if resume:
            options = resumed_options(options, given, resume)
        find_data(options, given)
        train(options)
    except (InputError, OSError) as problem:
        sys.exit(complain(problem, 2))
    except TrainingStopped as problem:
        sys.exit(complain(problem, 1))


def complain(problem, code):
    from cnn.errors import one_line

    print(f"main.py: {one_line(problem)}", file=sys.stderr)
    return code


def find_data(options, given):
    """Find, download or draw the data, and its statistics. Notes the name of the data set: it stands on every line."""
    from cnn.utils.matfile import read_images
    from get_data import DataNotFound, get_data

    for key in ("trn_root", "val_root", "stats_file"):
        if key in given and not os.path.isfile(options[key]):
            raise utils.input_error(f"{key}: {options[key]}: no such file; without this option main.py makes it")

    wanted = {key: options[key] for key in ("trn_root", "val_root", "data", "data_root", "offline")}
    try:
        options["data_name"] = get_data(**wanted)
    except DataNotFound as problem:
        print(f"CIFAR-10 was not found: {problem}")
        print(f"With a copy elsewhere: {utils.command('main.py', '--data-root', 'FOLDER')}")
        print("Going on with the drawn data set; its accuracy says nothing about CIFAR-10.", flush=True)
        options.update(shapes)
        options["data_name"] = get_data(**{**wanted, **{key: options[key] for key in ("data", "trn_root", "val_root")}})

    if not os.path.isfile(options["stats_file"]):
        images, _, _ = read_images(options["trn_root"])
        utils.write_stats(options["stats_file"], utils.cal_stats(images), options["data_name"])
    options["stats"] = utils.read_stats(options["stats_file"], options["data_name"])


def train(options):
    import cnn
    from algo_train import sup_trn
    from build_net import CNN
    from cnn.training import take_folder
    from cnn.training.progress import minutes
    from cnn.utils.data import DataLoader
    from data_feed import DataFeed, check_feed

    cnn.manual_seed(options["seed"])

    # Data loaders
    trn_feed = DataFeed(options["trn_root"], trf=True, stats=options["stats"])
    val_feed = DataFeed(options["val_root"], trf=True, stats=options["stats"])
    for feed, root in ((trn_feed, options["trn_root"]), (val_feed, options["val_root"])):
        check_feed(feed, root, options)
    trn_loader = DataLoader(trn_feed, batch_size=options["tbs"], shuffle=True)
    val_loader = DataLoader(val_feed, batch_size=options["vbs"])
    options["trn_size"], options["val_size"] = len(trn_feed), len(val_feed)
    folder = take_folder(options["run_root"], options["tag"], options.get("resume"))
    options["folder"] = folder.path
    print(f"{options['data_name']} | {len(trn_feed)} training images, {len(val_feed)} validation images")
    print(f"{options['data_name']} | results go to {folder.path}")

    # Network
    net = CNN(options["inp_dim"], options["out_dim"], options["kernel"], options["channels"], options["hidden"])
    if options["gpu"]:
        net = net.cuda()
    print(net)

    # Training
    net, trn_info = sup_trn(net, trn_loader, val_loader, options)

    # Results
    picture = os.path.join(folder, "accuracy.png")
    utils.plot(trn_info, f"{options['tag']} on {options['data_name']}", picture)
    name, duration = options["data_name"], minutes(trn_info["trn_duration"] * 60)
    print(f"{name} | best validation accuracy {max(trn_info['val_acc']):.1%} after {duration} of training")
    print(f"{name} | plot: {picture}; best network: {folder.path}/best.pt; checkpoint: {folder.path}/last.pt")
    folder.close()


# --------------------------------------------------------------------------------------------------------- command line


EXAMPLES = """examples:
  {main}                              train with the defaults
  {main} --num-epochs 3 --lr 5e-4     fewer epochs, smaller steps
  {main} --data shapes                the built-in drawn data set, no download
  {main} --data-root ~/cifar10        CIFAR-10 from a local copy
  {main} --resume                     go on after Ctrl-C, with the same result
  {main} --preset course              the course's own values"""


def read_options(defaults, presets, argv=None):
    """The command line as (opt_dict, the keys that were given on it, where to resume from or None).

    Every key of `defaults` is an option, with dashes or underscores. presets: {name: {key: value}}, chosen by --preset.
    """
    parser = utils.Parser(
        prog="main.py",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train the network of the assignment: data, statistics, training, validation, checkpoint and plot.",
        epilog=EXAMPLES.format(main=utils.command("main.py")),
    )
    for key, default in defaults.items():
        check, meaning = utils.OPTIONS[key]
        words = {"dest": key, "metavar": key.split("_")[-1].upper(), "default": argparse.SUPPRESS}
        if isinstance(default, (list, tuple)):
            words["nargs"] = "*"
            default = " ".join(map(str, default))
        elif check is utils.flag:
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
        guess = utils.did_you_mean(unknown[0].partition("=")[0], names)
        parser.error(f"unknown option '{unknown[0]}'{guess}; --help lists all")
    given = vars(given)
    preset, resume = given.pop("preset"), given.pop("resume")
    if preset and resume:
        parser.error("--resume goes on with the values that the run began with; leave --preset out")
    for key, value in given.items():
        try:
            given[key] = utils.OPTIONS[key][0](value)
        except ValueError as problem:
            parser.error(f"--{key.replace('_', '-')}: {problem}, got {value!r}{utils.did_you_mean(value, utils.WORDS)}")
    return {**defaults, **presets.get(preset, {}), **given}, set(given), resume


def dashes(option):
    """--num_epochs=3 as --num-epochs=3"""
    name, equals, value = option.partition("=")
    return name.replace("_", "-") + equals + value


# -------------------------------------------------------------------------------------------------------- a resumed run


MAY_CHANGE_ON_RESUME = ("num_epochs", "display_freq", "data_root", "offline")


def resumed_options(options, given, resume):
    """The options of the run to go on with, and its checkpoint as 'resume'. Only a few may be changed on the way."""
    from cnn.errors import InputError
    from cnn.training import latest_checkpoint, load_checkpoint

    path = latest_checkpoint(options["run_root"], options["tag"]) if resume is True else resume
    if os.path.isdir(path):
        path = os.path.join(path, "last.pt")
    if resume is True and not os.path.isfile(path):
        others = sorted(glob.glob(os.path.join(glob.escape(options["run_root"]), "*", "last.pt")))
        more = ", ..." if len(others) > 3 else ""
        hint = f"; there is {', '.join(others[:3])}{more}: name it, --resume FILE" if others else ""
        raise InputError(f"{path}: no such checkpoint{hint}")
    state = load_checkpoint(path, by="main.py")
    saved = state["options"]
    try:
        utils.check_options(saved)
    except InputError:
        raise InputError(f"{path}: expected a checkpoint that main.py saved as last.pt, got another file") from None
    for key in given - set(MAY_CHANGE_ON_RESUME):
        if options[key] != saved[key]:
            raise InputError(f"--resume: {key} is {saved[key]!r} in {path} and cannot become {options[key]!r}")
    return {**saved, **{key: options[key] for key in given}, "resume": state}


if __name__ == "__main__":
    main()
