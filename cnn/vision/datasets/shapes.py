"""Shapes: ten classes of drawn, noisy, randomly placed figures, made in a second where CIFAR-10 is not at hand."""

import numpy as np

from cnn.vision.datasets.cifar import CIFAR10

SIDE = 32
BLOCK = 500  # images drawn at a time: a few megabytes


# Each figure as a condition on (u, v), where the unit circle just holds it. They stay apart under any rotation.


def disc(u, v):
    return u**2 + v**2 < 0.7


def ring(u, v):
    r2 = u**2 + v**2
    return (r2 > 0.3) & (r2 < 0.9)


def square(u, v):
    return np.maximum(abs(u), abs(v)) < 0.7


def frame(u, v):
    edge = np.maximum(abs(u), abs(v))
    return (edge > 0.42) & (edge < 0.75)


def triangle(u, v):
    return (v < 0.5) & (v > np.sqrt(3) * abs(u) - 1)


def cross(u, v):
    return (np.minimum(abs(u), abs(v)) < 0.25) & (np.maximum(abs(u), abs(v)) < 0.95)


def star(u, v):
    # Five points: within each fifth of a turn the outline is a straight line from the tip inwards.
    angle = np.abs((np.arctan2(v, u) % (2 * np.pi / 5)) - np.pi / 5)
    r = np.hypot(u, v)
    return r * np.cos(np.pi / 5 - angle) + 1.9 * r * np.sin(np.pi / 5 - angle) < 1.0


def bar(u, v):
    return (abs(v) < 0.24) & (abs(u) < 0.95)


def crescent(u, v):
    return (u**2 + v**2 < 0.9) & ((u - 0.45) ** 2 + v**2 > 0.5)


def pair(u, v):
    return (abs(u) - 0.6) ** 2 + v**2 < 0.15


FIGURES = (disc, ring, square, frame, triangle, cross, star, bar, crescent, pair)


def draw(count, seed):
    """`count` images, uint8 (count, 3, 32, 32), and their labels: the same for the same seed."""
    random = np.random.RandomState(seed)  # its stream is frozen for all versions of NumPy
    labels = random.permutation(np.arange(count) % len(FIGURES))
    pixels = np.empty((count, 3, SIDE, SIDE), np.uint8)
    for start in range(0, count, BLOCK):
        block = labels[start : start + BLOCK]
        pixels[start : start + BLOCK] = _draw_block(block, random)
    return pixels, labels.tolist()


def _draw_block(labels, random):
    n = len(labels)

    def between(low, high, *shape):
        return (low + (high - low) * random.random_sample((n, *shape))).astype(np.float32)

    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    radius = between(7, 13, 1, 1)
    centre_x, centre_y = (radius + (SIDE - 1 - 2 * radius) * between(0, 1, 1, 1) for _ in range(2))
    angle = between(0, 2 * np.pi, 1, 1)
    dx, dy = (x - centre_x) / radius, (y - centre_y) / radius
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    inside = np.empty((n, SIDE, SIDE), bool)
    for k, figure in enumerate(FIGURES):
        of_class = labels == k
        inside[of_class] = figure(u[of_class], v[of_class])

    # A dark and a light colour; which of them is the figure's is chance. A slope of brightness and noise over both.
    dark, light = between(0.0, 0.4, 3, 1, 1), between(0.6, 1.0, 3, 1, 1)
    swap = between(0, 1, 1, 1, 1) < 0.5
    figure_colour, ground = np.where(swap, dark, light), np.where(swap, light, dark)
    image = np.where(inside[:, None], figure_colour, ground)
    slope_x, slope_y = between(-0.15, 0.15, 1, 1), between(-0.15, 0.15, 1, 1)
    image += (slope_x * (x / SIDE - 0.5) + slope_y * (y / SIDE - 0.5))[:, None]
    image += between(-0.2, 0.2, 3, SIDE, SIDE)
    return np.clip(image * 255, 0, 255).astype(np.uint8)


class Shapes(CIFAR10):
    """Drawn figures on 32 x 32 colour images; item i is (image, class number), as from CIFAR10.

    Args:
        root: not used; there is nothing to store.
        train: the training set or the test set; they have no image in common.
        transform, target_transform: applied to the PIL image and to the label.
        size: number of images; 10,000 for training, 2,000 for testing.
        seed: another seed draws other images.

    Attributes: `data` uint8 (N, 32, 32, 3), `targets` list of int, `classes`, `class_to_idx`. torchvision has none.
    """

    def __init__(self, root=None, train=True, transform=None, target_transform=None, size=None, seed=0):
        super(CIFAR10, self).__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        pixels, self.targets = draw(size or (10_000 if train else 2_000), [seed, 0 if train else 1])
        self.data = pixels.transpose(0, 2, 3, 1)
        self.classes = [figure.__name__ for figure in FIGURES]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
