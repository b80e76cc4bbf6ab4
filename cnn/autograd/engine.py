"""The backward pass: walks the graph from the last node made to the first, adding up gradients on the way.

The walk itself is in C (csrc/binding/backward.c): a heap of the nodes' numbers, and one list for each node with the sum
of the gradients that came for each of its outputs. Here is what it calls where something is not as usual.
"""

from sys import getrefcount

import numpy as np

from cnn import _cnn
from cnn.errors import ShapeError
from cnn.tensor import Tensor

from . import bfloat16
from .deferred import Gradient, LeafGradient, as_array
from .function import RETAIN, Node, edge_of
from .grad_mode import no_grad


def run(edges, gradients, keep_graph=False, inputs=None):
    """Send `gradients` (arrays) along `edges` back through the graph, to `.grad` of every leaf reached; with `inputs`
    (a list of Tensors) only to those, walking what lies on the way to them."""
    goals = None if inputs is None else [(edge_of(t) or (t, 0))[0] for t in inputs]
    only = None if goals is None else _way(edges, goals, beyond=True)
    _cnn.backward(edges, gradients, keep_graph, only)


def run_to(edges, gradients, keep_graph, inputs):
    """The same for the gradients of `inputs`, which are not stored but returned as arrays; None for one that was not
    reached."""
    wanted = {}  # (node or leaf, output) -> positions in inputs
    for position, t in enumerate(inputs):
        wanted.setdefault(edge_of(t) or (t, 0), []).append(position)
    captured = [None] * len(inputs)

    def before(node, slots):
        goes_on = only[node]  # then torch takes the gradient before the tensor's hooks have seen it
        if not goes_on:
            run_tensor_hooks(node, slots)
        for output, gradient in enumerate(slots):
            for position in wanted.get((node, output), ()):
                captured[position] = gradient
        if goes_on:
            run_tensor_hooks(node, slots)

    def capture(slots):
        run_leaf_hooks(slots)
        for position in wanted.get((slots[1], 0), ()):
            captured[position] = slots[0]

    only = _way(edges, [target for target, _ in wanted], beyond=False)
    _cnn.backward(edges, gradients, keep_graph, only, as_plain_array, add_to_slot, before, run_node_hooks, capture)
    return captured


def _way(roots, goals, beyond):
    """{node or leaf on a way from roots to goals: whether to go on from there}, which at a goal may be said."""
    reached, stack = set(), [target for target, _ in roots]
    while stack:
        target = stack.pop()
        if isinstance(target, Node) and target not in reached:
            reached.add(target)
            stack += [edge[0] for edge in target.edges if edge is not None]
    way = dict.fromkeys(goals, beyond)
    for node in sorted(reached, key=lambda node: node._number):  # an edge leads to a smaller number
        if any(edge is not None and edge[0] in way for edge in node.edges):
            way[node] = True
    return way


def as_plain_array(target, gradient):
    """The array of a gradient that is none, for whatever target: NumPy turns 0-d results into scalars."""
    return gradient.array() if isinstance(gradient, Gradient) else np.asarray(gradient)


def deliver(target, gradient):
    """What goes to `target` in place of a gradient that is no array. To a node that takes it as it is, a Gradient went
    already (in C); it may go to a leaf that has no hooks, where accumulate decides."""
    if isinstance(gradient, LeafGradient) and isinstance(target, Tensor) and target._grad_hooks is None:
        return gradient
    return as_plain_array(target, gradient)


def finish(slots):
    """The end at a leaf: slots is [sum, leaf]."""
    run_leaf_hooks(slots)
    accumulate(slots[1], slots)


def run_leaf_hooks(slots):
    leaf = slots[1]
    if leaf._grad_hooks is not None:
        for hook in tuple(leaf._grad_hooks.values()):
            slots[0] = call_tensor_hook(hook, slots[0])


def add_to_slot(slots, index, gradient):
    """slots[index] += gradient, in the same memory where nobody else holds it."""
    held = as_array(slots[index])
    gradient = as_array(gradient)
    slots[index] = None
    if getrefcount(held) == 2 and held.base is None and held.flags.writeable:
        slots[index] = _cnn.add_(held, gradient)
    else:
        slots[index] = _cnn.add(held, gradient)


def accumulate(leaf, slots):
    """leaf.grad += the sum in slots, which is kept as it is where nobody else holds it."""
    if leaf._requires_grad:  # it may have been switched off since
        _add_to_grad(leaf, slots)
    for hook in tuple((leaf._accumulate_hooks or {}).values()):
        hook(leaf)


def _add_to_grad(leaf, slots):
    gradient = slots[0]
    slots[0] = None
    if isinstance(gradient, LeafGradient):
        if leaf._grad is None and leaf._accumulate_hooks is None and leaf._dtype is None and gradient.fits(leaf._a):
            leaf._grad = gradient.tensor()
            return
        gradient = gradient.array()
    array = leaf._a
    if gradient.shape != array.shape:
        raise ShapeError(f"a gradient of shape {list(gradient.shape)} came for a tensor of shape {list(array.shape)}")
    if gradient.dtype != array.dtype:
        gradient = gradient.astype(array.dtype)
    if leaf._grad is not None:
        with no_grad():
            leaf._grad.add_(Tensor._wrap(gradient))
    elif getrefcount(gradient) == 2 and gradient.base is None and gradient.flags.writeable:
        leaf._grad = Tensor._wrap(gradient)
    else:
        leaf._grad = Tensor._wrap(np.array(gradient, order="C"))
    if leaf._dtype is not None:
        bfloat16.settle(leaf._grad)


def run_tensor_hooks(node, gradients):
    """The hooks of the tensors that `node` made, on the complete gradient of each."""
    for output, hooks in (node._output_hooks or {}).items():
        for key, hook in tuple(hooks.items()):
            if gradients[output] is not None and key != RETAIN:
                gradients[output] = call_tensor_hook(hook, gradients[output])
        keeper = hooks[RETAIN]() if RETAIN in hooks else None
        if keeper is not None and gradients[output] is not None:  # what the others made of it
            gradient = Tensor._wrap(gradients[output])
            keeper.grad = gradient.clone() if keeper.grad is None else keeper.grad + gradient


def call_tensor_hook(hook, gradient):
    with no_grad():
        replacement = hook(Tensor._wrap(gradient))
    return gradient if replacement is None else replacement._a


def run_node_hooks(node, results, gradients):
    results = tuple(map(as_array, results))
    wrap = lambda arrays: tuple(None if a is None else Tensor._wrap(a) for a in arrays)  # noqa: E731
    for hook in tuple(node._hooks.values()):
        with no_grad():
            replacement = hook(wrap(results), wrap(gradients))
        if replacement is not None:
            replacement = replacement if isinstance(replacement, tuple) else (replacement,)
            results = tuple(None if r is None else r._a for r in replacement)
    return results


_cnn.set_backward(deliver, add_to_slot, run_tensor_hooks, run_node_hooks, finish)
