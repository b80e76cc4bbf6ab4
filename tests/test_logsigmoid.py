"""logsigmoid beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import logsigmoid

A = activations.Activation(
    logsigmoid,
    lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    inplace=False,
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_logsigmoid(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("LogSigmoid")
