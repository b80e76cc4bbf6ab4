"""A Tensor's part in the graph: backward(), hooks, and its history where memory is shared and changed in place.

These methods join the class (cnn/tensor.py) when cnn is imported, as those of cnn/ops do.
"""

import weakref

from cnn.tensor import Tensor
from cnn.utils.hooks import RemovableHandle

from .function import RETAIN
from .grad_mode import mode
from .gradients import backward
from .views import WHY_NOT, ViewOfChanged, WriteToView


class _History:
    def _backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """backward(), where it is not as plain as its C (csrc/binding/backward.c) does itself."""
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self):
        """Keep `.grad` for this tensor although it is not a leaf."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is None or self._keeps_grad:
            return
        self._keeps_grad = True
        self._node.hooks_of_output(self._output)[RETAIN] = weakref.ref(self)

    @property
    def retains_grad(self):
        return self._keeps_grad

    def register_hook(self, hook):
        """`hook(gradient)` runs when this tensor's gradient is complete; what it returns replaces the gradient.
        Returns a handle with `remove()`."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            return RemovableHandle(self._node.hooks_of_output(self._output), hook)
        if self._grad_hooks is None:
            self._grad_hooks = {}
        return RemovableHandle(self._grad_hooks, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """`hook(tensor)` runs after `.grad` of this leaf was updated."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._accumulate_hooks is None:
            self._accumulate_hooks = {}
        return RemovableHandle(self._accumulate_hooks, hook)

    def _refresh_view(self):
        """After the base was changed in place, a view's history is a view of the base's new history."""
        if self._view_version != self._version and (self._node is not None or self._base._requires_grad):
            if self._made:
                raise RuntimeError(
                    f"{self._view_title()} and its base or another view of its base has been modified "
                    f"inplace{WHY_NOT[self._made]}"
                )
            self._view_version = self._version
            self._set_history(ViewOfChanged.between(self._base, self))

    def _view_title(self):
        if self._made == 1 or self._node is None:
            return "A view was created in no_grad mode"
        return f"Output {self._output} of {self._node.name().removesuffix('Backward0')} is a view"

    def _check_inplace(self):
        """torch's refusals, where a change in place would be recorded."""
        if self._base is not None:
            if self._made:
                raise RuntimeError(f"{self._view_title()} and is being modified inplace{WHY_NOT[self._made]}")
            if self._requires_grad and self._base._node is None:
                raise RuntimeError(
                    "a view of a leaf Variable that requires grad is being used in an in-place operation."
                )
        if self._requires_grad and (self._node if self._base is None else self.grad_fn) is None:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")

    def _check_before_write(self):
        """The same before other arguments are looked at, where torch looks at them later."""
        if self._requires_grad and mode.enabled:
            self._check_inplace()

    def _rebase(self, node):
        """`node` computed this tensor's new value in place: it is its history from here on."""
        if self._base is None:
            self._set_history(node)
            return
        self._base._set_history(WriteToView.between(self._base, self, node))
        self._view_version = -1  # made anew, through the base, when next asked for

    def _set_history(self, node):
        if self._keeps_grad:
            node.hooks_of_output(0)[RETAIN] = self._node.hooks_of_output(self._output).pop(RETAIN)
        self._node, self._output, self._requires_grad = node, 0, True


for _name, _value in vars(_History).items():
    if not _name.startswith("__"):
        getattr(_value, "fget", _value).__qualname__ = f"Tensor.{_name}"
        setattr(Tensor, _name, _value)

Tensor._backward.__qualname__ = "Tensor.backward"  # which it is for those who call it wrongly
