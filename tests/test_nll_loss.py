"""nll_loss against a slow NumPy reference and torch. What it shares with cross_entropy is tested there."""

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    needs_torch,
    rng,
    torch,
)
from test_cross_entropy import call, random_case

import cnn
from cnn.nn.cross_entropy import cross_entropy
from cnn.nn.log_softmax import log_softmax
from cnn.nn.nll_loss import NLLLoss, nll_loss
from cnn.tensor import Tensor


def case(seed):
    x, target, weight, arguments = random_case(seed)
    del arguments["label_smoothing"]
    return x, target, weight, arguments


@pytest.mark.parametrize("seed", range(20))
def test_exact(every_isa, seed):
    x, target, weight, arguments = case(seed)
    random = rng(seed)
    x, weight = random.integers(-9, 10, x.shape), random.integers(1, 4, x.shape[1])
    dy = random.integers(-4, 5, target.shape)
    loss, dx = np.zeros(target.shape, np.int64), np.zeros(x.shape, np.int64)
    for index in np.ndindex(target.shape):
        t = target[index]
        if t != arguments["ignore_index"]:
            place = (index[0], t, *index[1:])
            loss[index] = -weight[t] * x[place]
            dx[place] = -weight[t] * dy[index]

    def run(x, weight, dy):
        t = Tensor._wrap(x).requires_grad_(True)
        y = nll_loss(
            t, cnn.from_numpy(target), cnn.from_numpy(weight), ignore_index=arguments["ignore_index"], reduction="none"
        )
        y.backward(cnn.from_numpy(dy))
        return [y, t.grad]

    check_exact(run, [loss, dx], x, weight, dy)
    if x.ndim == 4:
        check_exact(lambda x, *others: run(channels_last(x), *others), [loss, dx], x, weight, dy)


@pytest.mark.parametrize("seed", range(10))
def test_gradients(every_isa, seed):
    x, target, weight, arguments = case(seed + 100)
    check_gradients(call(nll_loss, cnn.from_numpy, target, weight, arguments), x)


@needs_torch
@pytest.mark.parametrize("seed", range(40))
def test_torch(seed):
    x, target, weight, arguments = case(seed + 200)
    theirs = call(torch.nn.functional.nll_loss, torch.from_numpy, target, weight, arguments)
    check_against_torch(call(nll_loss, cnn.from_numpy, target, weight, arguments), theirs, x, terms=target.size)


@needs_torch
def test_torch_single_sample_and_empty():
    for x, t in [((10,), ()), ((0, 10), (0,)), ((0, 10, 2), (0, 2))]:
        target = np.zeros(t, np.int64)
        for reduction in ("none", "mean", "sum"):
            check_against_torch(
                lambda x, t=target, r=reduction: nll_loss(x, cnn.from_numpy(t), reduction=r),
                lambda x, t=target, r=reduction: torch.nn.functional.nll_loss(x, torch.from_numpy(t), reduction=r),
                rng(0).standard_normal(x),
            )


def test_after_log_softmax_it_is_cross_entropy(every_isa):
    x, target = rng(1).standard_normal((5, 7)), cnn.tensor([0, 3, 6, 2, 2])
    gradients = []
    for f in (cross_entropy, lambda x, t: nll_loss(log_softmax(x, 1), t)):
        t = cnn.from_numpy(x.copy()).requires_grad_(True)
        loss = f(t, target)
        loss.backward()
        gradients.append((loss._a, t.grad._a))
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], rtol=1e-14)
    np.testing.assert_allclose(gradients[0][1], gradients[1][1], rtol=1e-12, atol=1e-16)


def test_memory(every_isa):
    x = rng(2).standard_normal((3, 5, 4, 6)).astype(np.float32)
    target, dy = rng(3).integers(0, 5, (3, 4, 6)), rng(4).standard_normal((3, 4, 6)).astype(np.float32)

    def run(x, target, dy):
        t = Tensor._wrap(x).requires_grad_(True)
        loss = nll_loss(t, Tensor._wrap(target), reduction="none")
        loss.backward(Tensor._wrap(dy))
        return [loss, t.grad]

    for index in range(3):
        check_memory_variants(run, x, target, dy, index=index)


def test_nan_and_infinity(every_isa):
    x = cnn.tensor([[np.nan, -1.0], [-np.inf, -2.0]], requires_grad=True)
    loss = nll_loss(x, cnn.tensor([1, 1]), reduction="sum")
    loss.backward()
    assert loss.item() == 3 and x.grad.tolist() == [[0, -1], [0, -1]]  # what is not asked for does not count
    assert np.isnan(nll_loss(x, cnn.tensor([0, 1])).item())


def test_layer_and_errors():
    x, target = cnn.from_numpy(rng(10).standard_normal((4, 3))), cnn.tensor([0, 1, 2, -1])
    weight = cnn.tensor([1.0, 2.0, 3.0], dtype=cnn.float64)
    layer = NLLLoss(weight, ignore_index=-1, reduction="sum")
    assert layer(x, target).item() == nll_loss(x, target, weight, ignore_index=-1, reduction="sum").item()
    assert repr(NLLLoss()) == "NLLLoss()"
    with pytest.raises(IndexError, match=r"Target -1 is out of bounds\. nll_loss: with 3 classes"):
        nll_loss(x, target)
    with pytest.raises(TypeError, match="expected target dtype to be Long or Byte, but got Float"):
        nll_loss(x, target.float())
    with pytest.raises(ValueError, match="reduction"):
        nll_loss(x, target, reduction="average")
