"""softplus beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import softplus

A = activations.Activation(
    softplus,
    lambda x, beta=1.0, threshold=20.0: np.where(x * beta > threshold, x, np.log1p(np.exp(beta * x)) / beta),
    options=[{}, {"beta": 2.5}, {"beta": 0.5, "threshold": 1.0}],
    kinks=(2.0,),
    inplace=False,
    scalars=(1.0, 20.0),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_softplus(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Softplus")
    activations.check_module("Softplus", 2, 3)
