"""What backward needs from forward: after every change in place between the two there is torch's gradient where torch
gives one, and so there is in a second pass; where torch refuses, there is its error, or the gradient as if nothing had
been changed."""

from itertools import combinations

import numpy as np
import pytest
from harness import needs_torch, torch
from saved_calls import CALLS, works_in_place

import cnn
from cnn.autograd.function import Node, Operation

CHANGED, FREED = "modified by an inplace operation", "backward through the graph a second time"
VIEW = "is a view and its base or another view of its base has been modified inplace"


def change(T, t):
    """Other values in the same memory, past autograd's eyes except for the version."""
    with T.no_grad():
        if t.dtype == T.bool:
            t.copy_(~t)
        elif t.is_floating_point():
            t.mul_(0.5)
        else:
            t.copy_(t.flip(0))


def prepared(T, name, wanted):
    """(leaves, inputs of the call, output)."""
    f, arrays = CALLS[name]
    leaves = [T.from_numpy(np.array(a)).clone() for a in arrays]
    for i in wanted:
        leaves[i].requires_grad_()
    inputs = list(leaves)
    if works_in_place(name) and inputs[0].requires_grad:
        inputs[0] = leaves[0].clone()
    return leaves, inputs, f(T, *inputs)


def gradients(T, leaves, y):
    """Of sum(y * numbers), or "changed" or "freed"."""
    dy = T.from_numpy(np.arange(1.0, 1 + max(y.numel(), 1)).reshape(tuple(y.shape)).astype("float32")).to(y.dtype)
    try:
        y.backward(dy, retain_graph=False)
    except RuntimeError as error:
        for word in (CHANGED, FREED, VIEW):
            if word in str(error):
                return word
        raise
    return [None if t.grad is None else t.grad.numpy() for t in leaves]


def after_changes(T, name):
    """{(wanted, changed): gradients}: changed counts the inputs, and the output after them; None is no change, and
    "twice" a second pass."""
    found = {}
    arrays = CALLS[name][1]
    real = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    for wanted in [w for n in range(1, len(real) + 1) for w in combinations(real, n)]:
        for changed in (None, "twice", *range(len(arrays) + 1)):
            if changed == 0 and works_in_place(name):
                continue  # it is the output
            leaves, inputs, y = prepared(T, name, wanted)
            if not y.requires_grad:
                found[wanted, changed] = "no gradient"
                continue
            if changed == "twice":
                gradients(T, leaves, y)
            elif changed is not None:
                try:
                    change(T, y if changed == len(arrays) else inputs[changed])
                except RuntimeError as error:  # an expanded tensor
                    found[wanted, changed] = str(error)
                    continue
            found[wanted, changed] = gradients(T, leaves, y)
    return found


def same(ours, theirs):
    if isinstance(ours, str) or isinstance(theirs, str):
        return isinstance(ours, str) and isinstance(theirs, str) and ours == theirs
    return all(
        (a is None and b is None) or (a is not None and b is not None and np.allclose(a, b, 2e-4, 1e-5, equal_nan=True))
        for a, b in zip(ours, theirs, strict=True)
    )


def doubled(gradients):
    return [None if g is None else 2 * g for g in gradients]


def faults(ours, theirs):
    """What differs from torch. Where torch refuses, the gradient as if nothing had been changed is right as well: some
    operations keep less here (docs/differences.md)."""
    for (wanted, changed), got in ours.items():
        expected = theirs[wanted, changed]
        unchanged = ours[wanted, None]
        right = same(got, expected)
        if not right and expected in (CHANGED, FREED):
            right = same(got, doubled(unchanged) if changed == "twice" else unchanged)
        if not right:
            yield wanted, changed, got, expected


def operations(cls=Operation):
    for c in cls.__subclasses__():
        yield c
        yield from operations(c)


def nodes(t):
    found, stack = set(), [t.grad_fn]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node not in found:
            found.add(node)
            stack += [edge[0] for edge in node.edges if edge is not None] + [getattr(node, "inner", None)]
    return found


# Of which no call is compared: they draw numbers, or are the base of others.
APART = {"Dropout", "FeatureDropout", "Drawn", "RandomFill", "PairLoss", "CatWithout"}


def test_every_operation_is_called():
    called = set()
    for name in CALLS:
        arrays = CALLS[name][1]
        real = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
        for wanted in [(i,) for i in real]:
            y = prepared(cnn, name, wanted)[2]
            called |= {type(node) for node in nodes(y)}
    missing = {c.__name__.removesuffix("Operation") for c in operations() if c.__module__.startswith("cnn.")}
    missing -= {c.__name__.removesuffix("Operation") for c in called} | APART
    assert not missing


@needs_torch
@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("name", CALLS)
def test_changes_between_forward_and_backward(name):
    ours, theirs = after_changes(cnn, name), after_changes(torch, name)
    assert ours.keys() == theirs.keys()
    assert not list(faults(ours, theirs))
