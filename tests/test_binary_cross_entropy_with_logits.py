"""binary_cross_entropy_with_logits against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import check_against_torch, needs_torch, rng, torch
from pair_losses import (
    any_memory,
    any_threads,
    beside_torch,
    both_gradients,
    legacy_arguments,
    logit_pair,
    losses_and_slopes,
)

import cnn
from cnn.nn.binary_cross_entropy_with_logits import BCEWithLogitsLoss, binary_cross_entropy_with_logits

nan, inf = math.nan, math.inf


def test_values(every_isa):
    x, t = logit_pair(0, (5, 7))
    expected = t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x))
    for kind, limit in ((np.float32, 3e-6), (np.float64, 1e-14)):
        a, b = cnn.from_numpy(x.astype(kind)), cnn.from_numpy(t.astype(kind))
        loss = binary_cross_entropy_with_logits(a, b, reduction="none")
        np.testing.assert_allclose(loss._a, expected, rtol=limit, atol=limit)


def test_gradients(every_isa):
    both_gradients(binary_cross_entropy_with_logits, logit_pair, range(4))


@needs_torch
def test_torch():
    beside_torch(
        binary_cross_entropy_with_logits, torch.nn.functional.binary_cross_entropy_with_logits, logit_pair, range(12)
    )


def test_memory(every_isa):
    any_memory(binary_cross_entropy_with_logits, logit_pair)


def test_threads(every_isa):
    any_threads(binary_cross_entropy_with_logits, logit_pair)


def test_legacy_arguments():
    legacy_arguments(BCEWithLogitsLoss, binary_cross_entropy_with_logits)


def test_nan_infinity_and_huge_logits(every_isa):
    x, t = [nan, inf, inf, 1e30, -1e30, -1e30, 0.0, -200.0], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.5, 0.0]
    loss, slope = losses_and_slopes(binary_cross_entropy_with_logits, x, t)
    half = math.log(2)
    np.testing.assert_allclose(loss, np.array([nan, inf, nan, 1e30, 1e30, 0, half, 0], np.float32), rtol=1e-6)
    np.testing.assert_allclose(slope, np.array([nan, 1, 0, 1, -1, 0, 0, 0], np.float32), atol=1e-30)


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weights(reduction):
    f, g = binary_cross_entropy_with_logits, torch.nn.functional.binary_cross_entropy_with_logits
    for shape, positive in [((3, 4), None), (None, (4,)), (None, (3, 4)), ((4,), (1,)), ((3, 1), (4,))]:
        w, p = (None if s is None else rng(i).uniform(0.1, 3, s) for i, s in enumerate((shape, positive)))

        def both(f, from_numpy, w=w, p=p):
            def g(x, t):
                weight, pos_weight = (None if a is None else from_numpy(a).to(x.dtype) for a in (w, p))
                return f(x, t, weight, reduction=reduction, pos_weight=pos_weight)

            return g

        check_against_torch(both(f, cnn.from_numpy), both(g, torch.from_numpy), *logit_pair(1, (3, 4)), terms=12)


def test_layer_and_errors():
    f = binary_cross_entropy_with_logits
    x, t = cnn.tensor([0.0, 2.0]), cnn.tensor([1.0, 0.0])
    layer = BCEWithLogitsLoss(pos_weight=cnn.tensor([3.0, 1.0]))
    assert layer(x, t).item() == pytest.approx((3 * math.log(2) + math.log1p(math.exp(2))) / 2)
    assert list(layer.state_dict()) == ["pos_weight"] and repr(layer) == "BCEWithLogitsLoss()"
    assert f(x, t.long()).dtype is cnn.float32 and f(x, t.double()).dtype is cnn.float64
    with pytest.raises(ValueError, match=r"Target size \(torch.Size\(\[2, 1\]\)\) must be the same as input size"):
        f(x, t.view(2, 1))
    with pytest.raises(ValueError, match=r"pos_weight of shape \[3\] cannot be broadcast to the input's \[2\]"):
        f(x, t, pos_weight=cnn.ones(3))
    with pytest.raises(TypeError, match="pos_weight must be float32, got float64"):
        f(x, t, pos_weight=cnn.ones(2).double())
    with pytest.raises(TypeError, match="with_logits: input must be float32 or float64, got int64"):
        f(x.long(), t.long())
