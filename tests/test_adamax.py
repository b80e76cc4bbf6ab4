"""Adamax beside torch's."""

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

OPTIONS = [{}, {"betas": (0.5, 0.9), "weight_decay": 0.01}, {"lr": 0.1, "eps": 1e-3}, {"maximize": True}]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torch(options, kind):
    optimizers.compare("Adamax", options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("Adamax", {"weight_decay": 0.1}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("Adamax", {"betas": (0.8, 0.99)})


def test_any_memory():
    optimizers.check_any_memory("Adamax", {})


def test_threads():
    optimizers.check_thread_counts("Adamax", {})


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    with pytest.raises(ValueError, match=r"Invalid beta parameter at index 1: 1\.5"):
        cnn.optim.Adamax([p], betas=(0.9, 1.5))
