"""sigmoid beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import sigmoid

A = activations.Activation(
    sigmoid,
    lambda x: 1 / (1 + np.exp(-x)),
    inplace=False,  # only as a method: sigmoid_
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_sigmoid(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("Sigmoid")


def test_methods():
    x = cnn.tensor([0.0, 1.0, -800.0])
    assert x.sigmoid().tolist() == cnn.sigmoid(x).tolist() == sigmoid(x).tolist()
    y = x.clone()
    assert y.sigmoid_() is y
    assert y.tolist() == x.sigmoid().tolist()
    assert cnn.sigmoid(cnn.tensor([0, 1])).dtype == cnn.float32
