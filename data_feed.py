"""Images and labels from a .mat file, one at a time or a batch at once, as the network wants them."""

import numpy as np

import cnn
import utils
from cnn.errors import InputError
from cnn.utils.data import Dataset
from cnn.utils.matfile import read_images


class DataFeed(Dataset):
    """The data set in one .mat file; feed[i] is [x, t].

    root   path of the file: `img` (N x 3072, pixels 0..255) and `cls` (N labels), as get_data.py writes it
    trf    True: each colour is shifted and scaled to mean 0 and standard deviation 1; False: pixels only go to 0..1
    stats  {'mean': 3 numbers, 'std': 3 numbers} of pixels in 0..1, from utils.cal_stats; needed where trf is True

    x is float32 (3, 32, 32), t int64 (1,). In memory pixels stay the bytes they are (154 MB for 50,000 images, not the
    614 MB of their floats); only what is asked for becomes float.
    """

    def __init__(self, root, trf, stats=None):
        utils.check_file(root)
        self.images, self.labels, self.name = read_images(root)
        mean, std = utils.check_stats(stats, "stats") if trf else (np.zeros(3), np.ones(3))
        # (x / 255 - mean) / std as one multiplication and one subtraction, a scale and a shift for each colour.
        self.scale = (1 / (255 * std)).astype(np.float32).reshape(3, 1, 1)
        self.shift = (mean / std).astype(np.float32).reshape(3, 1, 1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return [cnn.from_numpy(self.normalise(self.images[index])), cnn.from_numpy(self.labels[index].copy())]

    def __getbatch__(self, indices):
        """The same for a whole batch, [x (N, 3, 32, 32), t (N, 1)]. The DataLoader asks for it: all pixels are gathered
        and normalised in one go."""
        return [cnn.from_numpy(self.normalise(self.images[indices])), cnn.from_numpy(self.labels[indices])]

    def normalise(self, pixels):
        """Pixels (3, 32, 32) or (N, 3, 32, 32) as float32: red, green and blue each with its own statistics."""
        x = pixels.astype(np.float32)
        x *= self.scale
        x -= self.shift
        return x


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
