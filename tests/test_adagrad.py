"""Adagrad beside torch's."""

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

OPTIONS = [
    {},
    {"lr_decay": 0.1, "weight_decay": 0.01},
    {"initial_accumulator_value": 0.5, "eps": 1e-3},
    {"maximize": True, "lr": 0.5},
]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torch(options, kind):
    optimizers.compare("Adagrad", options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("Adagrad", {"lr_decay": 0.1}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("Adagrad", {"lr_decay": 0.1})


def test_any_memory():
    optimizers.check_any_memory("Adagrad", {"lr_decay": 0.1})


def test_threads():
    optimizers.check_thread_counts("Adagrad", {})


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    for options, message in [
        ({"lr": -0.1}, "Invalid learning rate: -0.1"),
        ({"lr_decay": -1}, "Invalid lr_decay value: -1"),
        ({"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value: -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnn.optim.Adagrad([p], **options)
