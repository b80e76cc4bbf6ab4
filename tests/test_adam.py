"""Adam and AdamW beside torch's."""

import itertools

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

DECAY = [{}, {"weight_decay": 0.1}, {"amsgrad": True}, {"weight_decay": 0.05, "amsgrad": True, "maximize": True}]
BETAS = [{}, {"betas": (0.5, 0.9), "eps": 1e-3}, {"betas": (0.0, 0.99), "maximize": True}]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", [a | b for a, b in itertools.product(DECAY, BETAS)], ids=str)
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_torch(name, options, kind):
    optimizers.compare(name, {"lr": 0.01} | options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("AdamW", {"lr": 0.01, "amsgrad": True}, np.float32, steps=5)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_state_goes_to_torch_and_back(name):
    optimizers.check_state_round_trip(name, {"lr": 0.01, "amsgrad": True})


@pytest.mark.parametrize("options", [{"lr": 0.01}, {"lr": 0.01, "amsgrad": True, "decoupled_weight_decay": True}])
def test_any_memory(options):
    optimizers.check_any_memory("Adam", options)


def test_threads():
    optimizers.check_thread_counts("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1})


def test_state_is_laid_out_as_in_torch():
    p = nn.Parameter(cnn.zeros(2, 3))
    p.grad = cnn.ones(2, 3)
    optimizer = cnn.optim.AdamW([p])
    optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert list(state) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["step"].shape == ()
    assert state["step"].dtype == cnn.float32
    assert state["step"].item() == 1
    assert state["exp_avg"].shape == (2, 3)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    for options, message in [
        ({"lr": -0.1}, "Invalid learning rate: -0.1"),
        ({"eps": -1}, "Invalid epsilon value: -1"),
        ({"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        ({"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ({"betas": (0, 0.9)}, "betas must be either both floats or both Tensors"),
        ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnn.optim.Adam([p], **options)
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        cnn.optim.Adam([p], fused=True, foreach=True)
