"""hardswish beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import hardswish

A = activations.Activation(
    hardswish,
    lambda x: x * np.clip(x + 3, 0, 6) / 6,
    kinks=(-3.0, 3.0),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_hardswish(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Hardswish")
    activations.check_module("Hardswish", True)
