"""elu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import elu

A = activations.Activation(
    elu,
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    options=[{}, {"alpha": 0.4}, {"alpha": 2.5}, {"alpha": 0.0}],
    kinks=(0,),
    scalars=(1.0, 1.0, 1.0),
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_elu(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("ELU")
    activations.check_module("ELU", 0.4, True)


def test_a_negative_alpha():
    a = activations.Activation(A.ours, A.numpy, options=[{"alpha": -0.5}], kinks=(0,))
    activations.check_numpy(a)
    activations.check_gradient(a)
    x = cnn.ones(3, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="elu: inplace=True needs an alpha of at least 0 for its gradient, got -0.5"):
        elu(x, -0.5, inplace=True)
