"""gelu beside its formula and torch's."""

from math import erf, erfc, pi, sqrt

import activations
import numpy as np
import pytest
from harness import needs_torch

import cnn
from cnn.nn.functional import gelu

P = {
    "none": lambda x: (1 + np.vectorize(erf)(x / sqrt(2))) / 2,
    "tanh": lambda x: (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2,
}

A = activations.Activation(
    gelu,
    lambda x, approximate="none": x * P[approximate](x),
    options=[{}, {"approximate": "tanh"}],
    inplace=False,
    not_special=(float("inf"),),  # torch's float32 says NaN, its float64 infinity, as we do in both
)


@pytest.mark.parametrize("check", activations.CHECKS)
def test_gelu(check):
    check(A)


@pytest.mark.parametrize("check", activations.ISA_CHECKS)
def test_instruction_sets(every_isa, check):
    check(A)


@needs_torch
def test_module():
    activations.check_module("GELU")
    activations.check_module("GELU", "tanh")


def test_errors():
    with pytest.raises(RuntimeError, match="approximate must be 'none' or 'tanh', got 'erf'"):
        gelu(cnn.ones(1), approximate="erf")


def test_the_tails_are_accurate():
    """Relative to the value itself: x P(x) for very negative x, where 1 + erf would have cancelled."""
    for kind, lowest, limit in ((np.float32, -11.0, 1e-5), (np.float64, -30.0, 1e-12)):
        x = np.linspace(lowest, -1, 200).astype(kind)
        want = np.array([v * erfc(-v / sqrt(2)) / 2 for v in x.astype(float)])
        np.testing.assert_allclose(gelu(cnn.from_numpy(x))._a, want, rtol=limit)
