"""hardsigmoid beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import hardsigmoid

A = activations.Activation(
    hardsigmoid,
    lambda x: np.clip(x + 3, 0, 6) / 6,
    kinks=(-3.0, 3.0),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_hardsigmoid(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Hardsigmoid")
    activations.check_module("Hardsigmoid", True)
