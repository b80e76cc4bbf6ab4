"""F.pad and the padding layers against NumPy and torch."""

import itertools

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import nn
from cnn.nn.functional import pad

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
# (shape, pad): two numbers per dimension, the last one first
CASES = [
    ((2, 3, 4, 5), (1, 2, 3, 0)),
    ((2, 3, 4, 5), (0, 0, 0, 0)),
    ((2, 3, 4, 5), (4, 4, 3, 3)),
    ((3, 4, 5), (2, 1, 1, 2)),
    ((2, 3, 5), (2, 3)),
    ((1, 2, 3, 4, 5), (1, 2, 2, 1, 1, 1)),
    ((0, 3, 4, 5), (1, 1, 1, 1)),
]
CONSTANT_CASES = [
    ((7,), (2, 3)),
    ((2, 3), (1, 0, 0, 2)),
    ((2, 3, 4, 5), (1, 1)),
    ((2, 3, 4, 5), (0, 0, 0, 0, 1, 2)),
    ((2, 3, 4, 5), (1, 0, 0, 1, 2, 0, 0, 2)),
    ((2, 0, 3, 3), (1, 1)),
]
NEGATIVE_CASES = [
    ((2, 3, 4, 5), (-1, -2)),
    ((2, 3, 4, 5), (-1, 2, 3, -2)),
    ((2, 3, 4, 5), (-5, 0)),
    ((2, 3, 4, 5), (0, 0, 0, 0, -1, -1)),
]


def widths(shape, sides):
    pairs = list(zip(sides[::2], sides[1::2], strict=True))[::-1]
    return [(0, 0)] * (len(shape) - len(pairs)) + pairs


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(("shape", "sides"), CASES)
def test_exact(mode, shape, sides):
    x = rng(1).integers(-9, 10, shape)
    expected = np.pad(x, widths(shape, sides), NUMPY_MODES[mode])
    check_exact(lambda x: pad(cnn.from_numpy(x), sides, mode), expected, x)
    assert np.array_equal(pad(cnn.from_numpy(x), sides, mode).numpy(), expected)  # integers stay integers


@pytest.mark.parametrize(("shape", "sides"), CONSTANT_CASES)
def test_constant(shape, sides):
    x = rng(2).integers(-9, 10, shape)
    expected = np.pad(x, widths(shape, sides), constant_values=7)
    check_exact(lambda x: pad(cnn.from_numpy(x), sides, value=7), expected, x)


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(("shape", "sides"), CASES[:-1])
def test_gradients(mode, shape, sides):
    check_gradients(lambda x: pad(x, sides, mode), rng(3).standard_normal(shape))


@needs_torch
@pytest.mark.parametrize(
    ("mode", "shape", "sides"),
    [(mode, *case) for mode, case in itertools.product(NUMPY_MODES, CASES)]
    + [("constant", *case) for case in CONSTANT_CASES + NEGATIVE_CASES]
    + [("reflect", (1, 2, 4, 5), (-1, 2, 1, -1)), ("replicate", (1, 2, 4, 5), (-1, 9, 1, -1))]
    + [("circular", (1, 2, 4, 5), (-1, 2, 1, -1))],
)
def test_torch(mode, shape, sides):
    check_against_torch(
        lambda x: pad(x, sides, mode),
        lambda x: torch.nn.functional.pad(x, sides, mode),
        rng(4).standard_normal(shape),
    )


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_memory(mode):
    x = rng(5).standard_normal((2, 3, 4, 5)).astype(np.float32)
    check_memory_variants(lambda x: pad(cnn.from_numpy(x), (1, 2, 2, 1), mode)._a, x)
    result = pad(cnn.from_numpy(channels_last(x)), (1, 2, 2, 1), mode)._a
    assert result.transpose(0, 2, 3, 1).flags.c_contiguous, "channels-last input must give channels-last output"


def test_values():
    x = cnn.zeros(1, 2)
    assert pad(x, (1, 0), value=float("nan")).tolist()[0][1:] == [0, 0]
    assert pad(x, (1, 1), value=float("-inf")).tolist() == [[float("-inf"), 0, 0, float("-inf")]]
    assert pad(cnn.tensor([True]), (1, 1), value=True).tolist() == [True, True, True]


LAYERS = {
    "ConstantPad1d": ((2, 3.5), (2, 3, 4)),
    "ConstantPad2d": (((1, -1, 2, 0), -1.0), (2, 3, 4, 5)),
    "ConstantPad3d": ((1, -2.0), (2, 3, 2, 3, 4)),
    "ZeroPad3d": (((1, 0, 2, -1, 0, 1),), (1, 2, 3, 3, 4)),
    "ZeroPad1d": ((1,), (3, 4)),
    "ZeroPad2d": (((1, 2, 0, 3),), (3, 4, 5)),
    "ReflectionPad1d": (((3, 1),), (2, 3, 4)),
    "ReflectionPad2d": ((2,), (2, 3, 4, 5)),
    "ReplicationPad1d": ((2,), (3, 4)),
    "ReplicationPad2d": (((1, 2, 0, 3),), (3, 4, 5)),
    "CircularPad1d": ((2,), (2, 3, 4)),
    "CircularPad2d": (((1, 2, 0, 3),), (2, 3, 4, 5)),
}


@needs_torch
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    arguments, shape = LAYERS[name]
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, rng(6).standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("sides", [(-4, 2), (3, -3), (-1, 4), (2, -5), (-6, 3)])
def test_cut_off_on_one_side_and_added_on_the_other(mode, sides):
    """The border is that of the whole image, also of the part that is cut off."""
    sides = (*sides, 1, -2)
    theirs = lambda x: torch.nn.functional.pad(x, sides, mode)  # noqa: E731
    check_against_torch(lambda x: pad(x, sides, mode), theirs, rng(8).standard_normal((2, 3, 6, 5)))


MISTAKES = [
    (((1, 1, 3, 3), (1,)), {}, RuntimeError, "divisible by 2"),
    (((3,), (1, 1, 1, 1)), {}, RuntimeError, "two times the input dimension"),
    (((1, 1, 3, 3), (-2, -2)), {}, RuntimeError, "less than nothing of dimension 3"),
    (((1, 1, 3, 3), (9, -4)), {}, RuntimeError, "less than nothing"),
    (((1, 1, 3, 3), (1, 1)), {"mode": "mirror"}, NotImplementedError, "Unrecognised padding mode mirror"),
    (((1, 1, 3, 3), (3, 3, 0, 0)), {"mode": "reflect"}, ValueError, r"less than the corresponding input.*\(3, 3\)"),
    (((1, 1, 3, 3), (4, 3, 0, 0)), {"mode": "circular"}, RuntimeError, "wrapping around more than once"),
    (((1, 1, 3, 3), (-2, 2, 0, 0)), {"mode": "circular"}, RuntimeError, "wrapping around more than once"),
    (((1, 1, 3, 3), (1, 1)), {"mode": "reflect"}, NotImplementedError, "not supported for 4D"),
    (((1, 1, 0, 3), (1, 1, 1, 1)), {"mode": "replicate"}, RuntimeError, "finds no values in dimension 2"),
    (((1, 1, 3, 3), (1, 1, 1, 1)), {"mode": "reflect", "value": 1.0}, RuntimeError, "doesn't take in value"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), MISTAKES)
def test_mistakes(arguments, options, error, message):
    shape, sides = arguments
    with pytest.raises(error, match=message):
        pad(cnn.zeros(*shape), sides, **options)


def test_layer_mistakes():
    with pytest.raises(ValueError, match="ZeroPad2d: padding is a number or 4 of them"):
        nn.ZeroPad2d((1, 2, 3))
    with pytest.raises(RuntimeError, match=r"^1 \(ReflectionPad2d\): Padding size should be less"):
        nn.Sequential(nn.Identity(), nn.ReflectionPad2d(3))(cnn.zeros(1, 1, 3, 3))
