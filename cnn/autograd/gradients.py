"""backward and grad: where a way back through the graph starts, and what is asked for at its end."""

import warnings

import numpy as np

from cnn import _cnn
from cnn.errors import ShapeError, kind_name
from cnn.tensor import Tensor

from . import engine
from .function import edge_of


def _as_list(x):
    return list(x) if isinstance(x, (tuple, list)) else [x]


def _roots(tensors, gradients):
    """The edges to start from, and the arrays to send along them: ones for a scalar, what the caller gave otherwise."""
    edges, arrays = [], []
    for t, g in zip(tensors, gradients, strict=True):
        if not isinstance(t, Tensor):
            raise TypeError(f"backward starts from Tensors, got {kind_name(t)}")
        edge = edge_of(t) if t._requires_grad else None
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        if g is None:
            if t._a.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs; this one has shape {list(t.shape)}. "
                    "Reduce it first (loss.mean() or loss.sum()), or pass backward(gradient=...)."
                )
            g = _cnn.empty(t._a.shape, t._a.dtype)
            g.fill(1)
        else:
            g = g._a if isinstance(g, Tensor) else np.asarray(g)
            if g.shape != t._a.shape:
                raise ShapeError(
                    f"Mismatch in shape: grad_output[0] has a shape of {list(g.shape)} and output[0] has a shape of "
                    f"{list(t._a.shape)}."
                )
            g = g.astype(t._a.dtype, copy=False)
        edges.append(edge)
        arrays.append(g)
    return edges, arrays


def _refuse_double_backward(create_graph):
    if create_graph:
        raise NotImplementedError("create_graph=True: double backward is not supported by cnn")


def backward(
    tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None
):  # fmt: skip
    """Add the gradients of `tensors` to `.grad` of the leaves; `grad_variables` is the old name of `grad_tensors`. See
    torch.autograd.backward."""
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to backward(). Please only use "
                "`grad_tensors`."
            )
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    _refuse_double_backward(create_graph)
    tensors = _as_list(tensors)
    gradients = [None] * len(tensors) if grad_tensors is None else _as_list(grad_tensors)
    edges, arrays = _roots(tensors, gradients)
    if inputs is not None:
        inputs = _as_list(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        for t in inputs:
            if t.grad_fn is not None or not t._requires_grad:  # for which this raises
                t.retain_grad()
    engine.run(edges, arrays, bool(retain_graph), inputs)


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True, allow_unused=None,
    is_grads_batched=False, materialize_grads=False,
):  # fmt: skip
    """Gradients of `outputs` with respect to `inputs`, returned and not stored. See torch.autograd.grad."""
    _refuse_double_backward(create_graph)
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched=True is not supported by cnn")
    outputs, inputs = _as_list(outputs), _as_list(inputs)
    gradients = [None] * len(outputs) if grad_outputs is None else _as_list(grad_outputs)
    for t in inputs:
        if not t._requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = engine.run_to(*_roots(outputs, gradients), bool(retain_graph), inputs)
    tensors = []
    for i, (t, g) in enumerate(zip(inputs, results, strict=True)):
        if g is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior."
            )
        if g is None:
            tensors.append(Tensor._wrap(np.zeros_like(t._a)) if materialize_grads else None)
        else:
            tensors.append(Tensor._wrap(g))
    return tuple(tensors)
