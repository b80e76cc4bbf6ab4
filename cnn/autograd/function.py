"""Differentiable operations: `Function` for users, `Operation` for the library's own.

An operation that was applied *is* its node in the graph: forward leaves in it what backward needs, and `edges` lead to
the nodes that made its arguments. An edge is `(node, output_index)`, `(leaf_tensor, 0)`, or None where no gradient is
wanted. Nodes are numbered as they are made, so every edge leads to a smaller number: the engine (engine.py) walks the
graph by that number and needs neither recursion nor a sort.
"""

import numpy as np

from cnn import _cnn, types
from cnn.errors import DTypeError, ShapeError
from cnn.layout import copied
from cnn.tensor import Tensor
from cnn.utils.hooks import RemovableHandle

from . import anomaly, bfloat16
from .grad_mode import mode, no_grad

RETAIN = "retain"  # among the hooks of a node's output: a reference to the tensor whose .grad is kept (retain_grad)


class Node(_cnn.Node):
    """A step of the graph; `tensor.grad_fn`.

    In C (csrc/binding/node.c) are the fields that every node has: edges, needs, saved; _versions, of what was saved;
    _outputs, how many; _metadata, their shapes and types where they are several; _hooks, on the gradients that this
    node computes (register_hook); _output_hooks, {output number: hooks of the tensor there} (Tensor.register_hook,
    retain_grad). So are its way into the graph, `record`, and `run_backward(gradients)`: gradients of the outputs in, a
    tuple with one gradient per edge out, all NumPy arrays.
    """

    forward_calls = None  # the stack when this node was made, where anomalies are looked for (anomaly.py)
    saves_output_for_input = False  # saved[0] is the output because it is there anyway; the input would do
    takes = ()  # the kind of deferred.Gradient that run_backward understands

    def name(self):
        """The name that torch prints: `ReluBackward0`, or `MyFunctionBackward` for a user's Function."""
        return f"{type(self).__name__.removesuffix('Operation')}Backward0"

    def __repr__(self):
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self):
        """Where the gradients of the arguments go, as torch lists it: pairs of a node and a number."""
        return tuple((None, 0) if e is None else (_as_node(e[0]), e[1]) for e in self.edges)

    def register_hook(self, hook):
        """`hook(grad_inputs, grad_outputs)` runs after this node's backward; returns a handle with `remove()`."""
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    def hooks_of_output(self, output):
        """{key: hook} of the tensor that is this output."""
        if self._output_hooks is None:
            self._output_hooks = {}
        return self._output_hooks.setdefault(output, {})

    def _note_forward(self):
        self.forward_calls = anomaly.calls()

    def _check_results(self, results):
        return anomaly.check(self, results)

    def _explain_error(self):
        anomaly.explain(self)

    def _refuse(self):
        """Called by check_saved() where saved values were freed or changed."""
        if self._freed:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have "
                "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
                "if you need to access saved tensors after calling backward."
            )
        for box, version in self._versions:
            if box[0] != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"{self.name()} saved a tensor at version {version}, but it is at version {box[0]} now. "
                    "Work on a copy (x = x + 1 instead of x += 1), or change the tensor after backward()."
                )


class AccumulateGrad(Node):
    """The end of the graph at a leaf, as `next_functions` shows it."""

    def __init__(self, tensor):
        self.variable = tensor

    def name(self):
        return "AccumulateGrad"


def _as_node(target):
    return target if isinstance(target, Node) else AccumulateGrad(target)


def edge_of(tensor):
    """The edge that a gradient for `tensor` follows; None for a view that was made before its base asked for one."""
    if tensor._base is not None:
        tensor._refresh_view()
    if tensor._node is not None:
        return tensor._node, tensor._output
    return (tensor, 0) if tensor._asks_for_grad else None


class Operation(Node):
    """An operation of the library: NumPy arrays in, NumPy arrays out. See docs/architecture.md, "An operation".

    It is called as torch calls its node, without Backward0: Relu, NativeBatchNorm. Where the Module of its file has
    that name already, `Operation` stands behind it: SoftmaxOperation.

    forward(ctx, *args)  every Tensor among args arrives as its array; `ctx.needs[i]` says whether argument i wants a
                         gradient; `ctx.saved` holds the arrays that backward needs.
    backward(ctx, *dys)  one gradient per argument of forward (None where there is none to give).
    """

    is_view = False
    may_overlap = False  # whether it may be applied in place where several elements share one place in memory

    @staticmethod
    def forward(ctx, *args):
        raise NotImplementedError

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError

    # apply(*args): a new node; forward on the arrays of the arguments; Tensors around its results; and, where one of
    # the arguments wants a gradient, the node's place in the graph. In C (csrc/binding/apply.c): every call comes by.
    apply = classmethod(_cnn.apply)

    @classmethod
    def finish_bfloat16(cls, args, out):
        """Called by apply() where an argument is of bfloat16."""
        bfloat16.finish(cls, args, out)

    @classmethod
    def apply_(cls, target, *args):
        """Apply in place: `target` takes the result. Returns target.

        A class may define `forward_(ctx, x, *args)`, which works in x itself; otherwise the result is computed beside
        it and copied, and what forward saved is a copy of the old value.
        """
        ctx = cls()
        _cnn.settle()
        array = target._a
        if not cls.may_overlap:
            check_overlap(array)
        all_args = (target, *args)
        recording = mode.enabled and array.dtype.kind == "f"
        ctx.needs = needs = [recording and isinstance(x, Tensor) and x._requires_grad for x in all_args]
        track = True in needs
        old_edge = None
        if track:
            target._check_inplace()
            old_edge = edge_of(target) if needs[0] else None
        raw = [x._a if isinstance(x, Tensor) else x for x in args]
        if track:  # y.mul_(y): what is saved of an argument in the same memory is its value before the write
            box = target._version_box()
            for i, x in enumerate(args):
                if isinstance(x, Tensor) and x._box is box:
                    raw[i] = raw[i].copy()
        maker = (target if target._base is None else target._base)._node
        if maker is not None and maker.saves_output_for_input:
            _keep_output(maker)
        if hasattr(cls, "forward_") and array.flags.writeable:
            cls.forward_(ctx, array, *raw)
        else:
            out = cls.forward(ctx, copied(array) if track else array, *raw)
            _copy_into(array, out)
            if ctx.saved:  # an output that is saved is the target's now
                ctx.saved = tuple([array if a is out else a for a in ctx.saved])
        if target._dtype is not None:
            bfloat16.settle(target)
        target._bump()
        if track:
            ctx.edges = (old_edge, *[edge_of(x) if w else None for x, w in zip(args, needs[1:], strict=True)])
            ctx.take_number()
            if ctx.saved:
                ctx.remember_versions(all_args, ())
            target._rebase(ctx)
        return target


def _keep_output(node):
    """Before a tensor is changed that this node made and saved."""
    if node.saved and all(box[0] == version for box, version in node._versions):
        node.saved = (node.saved[0].copy(order="K"), *node.saved[1:])
        node._versions = ()


def check_overlap(array):
    """torch's refusal to write into memory that several elements of the array share, as those of an expand() do."""
    if 0 not in array.strides or not array.size:
        return
    if any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}  # bool, integers, floats: a result may only move to the right


def _copy_into(target, value):
    """target[...] = value, with torch's refusals."""
    value = np.asarray(value)
    if value.shape != target.shape:
        shape = np.broadcast_shapes(value.shape, target.shape)
        if shape != target.shape:
            raise ShapeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(shape)}")
    if _RANK[value.dtype.kind] > _RANK[target.dtype.kind]:
        result, desired = types.of_numpy(value.dtype).name, types.of_numpy(target.dtype).name
        raise DTypeError(f"result type {result} can't be cast to the desired output type {desired}")
    np.copyto(target, value, casting="unsafe")


class FunctionCtx:
    """What a user's forward and backward share: `save_for_backward`, `saved_tensors`, `needs_input_grad`, and any
    attribute the user sets. Mirrors torch.autograd.function.FunctionCtx."""

    _to_save = ()
    _non_differentiable = ()
    _dirty = ()
    _materialize = True

    def save_for_backward(self, *tensors):
        """Keep input or output tensors for backward; they are checked against later in-place changes."""
        self._to_save = tensors

    @property
    def saved_tensors(self):
        Node.check_saved(self)
        return tuple(t.restore() if isinstance(t, _SavedOutput) else t for t in self._saved_list)

    saved_variables = saved_tensors

    @property
    def needs_input_grad(self):
        return tuple(self.needs)

    def mark_non_differentiable(self, *tensors):
        """These outputs get no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors):
        """These inputs were changed in place by forward."""
        self._dirty = tensors

    def set_materialize_grads(self, value):
        """If False, the gradient of an unused output arrives as None instead of zeros."""
        self._materialize = bool(value)


class Function(FunctionCtx, Node):
    """A differentiable operation of the user's own: subclass it, write `forward` and `backward` as static methods, call
    `apply`. Tensors in, Tensors out, as in torch (https://docs.pytorch.org/docs/stable/autograd.html#function).

        class Square(cnn.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, dy):
                (x,) = ctx.saved_tensors
                return 2 * x * dy

        y = Square.apply(x)
    """

    _saved_list = ()

    def name(self):
        return f"{type(self).__name__}Backward"

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it."
        )

    vjp = backward

    def __init__(self, *args, **kwargs):
        if args or kwargs:
            raise RuntimeError(
                "Legacy autograd function with non-static forward method is deprecated. Use a new-style autograd "
                "function with static forward method and call it with .apply()."
            )

    def __call__(self, *args, **kwargs):
        raise RuntimeError(f"call {type(self).__name__}.apply(...) instead of an instance of it")

    @classmethod
    def apply(cls, *args, **kwargs):
        ctx = cls()
        ctx.needs = [isinstance(x, Tensor) and mode.enabled and x._requires_grad for x in args]
        track = True in ctx.needs
        separate_context = cls.setup_context is not Function.setup_context
        with no_grad():
            if separate_context:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        outs = result if isinstance(result, tuple) else (result,)
        if not track:
            return result
        fresh = []
        for o in outs:
            # An input returned as it is must not become its own ancestor: it gets a new tensor on the same memory.
            returned_input = any(o is x for x in args) and not any(o is d for d in ctx._dirty)
            fresh.append(_as_view(o) if returned_input and isinstance(o, Tensor) else o)
        ctx.edges = tuple([edge_of(x) if w else None for x, w in zip(args, ctx.needs, strict=True)])
        ctx.take_number()
        ctx._outputs = len(fresh)
        ctx._metadata = [(o._a.shape, o._a.dtype) if isinstance(o, Tensor) else None for o in fresh]
        for d in ctx._dirty:
            d._check_inplace()
            d._bump()
        for index, o in enumerate(fresh):
            excluded = any(o is t for t in ctx._non_differentiable)
            if isinstance(o, Tensor) and o._a.dtype.kind == "f" and not excluded:
                o._requires_grad, o._node, o._output = True, ctx, index
                o._made = BY_FUNCTION if o._base is not None else 0
        ctx._saved_list = [_SavedOutput(t) if any(t is o for o in fresh) else t for t in ctx._to_save]
        ctx._versions = [(t._version_box(), t._version_box()[0]) for t in ctx._to_save if isinstance(t, Tensor)]
        ctx._to_save = ()
        ctx._dirty = ctx._non_differentiable = ()
        return tuple(fresh) if isinstance(result, tuple) else fresh[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    def check_saved(self):
        """Left to saved_tensors: what backward does not ask for need not be there."""

    def free(self):
        super().free()
        self._freed = self._freed or bool(self._saved_list)
        self._saved_list = ()

    def run_backward(self, grads):
        grads = list(grads)
        for i, g in enumerate(grads):
            if g is None and self._materialize and self._metadata[i] is not None:
                shape, kind = self._metadata[i]
                g = np.zeros(shape, kind)
            grads[i] = None if g is None else Tensor._wrap(g)
        user = type(self).backward if type(self).backward is not Function.backward else type(self).vjp
        with no_grad():
            result = user(self, *grads)
        if not isinstance(result, tuple):
            result = (result,)
        if len(result) > len(self.edges) and all(r is None for r in result[len(self.edges) :]):
            result = result[: len(self.edges)]
        if len(result) != len(self.edges):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {len(self.edges)}, "
                f"got {len(result)})"
            )
        return tuple(r._a if isinstance(r, Tensor) else r for r in result)


BY_FUNCTION = 3  # Tensor._made


def _as_view(tensor):
    """Another tensor on the same memory, which counts as a view."""
    view = tensor.detach()
    view._base, view._view = tensor if tensor._base is None else tensor._base, tensor._view
    view._view_version = tensor._version
    return view


class _SavedOutput:
    """An output that its own node saved: held without its history, or the node would hold itself."""

    def __init__(self, tensor):
        self.array, self.box = tensor._a, tensor._version_box()

    def restore(self):
        t = Tensor._wrap(self.array)
        t._box = self.box
        return t
