"""leaky_relu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import leaky_relu

A = activations.Activation(
    leaky_relu,
    lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    options=[{}, {"negative_slope": 0.3}, {"negative_slope": 0.0}],
    kinks=(0,),
    scalars=(0.01,),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_leaky_relu(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("LeakyReLU")
    activations.check_module("LeakyReLU", 0.2, True)


def test_a_negative_slope():
    a = activations.Activation(A.ours, A.numpy, options=[{"negative_slope": -0.5}], kinks=(0,))
    activations.check_numpy(a)
    activations.check_gradient(a)
    x = cnn.ones(3, requires_grad=True) * 2
    with pytest.raises(
        RuntimeError, match="inplace=True needs a negative_slope of at least 0 for its gradient, got -0.5"
    ):
        leaky_relu(x, -0.5, inplace=True)
