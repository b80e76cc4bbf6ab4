"""celu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import celu

A = activations.Activation(
    celu,
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    options=[{}, {"alpha": 0.4}, {"alpha": 2.5}],
    kinks=(0,),
)


@pytest.mark.parametrize(
    "check", [activations.check_numpy, activations.check_gradient, activations.check_special_values]
)
def test_celu(check):
    check(A)


@pytest.mark.parametrize("check", [activations.check_memory, activations.check_inplace, activations.check_torch])
def test_memory_and_torch(check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("CELU")
    activations.check_module("CELU", 0.4, True)


def test_alpha_0():
    with pytest.raises(RuntimeError, match="alpha cannot be 0 for CELU"):
        celu(cnn.ones(1), alpha=0.0)
