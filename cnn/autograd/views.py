"""The history of views, and of what was changed through them. See docs/architecture.md, "Tensor"."""

import numpy as np

from cnn.aliases import replay

from .deferred import as_array
from .function import Node, edge_of

# By Tensor._made (csrc/binding/tape.h): why the change of a view, or of its base, cannot be recorded. torch's words.
WHY_NOT = {
    1: " with grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can "
    "clarify your code by moving both the view and the inplace either both inside the no_grad block (if you don't want "
    "the inplace to be tracked) or both outside (if you want the inplace to be tracked).",
    2: ". This view is the output of a function that returns multiple views. Such functions do not allow the output "
    "views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    3: ". This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
    "logic to handle view+inplace would override the custom backward associated with the custom Function, leading to "
    "incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.",
}


class ViewOfChanged(Node):
    """The history of a view whose base was changed in place after the view was made."""

    @classmethod
    def between(cls, base, view):
        node = cls()
        node.edges = (edge_of(base),)
        node.take_number()
        node.steps, node.shape = view._view or (), base._a.shape
        return node

    def name(self):
        return "AsStridedBackward0"

    def run_backward(self, grads):
        (dy,) = grads
        dx = np.zeros(self.shape, dy.dtype)
        view = replay(dx, self.steps)
        if _overlaps(view):  # expand, unfold: a place gets the sum of what its elements get
            places = replay(np.arange(dx.size).reshape(dx.shape), self.steps)
            np.add.at(dx.reshape(-1), places, dy)
        else:
            view[...] = dy
        return (dx,)


def _overlaps(array):
    """Whether elements may share memory; True, now and then, where they do not."""
    reach = 0
    for stride, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return True
            reach += stride * (size - 1)
    return False


class WriteToView(Node):
    """The history of a base after `node` wrote a new value into one of its views."""

    @classmethod
    def between(cls, base, view, node):
        write = cls()
        write.edges = (edge_of(base) if base._requires_grad else None, *node.edges[1:])
        write.take_number()
        write.inner, write.steps = node, view._view or ()
        write.passes_old_value = node.edges[0] is not None
        return write

    def name(self):
        return "CopySlices"

    def check_saved(self):
        self.inner.check_saved()

    def free(self):
        self.inner.free()
        self._freed = self.inner._freed = True  # as torch's

    def run_backward(self, grads):
        dx = grads[0].copy()
        region = replay(dx, self.steps)
        inner = tuple(map(as_array, self.inner.run_backward((region.copy(),))))
        region[...] = 0
        if self.passes_old_value and inner[0] is not None:
            region[...] = inner[0]
        return (dx, *inner[1:])
