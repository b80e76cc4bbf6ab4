"""silu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import silu

A = activations.Activation(
    silu,
    lambda x: x / (1 + np.exp(-x)),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_silu(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("SiLU")
    activations.check_module("SiLU", True)
