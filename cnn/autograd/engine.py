"""The backward pass: walks the graph from the last node made to the first, adding up gradients on the way.

The walk itself is in C (csrc/binding/backward.c): a heap of the nodes' numbers, and one list for each node with the sum
of the gradients that came for each of its outputs. Here is what it calls where something is not as usual.
"""

from sys import getrefcount

import numpy as np

from cnn import _cnn
from cnn.errors import ShapeError
from cnn.tensor import Tensor

from .deferred import Gradient, LeafGradient, as_array
from .function import Node, edge_of
from .grad_mode import no_grad


def run(tensors, gradients, keep_graph=False, inputs=None):
    """Send `gradients` (arrays) from `tensors` back through the graph.

    Without `inputs` the sums land in `.grad` of every leaf reached. With `inputs` (a list of Tensors) nothing is
    stored; the sums for those tensors are returned as arrays, None for one that was not reached.
    """
    edges = [edge_of(t) for t in tensors]
    if inputs is None:
        helpers = (deliver, add_to_slot, run_tensor_hooks, run_node_hooks, finish)
        _cnn.backward(edges, gradients, keep_graph, True, *helpers)
        return []
    wanted = {}  # (node or id(leaf), output) -> positions in inputs
    for position, t in enumerate(inputs):
        target, output = edge_of(t)
        wanted.setdefault((target if isinstance(target, Node) else id(target), output), []).append(position)
    captured = [None] * len(inputs)

    def before(node, slots):
        run_tensor_hooks(node, slots)
        for output, gradient in enumerate(slots):
            for position in wanted.get((node, output), ()):
                captured[position] = gradient

    def capture(slots):
        run_leaf_hooks(slots)
        for position in wanted.get((id(slots[1]), 0), ()):
            captured[position] = slots[0]

    deliver_arrays = deliver if not wanted else lambda target, gradient: deliver(None, gradient)
    _cnn.backward(edges, gradients, keep_graph, False, deliver_arrays, add_to_slot, before, run_node_hooks, capture)
    return captured


def deliver(target, gradient):
    """What goes to `target` in place of a gradient that is no array: a Gradient where nobody looks at it."""
    if not isinstance(gradient, Gradient):
        return np.asarray(gradient)  # NumPy turns 0-d results into scalars
    return gradient if target is not None and takes(target, gradient) else gradient.array()


def finish(slots):
    """The end at a leaf: slots is [sum, leaf]."""
    run_leaf_hooks(slots)
    accumulate(slots[1], slots)


def run_leaf_hooks(slots):
    leaf = slots[1]
    if leaf._grad_hooks is not None:
        for hook in tuple(leaf._grad_hooks.values()):
            slots[0] = call_tensor_hook(hook, slots[0])


def takes(target, gradient):
    """True if a Gradient may go to `target` as it is: the node wants it so, and nobody looks at what goes in. At a leaf
    accumulate decides."""
    if isinstance(target, Tensor):
        return isinstance(gradient, LeafGradient) and target._grad_hooks is None
    return isinstance(gradient, target.takes) and not (target._hooks or target._output_hooks)


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
    gradient = slots[0]
    slots[0] = None
    if isinstance(gradient, LeafGradient):
        if leaf._grad is None and leaf._accumulate_hooks is None and gradient.fits(leaf._a):
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
    if leaf._accumulate_hooks is not None:
        for hook in tuple(leaf._accumulate_hooks.values()):
            hook(leaf)


def run_tensor_hooks(node, gradients):
    """The hooks of the tensors that `node` made, on the complete gradient of each."""
    for output, hooks in (node._output_hooks or {}).items():
        for hook in tuple(hooks.values()):
            if gradients[output] is not None:
                gradients[output] = call_tensor_hook(hook, gradients[output])


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
