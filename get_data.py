"""Bring the data: training.mat and testing.mat, from CIFAR-10 or from the drawn data set.

    python get_data.py                              find CIFAR-10 here, or download it to data/
    python get_data.py --data-root FOLDER           from a copy: the archive, or the folder that it unpacks to
    python get_data.py --data shapes                the drawn data set; needs nothing

Each .mat file holds `img`, N x 3072 float32 with pixels from 0 to 255 (red, green, blue, each row by row), `cls`,
N labels as float32, and `name`, whose data it is (`cnn.utils.matfile` writes it). SciPy and MATLAB read them as they
read the course's.
"""

import argparse
import os
import sys

import utils


class DataNotFound(Exception):
    """CIFAR-10 is neither here nor can it be downloaded; the text says how to bring it."""


def get_data(
    trn_root="training.mat",
    val_root="testing.mat",
    data="cifar10",
    data_root=None,
    offline=False,
    seed=0,
    force=False,
    say=print,
):
    """Make the .mat files that are missing; return the name of the data set in them.

    data       'cifar10', or 'shapes' for the drawn data set
    data_root  folder with a copy of CIFAR-10, and where it is downloaded to; default data/. The folder that the
               environment variable CNN_DATA_DIR names is looked into as well
    offline    never use the network
    seed       of the drawn data set
    force      make them anew also where they are there

    Raises DataNotFound, or InputError for a copy that is damaged.
    """
    from cnn.utils import matfile

    both = ((trn_root, True), (val_root, False))
    missing = [(path, train) for path, train in both if force or not os.path.isfile(path)]
    if not missing:
        name = matfile.name_in(matfile.read(trn_root), os.path.basename(trn_root))
        if data_root is not None:
            say(f"{trn_root} and {val_root} are there, with {name}; {data_root} was not looked into. To read it:")
            say(utils.command("get_data.py", "--force", "--data-root", os.fspath(data_root)))
        return name
    read, name = find_shapes(seed) if data == "shapes" else find_cifar10(data_root, offline, say)
    for path, train in missing:
        pixels, labels = read(train)
        matfile.write_images(path, pixels, labels, name)
        say(f"{path}: {len(labels)} images of {name}")
    return name


def find_shapes(seed):
    """(a function from train to (pixels, labels), the data set's name)."""
    from cnn.vision.datasets import Shapes

    def read(train):
        shapes = Shapes(train=train, seed=seed)
        return shapes.data.transpose(0, 3, 1, 2), shapes.targets

    return read, "drawn shapes"


def find_cifar10(data_root, offline, say):
    """As find_shapes, for CIFAR-10 in data_root, in CNN_DATA_DIR, or downloaded to data_root."""
    from cnn.errors import InputError
    from cnn.vision.datasets import DatasetError, DownloadError, cifar_files

    try:
        source = cifar_files.fetch(cifar_files.CIFAR10, data_root or "data", offline=offline, say=say)
    except DownloadError as problem:
        raise DataNotFound(str(problem)) from None
    said = set()

    def say_once(line):
        if line not in said:
            said.add(line)
            say(line)

    def read(train):
        try:
            images = cifar_files.read(source, train, say_once)
        except DatasetError as problem:
            raise InputError(str(problem)) from None
        return images.pixels, images.labels

    return read, "CIFAR-10"


def main():
    parser = argparse.ArgumentParser(
        description="Write training.mat and testing.mat, from CIFAR-10 or from the drawn data set.",
        epilog="Environment: CNN_DATA_DIR names a folder with a copy of CIFAR-10; CNN_CIFAR10_URL an address to "
        "download it from in place of the public mirrors, which may end in #sha256=... for another archive than the "
        "public one.",
    )
    parser.add_argument(
        "--data", choices=("cifar10", "shapes"), default="cifar10", help="which data (default: %(default)s)"
    )
    parser.add_argument(
        "--data-root",
        metavar="FOLDER",
        help="folder with a copy of CIFAR-10 (cifar-10-python.tar.gz, cifar-10-binary.tar.gz, or unpacked), or where "
        "to download it to (default: data)",
    )
    parser.add_argument(
        "--trn-root", metavar="FILE", default="training.mat", help="training data to write (default: %(default)s)"
    )
    parser.add_argument(
        "--val-root", metavar="FILE", default="testing.mat", help="test data to write (default: %(default)s)"
    )
    parser.add_argument("--offline", action="store_true", help="never use the network")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn data set (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="write the files anew if they are there")
    try:
        bring(vars(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit("stopped; what was downloaded is kept, and the next run goes on from there")


def bring(options):
    from cnn.errors import InputError

    try:
        name = get_data(**options)
        print(f"{options['trn_root']} and {options['val_root']} hold {name}")
    except DataNotFound as problem:
        sys.exit(f"{problem}\nOr go on without it: {utils.command('get_data.py', '--data', 'shapes')}")
    except (InputError, OSError) as problem:
        sys.exit(f"get_data.py: {problem}")


if __name__ == "__main__":
    main()
