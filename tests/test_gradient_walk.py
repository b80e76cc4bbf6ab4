"""Every public function and method, with what torch was seen to make of small calls (torch_samples.json): its values,
types, and gradients. Where torch's result wants a gradient ours does, or refuses by name. Needs no torch.

A new function needs a record: from torch's samples (`python tests/learn_samples.py`), a call in sample_extra.EXTRA, or,
where nothing is computed from a tensor, a name in sample_extra.NOTHING_TO_DIFFERENTIATE.
"""

import re

import numpy as np
import pytest
import sample_table
import signature_walk
from harness import COUNTS
from sample_extra import NOTHING_TO_DIFFERENTIATE, OWN_ARGUMENTS, REFUSED

import cnn

RECORDS = sample_table.load()
FUNCTIONS = sorted({r["f"] for r in RECORDS})
SURFACE = {
    name: f
    for name, f in signature_walk.surface()
    if name.rpartition(".")[0] in ("", "Tensor", "nn.functional", "linalg") and not isinstance(f, type)
}

WALKED = set()


def _same(got, want, what):
    assert got[:2] == want[:2], f"{what}: {got[:2]}, torch: {want[:2]}"
    if want[2] is not None:
        # one number stands for all elements: their errors add up
        size = max(1.0, float(np.prod(want[1])) ** 0.5)
        tolerance = {"float64": 1e-7, "float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-2}.get(want[0], 1e-9)
        assert got[2] == pytest.approx(want[2], rel=tolerance, abs=tolerance * size), what


def _check(record, name):
    """The call by another name gives what torch gave for this record."""
    in_place = name.endswith("_")
    what = f"{name}({record['a']}, {record['k']})"[:600]
    outputs, leaves = sample_table.call(record, cnn, name, in_place)
    out, gradients = sample_table.summary(record, outputs, leaves, cnn)
    assert len(out) == len(record["out"]), what
    for got, want in zip(out, record["out"], strict=True):
        _same(got, want, what)
        assert got[3] == want[3], f"{what}: requires_grad is {bool(got[3])}, torch's {bool(want[3])}"
    for i, (got, want) in enumerate(zip(gradients, record["grad"], strict=True)):
        if want is not None:
            assert got is not None, f"{what}: argument {i} got no gradient"
            _same(got, want, f"{what}: gradient of argument {i}")


def other_ways(name):
    """The method, the other names and the in-place forms of a function: names in SURFACE."""
    if name in OWN_ARGUMENTS:
        return []
    short, f = name.rpartition(".")[2], SURFACE.get(name)
    found = [f"{place}{short}{end}" for place in ("", "Tensor.", "nn.functional.") for end in ("", "_")]
    wrapped = getattr(f, "__wrapped__", f)
    found += [other for other, g in SURFACE.items() if f is not None and getattr(g, "__wrapped__", g) is wrapped]
    for other in list(found):
        place, _, last = other.rpartition(".")
        found += [f"Tensor.{last}", f"Tensor.{last}_", f"{last}_"] if place == "" else []
    return [n for n in dict.fromkeys(found) if n in SURFACE and n != name and n not in OWN_ARGUMENTS]


def _fits(record, name):
    """A method needs a tensor first; in place, its shape and type must be those of the result."""
    first = record["a"][1] if len(record["a"]) > 1 else None
    if not isinstance(first, list) or first[0] != "T":
        return not name.startswith("Tensor.") and not name.endswith("_")
    out = record["out"]
    return not name.endswith("_") or len(out) == 1 and out[0][:2] == first[1:3]


def _walk(record, name):
    try:
        _check(record, name)
    except (NotImplementedError, TypeError, RuntimeError) as error:
        integers = record["f"].startswith("nn.functional.") and record["out"][0][0] not in ("float32", "float64")
        if record["f"] not in REFUSED and not integers:
            raise AssertionError(f"{name}({record['a']}, {record['k']})"[:600]) from error
        assert re.match(r"\w+( \(.*\))?: |.*not supported", str(error)), f"refused without a name: {error}"
    if name not in WALKED:
        WALKED.add(name)
        COUNTS["gradient walk"] += 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_torch(name):
    for record in RECORDS:
        if record["f"] == name:
            for way in [name] if name.endswith("_") else [name, *other_ways(name)]:
                if _fits(record, way):
                    _walk(record, way)


def covered():
    """The names that test_as_torch calls."""
    names = set(FUNCTIONS)
    for record in RECORDS:
        names |= {way for way in other_ways(record["f"]) if _fits(record, way)}
    return names


def test_every_function_has_a_record():
    missing = sorted(set(SURFACE) - covered() - set(NOTHING_TO_DIFFERENTIATE))
    assert missing == []


def test_the_tables_name_what_exists():
    assert [n for n in NOTHING_TO_DIFFERENTIATE if n not in SURFACE] == []
