"""The assignment from beginning to end: data, statistics, network, training, validation, checkpoint, plot.

python main.py              train with the values below
python main.py --help       every value is an option
"""

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
    options, given, resume = utils.read_options(opt_dict, {"course": course})
    if options["data"] == "shapes":
        options.update({key: value for key, value in shapes.items() if key not in given})
    try:
        if resume:
            options = utils.resumed_options(options, given, resume)
        find_data(options, given)
        train(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except (utils.InputError, OSError) as problem:
        sys.exit(utils.complain(problem, 2))
    except utils.TrainingStopped as problem:
        sys.exit(utils.complain(problem, 1))


def find_data(options, given):
    """Find, download or draw the data, and its statistics. Notes the name of the data set: it stands on every line."""
    from get_data import DataNotFound, get_data

    for key in ("trn_root", "val_root", "stats_file"):
        if key in given and not os.path.isfile(options[key]):
            raise utils.InputError(f"{key}: {options[key]}: no such file; without this option main.py makes it")

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
        images, _, _ = utils.read_images(options["trn_root"])
        utils.write_stats(options["stats_file"], utils.cal_stats(images), options["data_name"])
    options["stats"] = utils.read_stats(options["stats_file"], options["data_name"])


def train(options):
    import cnn
    from algo_train import sup_trn
    from build_net import CNN
    from cnn.utils.data import DataLoader
    from data_feed import DataFeed

    cnn.manual_seed(options["seed"])

    # Data loaders
    trn_feed = DataFeed(options["trn_root"], trf=True, stats=options["stats"])
    val_feed = DataFeed(options["val_root"], trf=True, stats=options["stats"])
    for feed, root in ((trn_feed, options["trn_root"]), (val_feed, options["val_root"])):
        utils.check_feed(feed, root, options)
    trn_loader = DataLoader(trn_feed, batch_size=options["tbs"], shuffle=True)
    val_loader = DataLoader(val_feed, batch_size=options["vbs"])
    options["trn_size"], options["val_size"] = len(trn_feed), len(val_feed)
    options["folder"], lock = utils.take_folder(options)
    print(f"{options['data_name']} | {len(trn_feed)} training images, {len(val_feed)} validation images")
    print(f"{options['data_name']} | results go to {options['folder']}")

    # Network
    net = CNN(options["inp_dim"], options["out_dim"], options["kernel"], options["channels"], options["hidden"])
    if options["gpu"]:
        net = net.cuda()
    print(net)

    # Training
    net, trn_info = sup_trn(net, trn_loader, val_loader, options)

    # Results
    folder = options["folder"]
    picture = os.path.join(folder, "accuracy.png")
    utils.plot(trn_info, f"{options['tag']} on {options['data_name']}", picture)
    name, duration = options["data_name"], utils.minutes(trn_info["trn_duration"] * 60)
    print(f"{name} | best validation accuracy {max(trn_info['val_acc']):.1%} after {duration} of training")
    print(f"{name} | plot: {picture}; best network: {folder}/best.pt; checkpoint: {folder}/last.pt")
    lock.close()


if __name__ == "__main__":
    main()
