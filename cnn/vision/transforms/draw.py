"""The random draws of the transforms, from torch's stream and as torchvision makes them.

One number at a time, for every image: these go straight to the generator, past the checks of cnn.random.
"""

import numpy as np

from cnn import random


def _uniform(low, high):
    value = np.empty(1, np.float32)
    random._current()._uniform(value, low, high)
    return value[0]


def chance(p):
    """True with probability p: torch.rand(1) < p, compared as float32."""
    return bool(_uniform(0.0, 1.0) < np.float32(p))


def above(p):
    """True with probability 1 - p: p < torch.rand(1)."""
    return bool(np.float32(p) < _uniform(0.0, 1.0))


def uniform(low, high):
    """A float between low and high: torch.empty(1).uniform_(low, high)."""
    return float(_uniform(float(low), float(high)))


def integer(low, high):
    """An integer from low to high - 1: torch.randint(low, high, (1,))."""
    value = np.empty(1, np.int64)
    random._current()._integers(value, low, high - low)
    return int(value[0])


def order(n):
    """The numbers 0 to n - 1 in random order: torch.randperm(n)."""
    return random.randperm_array(n).tolist()


def exp_uniform(low, high):
    """A float whose logarithm is uniform between those of low and high, in float32 as torchvision computes it."""
    logs = np.log(np.array([low, high], np.float32))
    return float(np.exp(np.float32(uniform(logs[0], logs[1]))))
