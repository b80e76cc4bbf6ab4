"""SGD beside torch's."""

import itertools

import numpy as np
import optimizers
import pytest
from harness import rng

import cnn
from cnn import _cnn, nn

MOMENTUM = [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.8, "nesterov": True}]
REST = [{}, {"weight_decay": 0.1}, {"maximize": True}, {"weight_decay": 0.01, "maximize": True}]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", [a | b for a, b in itertools.product(MOMENTUM, REST)], ids=str)
def test_torch(options, kind):
    optimizers.compare("SGD", {"lr": 0.1} | options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("SGD", {"lr": 0.1, "momentum": 0.9})


def test_any_memory():
    optimizers.check_any_memory("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True})


def test_threads():
    optimizers.check_thread_counts("SGD", {"lr": 0.1, "momentum": 0.9})


def test_exact_small_integers(every_isa):
    p0, dp = (rng(i).integers(-8, 9, 1001) for i in range(2))
    p = nn.Parameter(cnn.from_numpy(p0.astype(np.float32)))
    optimizer = cnn.optim.SGD([p], lr=0.5, momentum=2, weight_decay=2)
    want, velocity = p0.astype(float), np.zeros(1001)
    for _ in range(3):
        p.grad = cnn.from_numpy(dp.astype(np.float32))
        optimizer.step()
        velocity = 2 * velocity + dp + 2 * want
        want = want - 0.5 * velocity
    np.testing.assert_array_equal(p.detach().numpy(), want)


def test_weight_decay_0_leaves_infinite_parameters_alone():
    p = nn.Parameter(cnn.tensor([float("inf"), 1.0]))
    p.grad = cnn.tensor([1.0, float("nan")])
    cnn.optim.SGD([p], lr=0.5).step()
    assert p.tolist()[0] == float("inf")
    assert np.isnan(p.tolist()[1])


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    for options, message in [
        ({"lr": -0.1}, "Invalid learning rate: -0.1"),
        ({"lr": 0.1, "momentum": -1}, "Invalid momentum value: -1"),
        ({"lr": 0.1, "weight_decay": -1}, "Invalid weight_decay value: -1"),
        ({"lr": 0.1, "nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ({"lr": cnn.ones(2)}, "Tensor lr must be 1-element"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnn.optim.SGD([p], **options)
    a, rest = np.zeros(3, np.float32), [0.0] * 7
    frozen = a.copy()
    frozen.flags.writeable = False
    for error, message, lists in [
        (ValueError, "sgd: parameters must be writable", ([frozen], [a], None)),
        (TypeError, "sgd: parameters must be float32 or float64, got int64", ([np.arange(3)], [a], None)),
        (TypeError, "sgd: parameters must be float32, got float64", ([a, a.astype(float)], [a, a], None)),
        (ValueError, r"sgd: gradients must have shape \(3,\), got \(2,\)", ([a], [a[:2]], None)),
        (ValueError, r"sgd: velocities must have shape \(3,\), got \(2,\)", ([a], [a], [a[:2]])),
        (ValueError, "sgd: expected 1 gradients, got 2", ([a], [a, a], None)),
        (TypeError, "sgd: parameters must be an array, got list", ([[1.0]], [a], None)),
    ]:
        with pytest.raises(error, match=message):
            _cnn.sgd(*lists, *rest)
