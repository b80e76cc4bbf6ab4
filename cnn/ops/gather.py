"""Elements and slices at places along a dimension, which a tensor of indices names: read, written, added to."""

import numpy as np

from cnn.autograd.function import Operation
from cnn.tensor import Tensor

from ._register import both, method
from .promotion import as_value
from .shape import wrap_dim


class Gather(Operation):
    @staticmethod
    def forward(ctx, x, dim, index):
        ctx.shape, ctx.saved = x.shape, _places("gather", x.shape, dim, index)
        return np.atleast_1d(x)[ctx.saved].reshape(index.shape)

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        if dy.size:
            np.add.at(np.atleast_1d(dx), ctx.saved, dy)
        return dx, None, None


def _places(name, shape, dim, index):
    """Full indices for `x[..., index, ...]` where index replaces the coordinate of one dimension (x has one)."""
    size = shape[dim] if shape else 1
    if index.size == 0:
        return (index.reshape(-1).astype(np.int64),) * max(len(shape), 1)
    if index.min() < 0 or index.max() >= size:
        bad = index[(index < 0) | (index >= size)].flat[0]
        raise RuntimeError(f"{name}(): index {bad} is out of bounds for dimension {dim} with size {size}")
    grid = list(np.ix_(*[np.arange(n) for n in index.shape])) if index.ndim else [index]
    grid[dim] = index
    return tuple(grid)


def _check_index(name, x, dim, index, what="self", source=None):
    """dim, counted from the front. torch's errors for an index (or a source) that does not fit."""
    dim = wrap_dim(dim, x._a.ndim)
    if index._a.dtype not in (np.int64, np.int32) and index._a.size:  # an empty one may be of any type
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, got {index.dtype}")
    if source is not None and source.dtype != x._a.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got {x._a.dtype} and {source.dtype}"
        )
    if index._a.size == 0:
        return dim
    sizes = index._a.shape or (1,)
    for label, a in ((what, x._a), ("src", source)):
        if a is None:
            continue
        have = a.shape or (1,)
        if len(have) != len(sizes):
            raise RuntimeError(
                f"{name}(): Index tensor must have the same number of dimensions as {label} tensor, got shapes "
                f"{list(index._a.shape)} and {list(a.shape)}"
            )
        if any(n > m and (d != dim or label == "src") for d, (n, m) in enumerate(zip(sizes, have, strict=True))):
            apart = f" apart from dimension {dim}" if label != "src" else ""
            raise RuntimeError(
                f"{name}(): Expected index {list(index._a.shape)} to be no larger than {label} {list(have)}{apart}"
            )
    return dim


@both
def gather(input, dim, index, *, sparse_grad=False):
    """out[i][j] = input[index[i][j]][j] for dim 0. See torch.gather."""
    if sparse_grad:
        raise NotImplementedError("cnn.gather(): sparse_grad=True is not supported: cnn has no sparse tensors")
    return Gather.apply(input, _check_index("gather", input, dim, index, "input"), index)


_AT = {"add": np.add.at, "multiply": np.multiply.at}


class Scatter(Operation):
    @staticmethod
    def forward_(ctx, x, source, dim, index, reduce):
        place = _places("scatter", x.shape, dim, index)
        ctx.index, ctx.reduce, ctx.shape = index.shape, reduce, np.shape(source)
        if ctx.needs[1] or reduce is None:
            ctx.saved = place
        part = np.asarray(source).astype(x.dtype, copy=False)
        if np.ndim(source):
            part = part[tuple(slice(0, n) for n in index.shape)].reshape(
                place[0].shape if not index.size else index.shape
            )
        if reduce is not None:
            _AT[reduce](np.atleast_1d(x), place, part)
        else:
            np.atleast_1d(x)[place] = part
        return x

    @staticmethod
    def backward(ctx, dy):
        if ctx.reduce == "multiply":
            raise NotImplementedError("scatter(reduce='multiply'): the gradient is not supported")
        ds = None
        if ctx.needs[1]:
            ds = np.zeros(ctx.shape, dy.dtype)
            values = np.atleast_1d(dy)[ctx.saved].reshape(ctx.index)
            ds[tuple(slice(0, n) for n in values.shape)] = values
        dx = dy
        if ctx.reduce is None:
            dx = dy.copy()
            np.atleast_1d(dx)[ctx.saved] = 0
        return dx, ds, None, None, None


@method()
def scatter_(self, dim, index, src=None, *, value=None, reduce=None):
    """self[index[i][j]][j] = src[i][j] for dim 0; with reduce "add" or "multiply" it is added or multiplied in. src may
    be a number. See torch.Tensor.scatter_."""
    if (src is None) == (value is None):
        raise TypeError("scatter(): expected a Tensor src or a number value, and one of them alone")
    if reduce not in (None, *_AT):
        raise RuntimeError(f"scatter(): reduce argument must be either add or multiply, got {reduce!r:.80}")
    source = value if src is None else src
    if isinstance(source, Tensor):
        source = source.item() if source is value else source
    elif not isinstance(source, (int, float, np.number, np.bool_)):
        raise TypeError(
            f"scatter(): argument 'src' (position 3) must be Tensor or a number, not {type(source).__name__}"
        )
    else:
        source = as_value(source, self._a.dtype)
    array = source._a if isinstance(source, Tensor) else None
    dim = _check_index("scatter", self, dim, index, source=array)
    return Scatter.apply_(self, source, dim, index, reduce)


@method()
def scatter_add_(self, dim, index, src):
    """self[index[i][j]][j] += src[i][j] for dim 0. See torch.Tensor.scatter_add_."""
    dim = _check_index("scatter_add", self, dim, index, source=src._a)
    return Scatter.apply_(self, src, dim, index, "add")


@both
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """scatter_ on a copy. See torch.scatter."""
    return input.clone().scatter_(dim, index, src, value=value, reduce=reduce)


@both
def scatter_add(input, dim, index, src):
    """scatter_add_ on a copy. See torch.scatter_add."""
    return input.clone().scatter_add_(dim, index, src)
