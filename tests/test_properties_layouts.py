"""Every entry point takes an array in any memory layout and never writes to it; a type it cannot take is named.

An entry point that is missing in tests/entry_points.py fails here.
"""

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, SETTINGS, at, contents, put, results, slots
from harness import COUNTS, memory_variants

from cnn import _cnn


def functions(owner):
    return {name for name, value in vars(owner).items() if callable(value) and not name.startswith("__")}


def test_the_table_is_complete():
    types = {name for name, value in vars(_cnn).items() if isinstance(value, type)}
    methods = {f"Generator.{name}" for name in functions(_cnn.Generator)}
    assert set(ENTRY_POINTS) == (functions(_cnn) - types - SETTINGS) | methods


class Subclass(np.ndarray):
    pass


def variants(array):
    yield from memory_variants(array)
    if array.ndim:
        yield "broadcast", np.broadcast_to(array[(slice(0, 1),) * array.ndim], array.shape)
        wide = np.empty((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
        wide[..., 1:-2] = array
        yield "part of wider rows", wide[..., 1:-2]
    if array.ndim > 1:
        yield "transposed", np.ascontiguousarray(array.swapaxes(0, -1)).swapaxes(0, -1)
    yield "subclass", array.copy().view(Subclass)


def clean_copy(array):
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def same(got, expected, what, exact=True):
    for a, b in zip(results(got), results(expected), strict=True):
        if isinstance(b, np.ndarray):
            a = clean_copy(a)
            assert a.dtype == b.dtype and a.shape == b.shape, what
            if exact or a.dtype.kind != "f":
                assert a.tobytes() == b.tobytes(), what
            else:
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=what)
        elif not isinstance(b, _cnn.Generator):
            assert a == b, what


ARRAYS = [name for name in ENTRY_POINTS if any(True for _ in slots(ENTRY_POINTS[name].arguments()))]


@pytest.mark.parametrize("name", ARRAYS)
def test_any_layout(name):
    """The same bits as from a clean copy, and the inputs as they were.

    Channels last is an order that layers work in, and sums then have another order too: there it is the same values
    within rounding.
    """
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        if slot[0] in point.changed:
            continue
        for layout, variant in variants(at(point.arguments(), slot)):
            clean = put(point.arguments(), slot, clean_copy(variant))
            arguments = put(point.arguments(), slot, variant)
            before = contents(arguments)
            if name == "Generator._set_state" and layout == "broadcast":
                continue  # no state of a generator
            expected, got = point(clean), point(arguments)
            same(got, expected, f"{slot} {layout}", exact=layout != "channels last")
            for place, old in zip(slots(arguments), before, strict=True):
                if place[0] not in point.changed:
                    assert at(arguments, place).tobytes() == old, f"{place}, {slot} {layout}: an input was changed"
                else:
                    same(at(arguments, place), at(clean, place), f"{place}, {slot} {layout}", layout != "channels last")
            COUNTS["memory"] += 1


@pytest.mark.parametrize("name", [n for n in ARRAYS if ENTRY_POINTS[n].changed])
def test_any_layout_in_place(name):
    """Changed as a clean copy is, or refused in one line and left alone."""
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        if slot[0] not in point.changed:
            continue
        for layout, variant in variants(at(point.arguments(), slot)):
            if layout == "broadcast":  # values that share memory cannot be changed one by one
                variant = variant.copy()
            clean = put(point.arguments(), slot, clean_copy(variant))
            arguments = put(point.arguments(), slot, variant)
            before = variant.tobytes()
            expected = point(clean)
            try:
                got = point(arguments)
            except ValueError as error:
                assert layout != "contiguous"
                assert any(word in str(error) for word in ("writable", "read-only", "C order")), error
                assert variant.tobytes() == before
            else:
                assert layout != "read-only"
                assert variant.tobytes() == at(clean, slot).astype(variant.dtype).tobytes(), f"{slot} {layout}"
                same(got, expected, f"{slot} {layout}")
            COUNTS["memory"] += 1


def names(error, argument):
    """True if the message names the argument."""
    return argument.startswith("also") or argument.replace("_", " ") in str(error).replace("_", " ")


ODD_TYPES = [
    "float16",
    "float64",
    "longdouble",
    "int8",
    "int32",
    "uint64",
    "bool",
    "complex64",
    "object",
    "U3",
    "S3",
    "M8[s]",
]
NUMBERS = "?bhilqBHILQefdgF"


@pytest.mark.parametrize("kind", ODD_TYPES)
@pytest.mark.parametrize("name", ARRAYS)
def test_any_type(name, kind):
    """Accepted, or a TypeError that names the argument and the type that came."""
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        arguments = point.arguments()
        array = at(arguments, slot)
        odd = array.astype("i8").astype(kind) if kind == "M8[s]" else array.astype(kind)
        if odd.dtype == array.dtype:
            continue
        arguments = put(arguments, slot, odd)
        before = contents(arguments)
        try:
            result = point(arguments)
        except (TypeError, ValueError) as error:
            assert contents(arguments) == before, slot
            if not point.by_numpy:
                assert isinstance(error, TypeError) and str(odd.dtype) in str(error), error
                # Of a float32 and a float64 either may be the odd one.
                assert names(error, slot[0]) or kind == "float64", error
        else:
            # What can hold anything is refused; of numbers every type has a meaning.
            assert odd.dtype.char in NUMBERS or point.by_numpy, f"{slot} took {kind}"
            assert result is not None or point.changed or name == "Generator._set_state"


NOT_ARRAYS = [None, 1.5, "text", [1.0, 2.0], object()]


@pytest.mark.parametrize("name", ARRAYS)
def test_not_an_array(name):
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        for value in NOT_ARRAYS:
            try:
                point(put(point.arguments(), slot, value))
            except (TypeError, ValueError) as error:
                assert point.by_numpy or names(error, slot[0]), error
                assert isinstance(error, TypeError) or value is None or point.by_numpy, error
            else:
                assert value is None or point.by_numpy, f"{slot} took {value!r}"
