"""kl_div against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import check_against_torch, needs_torch, torch
from pair_losses import (
    any_memory,
    any_threads,
    beside_torch,
    both_gradients,
    legacy_arguments,
    losses_and_slopes,
    unit_pair,
)

import cnn
from cnn.nn.kl_div import KLDivLoss, kl_div

nan, inf = math.nan, math.inf


pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")


def test_values(every_isa):
    x, t = unit_pair(0, (5, 7))
    for kind, limit in ((np.float32, 3e-6), (np.float64, 1e-14)):
        a, b = cnn.from_numpy(np.log(x).astype(kind)), cnn.from_numpy(t.astype(kind))
        np.testing.assert_allclose(kl_div(a, b, reduction="none")._a, t * np.log(t / x), rtol=limit, atol=limit)


def test_gradients(every_isa):
    both_gradients(kl_div, unit_pair, range(4))


@needs_torch
def test_torch():
    beside_torch(kl_div, torch.nn.functional.kl_div, unit_pair, range(12))


def test_memory(every_isa):
    any_memory(kl_div, unit_pair)


def test_threads(every_isa):
    any_threads(kl_div, unit_pair)


def test_legacy_arguments():
    legacy_arguments(KLDivLoss, kl_div)


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_log_target(reduction, log_target):
    f, g, options = kl_div, torch.nn.functional.kl_div, {"reduction": reduction, "log_target": log_target}
    x, t = unit_pair(1, (4, 6))
    for target in (t, t[:1]):
        check_against_torch(lambda x, t: f(x, t, **options), lambda x, t: g(x, t, **options), x, target, terms=24)


def test_nan_infinity_and_zero(every_isa):
    loss, slope = losses_and_slopes(kl_div, [0.5, 0.5, 0.5, nan, -inf], [0.0, -1.0, nan, 0.5, 0.5])
    np.testing.assert_equal(loss, np.array([0, nan, nan, nan, inf], np.float32))
    np.testing.assert_equal(slope, np.array([0, 1, nan, -0.5, -0.5], np.float32))


def test_layer():
    x, t = cnn.tensor([[0.0, -1.0]]), cnn.tensor([[0.5, 0.5]])
    expected = math.log(0.5) + 0.5
    assert KLDivLoss(reduction="batchmean")(x, t).item() == pytest.approx(expected)
    assert KLDivLoss(reduction="sum", log_target=True)(x, t.log()).item() == pytest.approx(expected)
    assert repr(KLDivLoss()) == "KLDivLoss()"
    with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size"):
        kl_div(x, t)
    with pytest.raises(TypeError, match="kl_div: input must be float32 or float64, got int64"):
        kl_div(x.long(), t.long(), reduction="sum")
