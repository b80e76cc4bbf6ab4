"""cross_entropy against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn.nn.cross_entropy import CrossEntropyLoss, cross_entropy
from cnn.tensor import Tensor

SHAPES = [(1, 2), (4, 10), (3, 1), (7, 33), (5, 3, 2), (2, 5, 3, 4), (2, 21, 15, 20), (33, 10)]


def random_case(seed):
    """logits, class numbers, weight or None, and the other arguments."""
    random = rng(seed)
    shape = SHAPES[random.integers(len(SHAPES))]
    x = random.standard_normal(shape) * 3
    target = random.integers(0, shape[1], (shape[0], *shape[2:]))
    weight = random.uniform(0.2, 2, shape[1]) if random.integers(2) else None
    arguments = {
        "reduction": ["none", "mean", "sum"][random.integers(3)],
        "label_smoothing": [0.0, 0.0, 0.1, 1.0][random.integers(4)],
        "ignore_index": int(random.choice([-100, 0, shape[1] - 1])),
    }
    if shape[0] > 1 and random.integers(2):
        target[random.random(target.shape) < 0.3] = arguments["ignore_index"]
    if (target == arguments["ignore_index"]).all():
        target.flat[0] = arguments["ignore_index"] = -100
    return x, target, weight, arguments


def call(f, from_numpy, target, weight, arguments):
    """x -> f(x, ...), with the weight in the type of x."""

    def g(x):
        w = None if weight is None else from_numpy(weight).to(x.dtype)
        return f(x, from_numpy(target), weight=w, **arguments)

    return g


def reference(x, target, weight, reduction, label_smoothing, ignore_index):
    """The definition, sample by sample."""
    C = x.shape[1]
    weight = np.ones(C) if weight is None else weight
    rows, classes = np.moveaxis(x, 1, -1).reshape(-1, C), target.ravel()
    losses, weights = [], []
    for row, t in zip(rows, classes, strict=True):
        if t == ignore_index:
            losses.append(0)
            continue
        log_p = row - row.max() - math.log(np.exp(row - row.max()).sum())
        q = label_smoothing / C * weight
        q[t] += (1 - label_smoothing) * weight[t]
        losses.append(-(q * log_p).sum())
        weights.append(weight[t])
    if reduction == "none":
        return np.array(losses).reshape(target.shape)
    return np.array(sum(losses) / (sum(weights) if reduction == "mean" else 1))


@pytest.mark.parametrize("seed", range(25))
def test_values(every_isa, seed):
    x, target, weight, arguments = random_case(seed)
    expected = reference(x, target, weight, **arguments)
    for kind, limit in ((np.float32, 3e-6), (np.float64, 1e-13)):
        for memory in (x, channels_last(x)) if x.ndim == 4 else (x,):
            t = Tensor._wrap(memory.astype(kind, order="K"))
            loss = call(cross_entropy, cnn.from_numpy, target, weight, arguments)(t)
            assert loss._a.dtype == kind and loss.shape == expected.shape
            np.testing.assert_allclose(loss._a, expected, rtol=limit, atol=limit)


@pytest.mark.parametrize("seed", range(25))
def test_gradients(every_isa, seed):
    x, target, weight, arguments = random_case(seed + 100)
    f = call(cross_entropy, cnn.from_numpy, target, weight, arguments)
    check_gradients(f, x)
    if x.ndim == 4:
        check_gradients(lambda x: f(x.permute(0, 3, 1, 2)), np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


@needs_torch
@pytest.mark.parametrize("seed", range(80))
def test_torch(seed):
    x, target, weight, arguments = random_case(seed + 200)
    theirs = call(torch.nn.functional.cross_entropy, torch.from_numpy, target, weight, arguments)
    check_against_torch(call(cross_entropy, cnn.from_numpy, target, weight, arguments), theirs, x, terms=x.shape[1])


def random_probabilities(seed):
    random = rng(seed)
    shape = [(4, 10), (3, 5, 2), (2, 5, 3, 4), (6,), (1, 1)][random.integers(5)]
    x, t = random.standard_normal(shape) * 3, random.random(shape)
    axis = min(1, len(shape) - 1)
    weight = random.uniform(0.2, 2, shape[axis]) if random.integers(2) else None
    arguments = {
        "reduction": ["none", "mean", "sum"][random.integers(3)],
        "label_smoothing": [0.0, 0.1][random.integers(2)],
    }
    return x, t / t.sum(axis, keepdims=True), weight, arguments


@needs_torch
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_torch_probabilities(seed, learned):
    x, t, weight, arguments = random_probabilities(seed)

    def both(f, from_numpy):
        def g(x, t):
            w = None if weight is None else from_numpy(weight).to(x.dtype)
            return f(x, t if learned else t.detach(), weight=w, **arguments)

        return g

    theirs = both(torch.nn.functional.cross_entropy, torch.from_numpy)
    check_against_torch(both(cross_entropy, cnn.from_numpy), theirs, x, t, terms=x.size)


@pytest.mark.parametrize("seed", range(10))
def test_gradients_of_probabilities(every_isa, seed):
    x, t, weight, arguments = random_probabilities(seed + 100)
    w = None if weight is None else cnn.from_numpy(weight)
    check_gradients(lambda x: cross_entropy(x, cnn.from_numpy(t), weight=w, **arguments), x)
    check_gradients(lambda x, t: cross_entropy(x, t, weight=w, **arguments), x, t)


@needs_torch
def test_torch_single_sample_and_empty():
    f, g = cross_entropy, torch.nn.functional.cross_entropy
    for x, t in [((10,), ()), ((0, 10), (0,)), ((0, 10, 2), (0, 2))]:
        target = np.zeros(t, np.int64)
        for reduction in ("none", "mean", "sum"):
            check_against_torch(
                lambda x, t=target, r=reduction: f(x, cnn.from_numpy(t), reduction=r),
                lambda x, t=target, r=reduction: g(x, torch.from_numpy(t), reduction=r),
                rng(0).standard_normal(x),
            )


@needs_torch
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_ignored(smoothing):
    target = np.full(4, -100)
    for reduction in ("none", "mean", "sum"):
        check_against_torch(
            lambda x, r=reduction: cross_entropy(x, cnn.from_numpy(target), reduction=r, label_smoothing=smoothing),
            lambda x, r=reduction: torch.nn.functional.cross_entropy(
                x, torch.from_numpy(target), reduction=r, label_smoothing=smoothing
            ),
            rng(0).standard_normal((4, 10)),
        )


@pytest.mark.parametrize("columns", [1, 20])
def test_nan_infinity_and_huge_logits(every_isa, columns):
    nan, inf = math.nan, math.inf
    table = [  # logits, target, loss, gradient
        ([1e30, 1.0], 0, 0, [0, 0]),
        ([1e30, 1.0], 1, 1e30, [1, -1]),
        ([3e38, -3e38], 1, inf, [1, -1]),
        ([-inf, 0.0], 1, 0, [0, 0]),
        ([-inf, 0.0], 0, inf, [-1, 1]),
        ([nan, 0.0], 1, nan, [nan, nan]),
        ([inf, 0.0], 0, nan, [nan, nan]),
        ([-inf, -inf], 0, nan, [nan, nan]),
        ([0.0, 0.0], 1, math.log(2), [0.5, -0.5]),
    ]
    for logits, target, loss, gradient in table:
        x = np.repeat(np.array(logits, np.float32)[None, :, None], columns, 2)
        t = cnn.from_numpy(x).requires_grad_(True)
        y = cross_entropy(t, cnn.full((1, columns), target, dtype=cnn.int64), reduction="none")
        y.backward(cnn.ones(y.shape))
        np.testing.assert_allclose(y._a, np.full((1, columns), np.float32(loss)), rtol=1e-6)
        expected = np.repeat(np.array(gradient, np.float32)[None, :, None], columns, 2)
        np.testing.assert_allclose(t.grad._a, expected, rtol=1e-6)


def test_memory(every_isa):
    x = rng(2).standard_normal((3, 5, 4, 6)).astype(np.float32)
    target = rng(3).integers(0, 5, (3, 4, 6))
    dy = rng(4).standard_normal((3, 4, 6)).astype(np.float32)

    def run(x, target, dy):
        t = Tensor._wrap(x).requires_grad_(True)
        loss = cross_entropy(t, Tensor._wrap(target), reduction="none")
        loss.backward(Tensor._wrap(dy))
        return [loss, t.grad]

    # planes and channels last sum in another order: the same bits only within one memory order
    check_memory_variants(run, x, target, dy, index=1)
    check_memory_variants(run, x, target, dy, index=2)
    rows = rng(5).standard_normal((7, 10)).astype(np.float32)
    check_memory_variants(run, rows, rng(6).integers(0, 10, 7), dy.ravel()[:7])
    assert run(channels_last(x), target, dy)[1]._a.strides == channels_last(x).strides


def test_threads(every_isa):
    for shape in [(3000, 37), (9, 21, 40, 30)]:
        x = rng(7).standard_normal(shape).astype(np.float32)
        target = cnn.from_numpy(rng(8).integers(0, shape[1], (shape[0], *shape[2:])))

        def run(x=x, target=target):
            t = cnn.from_numpy(x).requires_grad_(True)
            loss = cross_entropy(t, target, label_smoothing=0.1)
            loss.backward()
            return [loss, t.grad]

        check_threads(run)


def test_gradient_twice():
    """forward computes the gradient already; a second backward must not see a changed one."""
    x = cnn.from_numpy(rng(9).standard_normal((4, 10))).requires_grad_(True)
    loss = cross_entropy(x, cnn.tensor([1, 2, 3, 4]))
    loss.backward(retain_graph=True)
    once = x.grad._a.copy()
    (loss * 3).backward()
    np.testing.assert_allclose(x.grad._a, 4 * once, rtol=1e-12)


def test_layer():
    x, target = cnn.from_numpy(rng(10).standard_normal((4, 3))), cnn.tensor([0, 1, 2, -1])
    weight = cnn.tensor([1.0, 2.0, 3.0], dtype=cnn.float64)
    layer = CrossEntropyLoss(weight, ignore_index=-1, reduction="sum", label_smoothing=0.2)
    expected = cross_entropy(x, target, weight, ignore_index=-1, reduction="sum", label_smoothing=0.2)
    assert layer(x, target).item() == expected.item()
    assert list(layer.state_dict()) == ["weight"] and list(CrossEntropyLoss().state_dict()) == []
    assert repr(CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert cross_entropy(x, cnn.tensor([0, 1, 2, 2], dtype=cnn.uint8)).item() > 0
    assert cross_entropy(x[0], cnn.tensor([2])).item() == cross_entropy(x[0], cnn.tensor(2)).item()


def test_legacy_arguments():
    x, target = cnn.zeros(4, 3), cnn.tensor([0, 1, 2, 0])
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert cross_entropy(x, target, size_average=False).item() == pytest.approx(4 * math.log(3))
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert CrossEntropyLoss(reduce=False)(x, target).shape == (4,)
    with pytest.warns(UserWarning, match="please use reduction='mean' instead"):
        assert CrossEntropyLoss(size_average=True).reduction == "mean"


def labels(*values, dtype=None):
    return cnn.tensor(values, dtype=dtype or cnn.int64)


ERRORS = [
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 10)),
        IndexError,
        r"Target 10 is out of bounds\. .*10 classes.* in 0\.\.9",
    ),
    (lambda x: cross_entropy(x, labels(1, -2, 3, 4)), IndexError, r"Target -2 is out of bounds\. .*target number 1"),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3)),
        ValueError,
        r"Expected input batch_size \(4\) to match target batch_size \(3\)",
    ),
    (lambda x: cross_entropy(x, labels(1, 2, 3, 4).view(4, 1)), RuntimeError, r"0D or 1D target .*squeeze\(1\)"),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4, dtype=cnn.float32)),
        TypeError,
        r"to be Long or Byte, but got Float.*target\.long\(\)",
    ),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4, dtype=cnn.int32)),
        RuntimeError,
        "expected target dtype to be Long or Byte, but got Int",
    ),
    (lambda x: cross_entropy(x, [1, 2, 3, 4]), TypeError, r"'target' \(position 2\) must be Tensor, not list"),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4), weight=cnn.ones(9)),
        RuntimeError,
        "for all 10 classes or no classes",
    ),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4), weight=cnn.ones(10).double()),
        TypeError,
        "cross_entropy: weight must be float32, got float64",
    ),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4), label_smoothing=1.5),
        ValueError,
        r"label_smoothing must be between 0.0 and 1.0. Got: 1.5",
    ),
    (
        lambda x: cross_entropy(x, labels(1, 2, 3, 4), reduction="foo"),
        ValueError,
        "foo is not a valid value for reduction",
    ),
    (
        lambda x: cross_entropy(x.long(), labels(1, 2, 3, 4)),
        TypeError,
        "cross_entropy: input must be float32 or float64, got int64",
    ),
    (
        lambda x: cross_entropy(cnn.zeros(4, 10, 2, 2), cnn.zeros(4, 2, 3).long()),
        ValueError,
        r"Expected target size \[4, 2, 2\], got \[4, 2, 3\]",
    ),
    (lambda x: cross_entropy(cnn.tensor(1.0), cnn.tensor(0)), ValueError, "got a 0-d tensor"),
    (
        lambda x: cross_entropy(x, x, ignore_index=3),
        RuntimeError,
        "ignore_index is not supported for floating point target",
    ),
    (lambda x: cross_entropy(x[:, :0], labels(1, 2, 3, 4)), IndexError, "Target 1 is out of bounds"),
]


@pytest.mark.parametrize("f, error, message", ERRORS)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        f(cnn.zeros(4, 10))
