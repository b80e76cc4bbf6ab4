"""NAdam beside torch's."""

import numpy as np
import optimizers
import pytest

import cnn
from cnn import nn

OPTIONS = [
    {},
    {"betas": (0.5, 0.9), "weight_decay": 0.01},
    {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"maximize": True, "momentum_decay": 0.1},
]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torch(options, kind):
    optimizers.compare("NAdam", options, kind)


def test_every_instruction_set(every_isa):
    optimizers.compare("NAdam", {"weight_decay": 0.1}, np.float32, steps=5)


def test_state_goes_to_torch_and_back():
    optimizers.check_state_round_trip("NAdam", {"betas": (0.8, 0.99)})


def test_any_memory():
    optimizers.check_any_memory("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1})


def test_threads():
    optimizers.check_thread_counts("NAdam", {})


def test_errors():
    p = nn.Parameter(cnn.zeros(2))
    with pytest.raises(ValueError, match="Invalid momentum_decay value: -1"):
        cnn.optim.NAdam([p], momentum_decay=-1)
