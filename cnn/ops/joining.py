"""Several tensors joined into one, and one cut into several."""

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import ShapeError, kind_name
from cnn.tensor import Tensor

from ._register import alias, both, function, method
from .promotion import common_type
from .shape import at_least, whole, wrap_dim


class Cat(Operation):
    @staticmethod
    def forward(ctx, dim, *arrays):
        ctx.dim, ctx.sizes = dim, [a.shape[dim] for a in arrays]
        return _cnn.cat(arrays, dim)

    @staticmethod
    def backward(ctx, dy):
        if ctx.dim == 0 or dy.dtype.char not in "fd":
            return None, *np.split(dy, np.cumsum(ctx.sizes)[:-1], axis=ctx.dim)
        return None, *_cnn.split(dy, ctx.sizes, ctx.dim)


class CatWithout(Cat):
    """Cat that passes over the empty 1-d tensors at places `empty`: their gradient is as empty."""

    @staticmethod
    def forward(ctx, dim, empty, *arrays):
        ctx.empty = empty
        return Cat.forward(ctx, dim, *[a for i, a in enumerate(arrays) if i not in empty])

    @staticmethod
    def backward(ctx, dy):
        _, *gradients = Cat.backward(ctx, dy)
        for i in ctx.empty:
            gradients.insert(i, np.zeros(0, dy.dtype))
        return None, None, *gradients

    def name(self):
        return "CatBackward0"


class Stack(Operation):
    @staticmethod
    def forward(ctx, dim, *arrays):
        ctx.dim = dim
        return np.stack(arrays, axis=dim)

    @staticmethod
    def backward(ctx, dy):
        return None, *[np.take(dy, i, axis=ctx.dim) for i in range(dy.shape[ctx.dim])]


class Split(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, sizes, dim):
        ctx.shape, ctx.sizes, ctx.dim = x.shape, sizes, dim
        return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=dim))

    @staticmethod
    def backward(ctx, *dys):
        kind = next(d.dtype for d in dys if d is not None)
        shape = list(ctx.shape)
        parts = []
        for dy, size in zip(dys, ctx.sizes, strict=True):
            shape[ctx.dim] = size
            parts.append(np.zeros(shape, kind) if dy is None else dy)
        return np.concatenate(parts, axis=ctx.dim), None, None


class Unbind(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim, ctx.shape = dim, x.shape
        return (
            tuple(np.moveaxis(x, dim, 0)[i] for i in range(x.shape[dim]))
            if x.ndim > 1
            else tuple(x[i : i + 1].reshape(()) for i in range(x.shape[0]))
        )

    @staticmethod
    def backward(ctx, *dys):
        kind = next(d.dtype for d in dys if d is not None)
        dx = np.zeros(ctx.shape, kind)
        rows = np.moveaxis(dx, ctx.dim, 0)
        for i, dy in enumerate(dys):
            if dy is not None:
                rows[i] = dy
        return dx, None


def _check_list(name, tensors):
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    if not tensors:
        kind = ValueError if name == "cat" else RuntimeError
        raise kind(f"torch.{name}(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): expected Tensor as element {i} in argument 0, but got {kind_name(x)}")
    return tensors


def _same_type(tensors):
    kind = tensors[0]._a.dtype
    if any(x._a.dtype is not kind for x in tensors):
        kind = common_type(*tensors)
        return [x if x._a.dtype == kind.numpy else x.to(kind) for x in tensors]
    return tensors


@function
def cat(tensors, dim=0):
    """Join tensors along an existing dimension. See torch.cat."""
    tensors = _same_type(_check_list("cat", tensors))
    given = tensors
    tensors = [x for x in given if x._a.shape != (0,)] or given[:1]  # torch passes over empty 1-d tensors
    first = tensors[0]._a.shape
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = 0 if first == (0,) else wrap_dim(dim, len(first))
    for i, x in enumerate(tensors):
        shape = x._a.shape
        if len(shape) != len(first):
            raise ShapeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
        for d, (m, n) in enumerate(zip(first, shape, strict=True)):
            if d != dim and m != n:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {m} but got size {n} for "
                    f"tensor number {i} in the list."
                )
    if len(tensors) == len(given):
        return Cat.apply(dim, *tensors)
    kept = [id(x) for x in tensors]
    return CatWithout.apply(dim, [i for i, x in enumerate(given) if id(x) not in kept], *given)


for _name in ("concat", "concatenate"):
    alias(_name, cat, tensor=False)


@function
def stack(tensors, dim=0):
    """Join tensors of one shape along a new dimension. See torch.stack."""
    tensors = _same_type(_check_list("stack", tensors))
    for i, x in enumerate(tensors):
        if x._a.shape != tensors[0]._a.shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0]._a.shape)} at entry 0 and "
                f"{list(x._a.shape)} at entry {i}"
            )
    return Stack.apply(wrap_dim(dim, tensors[0]._a.ndim + 1), *tensors)


@function
def hstack(tensors):
    """Join along the second dimension (the first for 1-d tensors). See torch.hstack."""
    tensors = [at_least(1, x) for x in _check_list("hstack", tensors)]
    return cat(tensors, 0 if tensors[0]._a.ndim == 1 else 1)


@function
def vstack(tensors):
    """Join along the first dimension, 1-d tensors as rows. See torch.vstack."""
    return cat([at_least(2, x) for x in _check_list("vstack", tensors)], 0)


@function
def split(tensor, split_size_or_sections, dim=0):
    """Views of pieces along one dimension. See torch.split."""
    if not tensor._a.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, tensor._a.ndim)
    size = tensor._a.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = [whole("split", "split_sizes", n) for n in split_size_or_sections]
        if any(n < 0 for n in sizes):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}"
            )
        if sum(sizes) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                f"{dim}), but got split_sizes={sizes}"
            )
    else:
        step = whole("split", "split_size", split_size_or_sections)
        if step < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        if step == 0 and size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        sizes = [min(step, size - i) for i in range(0, size, max(step, 1))] or [0]
    result = Split.apply(tensor, sizes, dim)
    return result if isinstance(result, tuple) else (result,)


@method("split")
def _split(self, split_size, dim=0):
    """Views of pieces along one dimension. See torch.Tensor.split."""
    return split(self, split_size, dim)


@method()
def split_with_sizes(self, split_sizes, dim=0):
    """Views of pieces of these sizes. See torch.Tensor.split_with_sizes."""
    return split(self, list(split_sizes), dim)


@both
def chunk(input, chunks, dim=0):
    """At most `chunks` views of equal size along one dimension. See torch.chunk."""
    if whole("chunk", "chunks", chunks) <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0, got: " + str(chunks))
    if not input._a.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    size = input._a.shape[wrap_dim(dim, input._a.ndim)]
    return split(input, -(-size // chunks), dim) if size else split(input, [0] * chunks, dim)


@both
def tensor_split(input, indices_or_sections=None, dim=0, *, sections=None, indices=None,
                 tensor_indices_or_sections=None):  # fmt: skip
    """Views of pieces, cut at indices or into so many parts: a number, numbers, or a tensor of them. See
    torch.tensor_split."""
    if input._a.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    given = [g for g in (indices_or_sections, sections, indices, tensor_indices_or_sections) if g is not None]
    if len(given) != 1:
        raise TypeError("tensor_split(): expected indices or a number of sections, and one of them alone")
    where = given[0]._a.tolist() if isinstance(given[0], Tensor) else given[0]
    if isinstance(given[0], Tensor) and (given[0]._a.dtype != np.int64 or given[0]._a.ndim > 1):
        raise RuntimeError(
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor of "
            f"long dtype, but got {given[0].dtype} of shape {list(given[0]._a.shape)}"
        )
    dim = wrap_dim(dim, input._a.ndim)
    size = input._a.shape[dim]
    if isinstance(where, (tuple, list)):
        cuts = [slice(0, whole("tensor_split", "indices", i)).indices(size)[1] for i in where]
    else:
        n = whole("tensor_split", "sections", where)
        if n <= 0:
            raise RuntimeError(f"tensor_split(): number of sections must be larger than 0, got {n}")
        cuts = [i * (size // n) + min(i, size % n) for i in range(1, n)]
    along = (slice(None),) * dim
    starts, stops = [0, *cuts], [*cuts, size]
    return tuple(input[(*along, slice(a, max(a, b)))] for a, b in zip(starts, stops, strict=True))


@both
def unbind(input, dim=0):
    """All slices along one dimension, as a tuple. See torch.unbind."""
    if input._a.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim(dim, input._a.ndim)
    if input._a.shape[dim] == 0:
        return ()
    result = Unbind.apply(input, dim)
    return result if isinstance(result, tuple) else (result,)
