"""What the tests of the element-by-element losses share: pairs to compare, and checks that each of them runs."""

import itertools

import numpy as np
from harness import (
    channels_last,
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    rng,
)

import cnn
from cnn.tensor import Tensor

REDUCTIONS = ("none", "mean", "sum")
SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4, 5), (1, 17, 8, 8), (0, 3), (1031,)]


def pair(seed, shape=None):
    """Two arrays whose differences stay off 0, 0.5 and 1, where some losses have a kink."""
    random = rng(seed)
    shape = SHAPES[random.integers(len(SHAPES))] if shape is None else shape
    size = random.choice([0.1, 0.25, 0.75, 1.7, 3.0], shape) + random.uniform(-0.05, 0.05, shape)
    target = random.standard_normal(shape)
    return target + size * random.choice([-1, 1], shape), target


def unit_pair(seed, shape=None):
    """Two arrays of probabilities."""
    random = rng(seed)
    shape = SHAPES[random.integers(len(SHAPES))] if shape is None else shape
    return random.uniform(0.05, 0.95, shape), random.uniform(0.05, 0.95, shape)


def logit_pair(seed, shape=None):
    """Scores, and probabilities to compare them with."""
    x, t = unit_pair(seed, shape)
    return x * 12 - 6, t


def both_gradients(f, make_pair, seeds):
    """Gradients of input and target, for every reduction, also where the memory lies channels last."""
    for seed, reduction in itertools.product(seeds, REDUCTIONS):
        x, t = make_pair(seed)
        if x.size:
            check_gradients(lambda x, t, r=reduction: f(x, t, reduction=r), np.asarray(x), np.asarray(t))
    x, t = make_pair(0, (2, 4, 5, 3))
    check_gradients(lambda x, t: f(x.permute(0, 3, 1, 2), t.permute(0, 3, 1, 2), reduction="none"), x, t)


def beside_torch(f, g, make_pair, seeds):
    """Values and gradients of input and target beside torch, for every reduction."""
    for seed, reduction in itertools.product(seeds, REDUCTIONS):
        x, t = make_pair(seed)
        check_against_torch(
            lambda x, t, r=reduction: f(x, t, reduction=r),
            lambda x, t, r=reduction: g(x, t, reduction=r),
            np.asarray(x),
            np.asarray(t),
            terms=x.size,
        )


def any_memory(f, make_pair):
    """The same bits in every memory layout; a loss that is not reduced keeps the layout of the input."""
    x, t = (a.astype(np.float32) for a in make_pair(1, (2, 3, 4, 5)))
    dy = rng(2).standard_normal(x.shape).astype(np.float32)

    def run(x, t, dy):
        a = Tensor._wrap(x).requires_grad_(True)
        loss = f(a, Tensor._wrap(t), reduction="none")
        loss.backward(Tensor._wrap(dy))
        return [loss, a.grad]

    for index in range(3):
        check_memory_variants(run, x, t, dy, index=index)
    assert run(channels_last(x), t, dy)[0]._a.strides == channels_last(x).strides


def any_threads(f, make_pair):
    x, t = (a.astype(np.float32) for a in make_pair(3, (70, 3001)))

    def run():
        a, b = cnn.from_numpy(x).requires_grad_(True), cnn.from_numpy(t).requires_grad_(True)
        loss = f(a, b)
        loss.backward()
        return [loss, a.grad, b.grad]

    check_threads(run)


def losses_and_slopes(f, x, t):
    """float32 losses and dloss/dx for lists of numbers."""
    a = cnn.tensor(x, requires_grad=True)
    loss = f(a, cnn.tensor(t), reduction="none")
    loss.backward(cnn.ones(loss.shape))
    return loss._a, a.grad._a
