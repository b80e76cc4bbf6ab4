"""0-d tensors and empty ones go through every function that torch takes them through, and what torch refuses is
refused in words of torch's or ours, not of NumPy's."""

import re

import empty_calls
import numpy as np
import pytest
from harness import COUNTS, needs_torch, torch
from test_types import close

import cnn
from cnn.tensor import Tensor

SHAPES = [(), (0,), (1,), (2, 0), (0, 3), (1, 1), (0, 0), (2, 0, 3)]
CALLS = {**empty_calls.ONE, **empty_calls.TWO}
NUMPYS_WORDS = re.compile(r"ufunc|\baxis\b|AxisError|tuple index|zero-size array|operand|array is not broadcastable")


def operand(library, shape, seed, kind):
    values = np.random.default_rng(seed).integers(-2, 3, shape)
    return library.tensor(values).reshape(shape).to(getattr(library, kind))


def outcome(library, name, shape, kind):
    """The result, or the exception."""
    count = 2 if name in empty_calls.TWO else 1
    arguments = [operand(library, shape, seed, kind) for seed in range(count)]
    try:
        return CALLS[name](library, *arguments)
    except Exception as error:
        return error


def is_named(error):
    """An error of a kind that torch raises too, in one line and without NumPy's words."""
    right = isinstance(error, (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError))
    return right and "\n" not in str(error) and not NUMPYS_WORDS.search(f"{type(error).__name__}: {error}")


def is_refusal(error):
    """What this library says that it has not: layers of integers, and the like."""
    return is_named(error) and isinstance(error, (cnn.errors.DTypeError, NotImplementedError))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["float32", "int64"])
@pytest.mark.parametrize("name", CALLS)
def test_errors_are_named(name, kind):
    for shape in SHAPES:
        got = outcome(cnn, name, shape, kind)
        assert not isinstance(got, Exception) or is_named(got), f"{shape}: {type(got).__name__}: {got}"
    COUNTS["empty"] += len(SHAPES)


def agree(got, want):
    if isinstance(want, torch.Size):
        return tuple(got) == tuple(want)
    if isinstance(want, (tuple, list)):
        return len(got) == len(want) and all(map(agree, got, want))
    if isinstance(want, torch.Tensor):
        same = isinstance(got, Tensor) and str(got.dtype) == str(want.dtype)
        return same and close(got.detach(), want.detach())
    if isinstance(want, torch.dtype):
        return repr(got) == repr(want)
    return got == want or (got != got and want != want)


@needs_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["float32", "int64"])
@pytest.mark.parametrize("name", CALLS)
def test_beside_torch(name, kind):
    for shape in SHAPES:
        want, got = outcome(torch, name, shape, kind), outcome(cnn, name, shape, kind)
        if isinstance(want, Exception):
            assert isinstance(got, Exception), f"{shape}: torch refuses it ({want}), here comes {got}"
        elif isinstance(got, Exception):
            assert is_refusal(got), f"{shape}: torch gives {want}, here comes {type(got).__name__}: {got}"
        else:
            assert agree(got, want), f"{shape}: {got}, torch {want}"
    COUNTS["torch"] += 1
