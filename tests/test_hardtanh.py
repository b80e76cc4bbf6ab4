"""hardtanh and relu6 beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn import nn
from cnn.nn.functional import hardtanh, relu6

A = activations.Activation(
    hardtanh,
    lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    options=[{}, {"min_val": -2.5, "max_val": 0.5}],
    kinks=(-2.5, -1.0, 0.5, 1.0),
    scalars=(-1.0, 1.0),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_hardtanh(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Hardtanh")
    activations.check_module("Hardtanh", -2, 3, True)
    activations.check_module("ReLU6")
    activations.check_module("ReLU6", True)


@pytest.mark.parametrize("check", [activations.check_numpy, activations.check_torch, activations.check_inplace])
def test_relu6(check):
    check(activations.Activation(relu6, lambda x: np.clip(x, 0, 6), kinks=(0.0, 6.0)))


def test_limits_in_the_wrong_order():
    with pytest.raises(ValueError, match="min_val cannot be greater than max_val"):
        hardtanh(cnn.ones(1), 2.0, 1.0)
    with pytest.raises(AssertionError, match="must be larger"):
        nn.Hardtanh(1.0, 1.0)
