"""What the tests of the element-by-element losses share: pairs to compare, and checks that each of them runs."""

import itertools

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    check_threads,
    rng,
    torch,
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


def exact_integers(f, formula, times=1):
    """Losses, their sum, and the gradients at integers, where nothing is rounded. `formula` gives the loss and its
    slope for the differences x - t, the loss `times` as large as f has it."""
    for shape in [(), (7,), (3, 5), (0, 3), (33, 1001)]:
        x, t, dy = (np.asarray(rng(i).integers(-9, 10, shape)) for i in range(3))

        def run(x, t, dy):
            a, b = cnn.from_numpy(x).requires_grad_(True), cnn.from_numpy(t).requires_grad_(True)
            loss = f(a, b, reduction="none")
            loss.backward(cnn.from_numpy(dy))
            return [loss * times, a.grad, b.grad, f(a, b, reduction="sum") * times]

        loss, slope = (np.asarray(a) for a in formula(x - t))
        check_exact(run, [loss, slope * dy, -slope * dy, np.asarray(loss.sum())], x, t, dy)


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


def weight_beside_torch(f, g):
    """A weight for each element, for every reduction."""
    x, t, w = (rng(i).uniform(0.1, 1, (3, 4)) for i in range(3))
    for reduction in REDUCTIONS:
        check_against_torch(
            lambda x, t, w, r=reduction: f(x, t, reduction=r, weight=w),
            lambda x, t, w, r=reduction: g(x, t, reduction=r, weight=w),
            x,
            t,
            w,
        )
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        f(cnn.zeros(3), cnn.zeros(3), weight=cnn.ones(1))


def broadcasting(f):
    """A target of another shape is broadcast with a warning, as torch does, or refused."""
    with pytest.warns(UserWarning, match=r"target size \(torch.Size\(\[3\]\)\) that is different to the input size"):
        f(cnn.zeros(3, 1), cnn.zeros(3))
    with pytest.raises((RuntimeError, ValueError)), pytest.warns(UserWarning):
        f(cnn.zeros(3, 4), cnn.zeros(3, 3))
    if torch is None:
        return
    for shapes in [((3, 1), (3,)), ((4, 5), (1, 5)), ((2, 3, 4), (4,))]:
        x, t = (rng(i).standard_normal(shape) for i, shape in enumerate(shapes))
        with pytest.warns(UserWarning, match="Using a target size"):
            check_against_torch(f, getattr(torch.nn.functional, f.__name__), x, t, terms=24)


def types_and_options(f):
    """Mixed types are promoted, and what is neither a type nor an option is refused by name."""
    x, t = cnn.ones(3), cnn.zeros(3)
    assert f(x, t.double()).dtype is f(x.double(), t).dtype is cnn.float64
    assert f(x, t.long()).dtype is f(x.long(), t).dtype is cnn.float32
    with pytest.raises(TypeError, match=f"{f.__name__}: input must be float32 or float64, got int64"):
        f(x.long(), t.long())
    with pytest.raises(TypeError, match=r"'target' \(position 2\) must be Tensor, not int"):
        f(x, 1)
    with pytest.raises(ValueError, match="average is not a valid value for reduction"):
        f(x, t, reduction="average")


def legacy_arguments(layer, f):
    """size_average and reduce, which torch has replaced by reduction."""
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert layer(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert f(cnn.full((2,), 0.5), cnn.full((2,), 0.5), reduce=False).shape == (2,)


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
