"""Adadelta beside torch's."""

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

OPTIONS = [{}, {"rho": 0.5, "weight_decay": 0.01}, {"lr": 0.3, "eps": 1e-3}, {"maximize": True}]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torch(options, kind):
    optimizers.compare("Adadelta", options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("Adadelta", {"weight_decay": 0.1}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("Adadelta", {"rho": 0.8})


def test_any_memory():
    optimizers.check_any_memory("Adadelta", {})


def test_threads():
    optimizers.check_thread_counts("Adadelta", {})


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    for options, message in [
        ({"lr": -0.1}, "Invalid learning rate: -0.1"),
        ({"rho": 1.5}, "Invalid rho value: 1.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnn.optim.Adadelta([p], **options)
