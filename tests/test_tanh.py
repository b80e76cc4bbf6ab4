"""tanh beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import tanh

A = activations.Activation(
    tanh,
    np.tanh,
    inplace=False,  # only as a method: tanh_
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_tanh(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Tanh")


def test_methods():
    x = cnn.tensor([0.0, 1.0, -800.0])
    assert x.tanh().tolist() == cnn.tanh(x).tolist() == tanh(x).tolist()
    y = x.clone()
    assert y.tanh_() is y
    assert y.tolist() == x.tanh().tolist()
    assert cnn.tanh(cnn.tensor([0, 1])).dtype == cnn.float32
