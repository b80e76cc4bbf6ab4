"""Calls that torch refuses are refused, in a line that is ours: none computes something, none ends in an error that
NumPy or Python made of it. tests/refused_calls.txt has them, a line each."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from harness import COUNTS, needs_torch, torch

import cnn

CALLS = Path(__file__).with_name("refused_calls.txt").read_text().splitlines()
KINDS = (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError, AssertionError)
# Words of NumPy and of Python about what went on inside.
LEAKS = (
    "ufunc", "has no attribute", "unsupported operand", "numpy.ndarray", "subscriptable", "broadcast together",
    "could not be broadcast", "scalar arrays", "Cannot cast", "not iterable", "zero-size array", "gufunc",
    "cannot reshape array", "local variable", "interpreted as", "inhomogeneous", "truth value", "not enough values",
    "too many values", "cannot convert", "invalid literal", "could not convert", "supported between", "must be real",
    "object of type", "division by zero", "math domain", "bad operand", "out of bounds for axis", "np.",
)  # fmt: skip


def outcome(call, module):
    random = np.random.default_rng(0)
    names = {
        "m": module,
        "nn": module.nn,
        "F": module.nn.functional,
        "x": module.from_numpy(random.standard_normal((2, 3, 4, 4)).astype(np.float32)),
        "a": module.arange(6.0).reshape(2, 3),
        "i": module.tensor([[0, 1, 1]]),
        "l": module.tensor([0, 1]),
        "s": module.tensor(2.0),
        "z": module.zeros,
        "T": module.tensor,
        "math": math,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(call, names)
        except Exception as error:
            return error


def complaint(result):
    if not isinstance(result, Exception):
        return f"is accepted: {result!r:.60}"
    message = str(result)
    if not isinstance(result, KINDS) or type(result).__module__.startswith("numpy") or len(message) < 10:
        return f"ends in {result!r:.160}"
    leak = next((words for words in LEAKS if words in message), None)
    return None if leak is None else f"ends in words from inside: {message:.160}"


@pytest.mark.parametrize("start", range(0, len(CALLS), 100))
def test_refused_in_our_own_words(start):
    calls = CALLS[start : start + 100]
    complaints = [f"{call}: {said}" for call in calls if (said := complaint(outcome(call, cnn)))]
    COUNTS["refused"] += len(calls)
    assert complaints == []


@needs_torch
def test_torch_refuses_them_too():
    assert [call for call in CALLS if not isinstance(outcome(call, torch), Exception)] == []
