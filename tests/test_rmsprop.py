"""RMSprop beside torch's."""

import itertools

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

KINDS = [{}, {"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.5}]
REST = [{}, {"weight_decay": 0.1, "alpha": 0.9}, {"maximize": True, "eps": 1e-3}]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", [a | b for a, b in itertools.product(KINDS, REST)], ids=str)
def test_torch(options, kind):
    optimizers.compare("RMSprop", {"lr": 0.01} | options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True})


def test_any_memory():
    optimizers.check_any_memory("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True})


def test_threads():
    optimizers.check_thread_counts("RMSprop", {"lr": 0.01, "momentum": 0.9})


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    for options, message in [
        ({"lr": -0.1}, "Invalid learning rate: -0.1"),
        ({"eps": -1}, "Invalid epsilon value: -1"),
        ({"momentum": -1}, "Invalid momentum value: -1"),
        ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ({"alpha": -1}, "Invalid alpha value: -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnn.optim.RMSprop([p], **options)
