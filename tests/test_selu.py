"""selu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

from cnn.nn.functional import selu

A = activations.Activation(
    selu,
    lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    kinks=(0,),
)


@pytest.mark.parametrize(
    "check", [activations.check_numpy, activations.check_gradient, activations.check_special_values]
)
def test_selu(check):
    check(A)


@pytest.mark.parametrize("check", [activations.check_memory, activations.check_inplace, activations.check_torch])
def test_memory_and_torch(check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("SELU")
    activations.check_module("SELU", True)
