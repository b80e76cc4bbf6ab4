"""The random draws of the transforms, from torch's stream and as torchvision makes them."""

import numpy as np

import cnn


def chance(p):
    """True with probability p: torch.rand(1) < p, compared as float32."""
    return cnn.rand(1)._a[0] < np.float32(p)


def uniform(low, high):
    """A float between low and high: torch.empty(1).uniform_(low, high)."""
    return float(cnn.empty(1).uniform_(low, high)._a[0])


def integer(low, high):
    """An integer from low to high - 1: torch.randint(low, high, (1,))."""
    return int(cnn.randint(low, high, (1,))._a[0])


def order(n):
    """The numbers 0 to n - 1 in random order: torch.randperm(n)."""
    return cnn.randperm(n).tolist()


def exp_uniform(low, high):
    """A float whose logarithm is uniform between those of low and high, in float32 as torchvision computes it."""
    logs = np.log(np.array([low, high], np.float32))
    return float(np.exp(np.float32(uniform(float(logs[0]), float(logs[1])))))


def above(p):
    """True with probability 1 - p: p < torch.rand(1)."""
    return np.float32(p) < cnn.rand(1)._a[0]
