"""Shapes: views where the memory allows one, copies where it does not."""

import builtins
import math
import operator

import numpy as np

from cnn import _cnn, types
from cnn.autograd.function import Operation
from cnn.errors import DTypeError, ShapeError
from cnn.tensor import Tensor, dim_range_message

from ._register import alias, both, function, method


def wrap_dim(dim, ndim):
    """dim counted from the front; IndexError as torch words it, TypeError for what is no integer."""
    if builtins.type(dim) is not int:
        try:
            dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"dim must be an int, got {dim!r:.80}") from None
    limit = builtins.max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(dim_range_message(dim, ndim))
    return dim + limit if dim < 0 else dim


def shape_argument(args):
    """(2, 3), [2, 3] or Size([2, 3]) given as one argument or as several."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    return tuple([int(a) for a in args])


class View(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


class Reshape(View):
    is_view = False

    def name(self):
        return "ReshapeAliasBackward0"


class Permute(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dims):
        ctx.dims = dims
        return x.transpose(dims)

    @staticmethod
    def backward(ctx, dy):
        return dy.transpose(np.argsort(ctx.dims)), None


class Transpose(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim0, dim1):
        ctx.dims = dim0, dim1
        return x.swapaxes(dim0, dim1)

    @staticmethod
    def backward(ctx, dy):
        return dy.swapaxes(*ctx.dims), None, None


class T(Transpose):
    pass


class Unsqueeze(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim = dim
        return np.expand_dims(x, dim)

    @staticmethod
    def backward(ctx, dy):
        return dy.squeeze(ctx.dim), None


class Squeeze(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dims):
        ctx.shape = x.shape
        return x.squeeze(dims)

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


class Expand(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        y = np.broadcast_to(x, shape)
        return y

    @staticmethod
    def backward(ctx, dy):
        from .arithmetic import sum_to_shape

        return sum_to_shape(dy, ctx.shape), None


class Repeat(Operation):
    @staticmethod
    def forward(ctx, x, sizes):
        ctx.shape, ctx.sizes = x.shape, sizes
        return np.tile(x, sizes)

    @staticmethod
    def backward(ctx, dy):
        lead = len(ctx.sizes) - len(ctx.shape)
        shape = (1,) * lead + ctx.shape
        split = dy.reshape([n for pair in zip(ctx.sizes, shape, strict=True) for n in pair])
        return split.sum(axis=tuple(range(0, 2 * len(shape), 2))).reshape(ctx.shape), None


class Clone(Operation):
    @staticmethod
    def forward(ctx, x):
        return x.copy(order="K")

    @staticmethod
    def backward(ctx, dy):
        return dy


def in_row_order(x):
    """The array in row order: itself where it lies so already. What lies channels-last is turned by the kernels."""
    return _cnn.copy_order(x, False) if x.dtype.char in "fd" else np.ascontiguousarray(x)


class Contiguous(Operation):
    @staticmethod
    def forward(ctx, x):
        return in_row_order(x)

    @staticmethod
    def backward(ctx, dy):
        return dy

    def name(self):
        return "CloneBackward0"


class ToCopy(Operation):
    @staticmethod
    def forward(ctx, x, kind):
        ctx.kind = x.dtype
        with np.errstate(all="ignore"):
            return x.astype(kind)

    @staticmethod
    def backward(ctx, dy):
        return dy.astype(ctx.kind), None


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


class Flip(Operation):
    @staticmethod
    def forward(ctx, x, dims):
        ctx.dims = dims
        return np.flip(x, dims).copy()

    @staticmethod
    def backward(ctx, dy):
        return np.flip(dy, ctx.dims), None


class Roll(Operation):
    @staticmethod
    def forward(ctx, x, shifts, dims):
        ctx.shifts, ctx.dims = shifts, dims
        return np.roll(x, shifts, dims)

    @staticmethod
    def backward(ctx, dy):
        back = [-s for s in ctx.shifts] if isinstance(ctx.shifts, (tuple, list)) else -ctx.shifts
        return np.roll(dy, back, ctx.dims), None, None


class Unfold(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim, size, step):
        ctx.shape, ctx.arguments = x.shape, (dim, size, step)
        windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim, writeable=x.flags.writeable)
        index = [slice(None)] * windows.ndim
        index[dim] = slice(None, None, step)
        return windows[tuple(index)]

    @staticmethod
    def backward(ctx, dy):
        dim, size, step = ctx.arguments
        dx = np.zeros(ctx.shape, dy.dtype)
        count = dy.shape[dim]
        for k in range(size):
            index = [slice(None)] * dx.ndim
            index[dim] = slice(k, k + step * (count - 1) + 1, step)
            dx[tuple(index)] += dy[..., k]
        return dx, None, None, None


def _reshape_sizes(name, x, shape):
    """`shape` with its -1 worked out."""
    known, unknown = 1, None
    for i, n in enumerate(shape):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n}")
        else:
            known *= n
    size = x._a.size
    if unknown is not None and known and size % known == 0:
        return (*shape[:unknown], size // known, *shape[unknown + 1 :])
    if unknown is not None and known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of {size} elements into shape {list(shape)} because the unspecified dimension size "
            "-1 can be any value and is ambiguous"
        )
    if unknown is not None or known != size:
        raise ShapeError(
            f"shape '{list(shape)}' is invalid for input of size {size}: {name} keeps the number of elements, "
            f"and the input has shape {list(x._a.shape)}"
        )
    return shape


def _to_row_order(x):
    """An activation that its layer left channels-last becomes an ordinary array before it is viewed, so that the view
    and the tensor go on sharing memory."""
    x._a = in_row_order(x._a)


@method()
def view(self, *shape):
    """The same memory in another shape, or seen as another dtype. See torch.Tensor.view."""
    if len(shape) == 1 and isinstance(shape[0], types.dtype):
        new = Tensor._wrap(self._a.view(shape[0].numpy))
        new._box = self._version_box()
        return new
    shape = _reshape_sizes("view", self, shape_argument(shape))
    if not self._a.flags.c_contiguous:
        if self._lies_channels_last():
            _to_row_order(self)
        elif not np.shares_memory(self._a.reshape(shape), self._a) and self._a.size:
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            )
    return View.apply(self, shape)


@method()
def view_as(self, other):
    """view(other.size()). See torch.Tensor.view_as."""
    return self.view(other.shape)


def _reshape(x, shape):
    shape = _reshape_sizes("reshape", x, shape)
    if not x._a.flags.c_contiguous:
        if x._lies_channels_last():
            _to_row_order(x)
        elif x._a.size and not np.shares_memory(x._a.reshape(shape), x._a):
            return Reshape.apply(x, shape)
    return View.apply(x, shape)


@method()
def reshape(self, *shape):
    """Another shape: a view where possible, else a copy. See torch.Tensor.reshape."""
    return _reshape(self, shape_argument(shape))


def _reshape_function(input, shape):
    """Another shape: a view where possible, else a copy. See torch.reshape."""
    return _reshape(input, shape_argument((shape,) if isinstance(shape, (tuple, list)) else (shape,)))


alias("reshape", _reshape_function, tensor=False)


@method()
def reshape_as(self, other):
    """reshape(other.size()). See torch.Tensor.reshape_as."""
    return self.reshape(other.shape)


@both
def flatten(input, start_dim=0, end_dim=-1):
    """Join the dimensions from start_dim to end_dim into one. See torch.flatten."""
    shape = input._a.shape
    start, end = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return input.reshape(1)
    if start == end:
        return input
    joined = math.prod(shape[start : end + 1])
    return _reshape(input, (*shape[:start], joined, *shape[end + 1 :]))


alias("ravel", lambda input: input.reshape(-1))


@both
def unflatten(input, dim, sizes):
    """Split one dimension into several. See torch.unflatten."""
    dim = wrap_dim(dim, input._a.ndim)
    sizes = list(sizes)
    if -1 in sizes:
        i = sizes.index(-1)
        rest = int(np.prod(sizes[:i] + sizes[i + 1 :], dtype=np.int64))
        sizes[i] = input._a.shape[dim] // builtins.max(rest, 1)
    return input.reshape(*input._a.shape[:dim], *sizes, *input._a.shape[dim + 1 :])


@both
def squeeze(input, dim=None):
    """Drop dimensions of size 1. See torch.squeeze."""
    shape = input._a.shape
    if dim is None:
        dims = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        wanted = dim if isinstance(dim, (tuple, list)) else (dim,)
        dims = tuple(d for d in (wrap_dim(d, len(shape)) for d in wanted) if shape and shape[d] == 1)
    return Squeeze.apply(input, dims)


@both
def unsqueeze(input, dim):
    """Insert a dimension of size 1. See torch.unsqueeze."""
    return Unsqueeze.apply(input, wrap_dim(dim, input._a.ndim + 1))


@both
def transpose(input, dim0, dim1):
    """Swap two dimensions. See torch.transpose."""
    n = input._a.ndim
    if n == 0:
        wrap_dim(dim0, 0), wrap_dim(dim1, 0)
        return Permute.apply(input, ())
    return Transpose.apply(input, wrap_dim(dim0, n), wrap_dim(dim1, n))


for _name in ("swapaxes", "swapdims"):
    alias(_name, transpose)


@both
def t(input):
    """The transpose of a matrix. See torch.t."""
    if input._a.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._a.ndim}D")
    return T.apply(input, 0, 1) if input._a.ndim == 2 else Permute.apply(input, tuple(range(input._a.ndim)))


@method()
def permute(self, *dims):
    """The dimensions in another order. See torch.permute."""
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    n = self._a.ndim
    if len(dims) != n:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(dims)}"
        )
    dims = tuple(wrap_dim(d, n) for d in dims)
    if len(set(dims)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Permute.apply(self, dims)


alias("permute", lambda input, dims: input.permute(*dims), tensor=False)
Tensor.T = property(lambda self: Permute.apply(self, tuple(range(self._a.ndim))[::-1]))
Tensor.mT = property(lambda self: transpose(self, -2, -1))
Tensor.H = property(lambda self: transpose(self, 0, 1))


@both
def movedim(input, source, destination):
    """Move dimensions to other places. See torch.movedim."""
    n = input._a.ndim
    src = [wrap_dim(s, n) for s in (source if isinstance(source, (tuple, list)) else [source])]
    dst = [wrap_dim(d, n) for d in (destination if isinstance(destination, (tuple, list)) else [destination])]
    rest = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        rest.insert(d, s)
    return input.permute(*rest)


alias("moveaxis", movedim)


@method()
def expand(self, *sizes):
    """A view in which dimensions of size 1 repeat; -1 keeps a size. See torch.Tensor.expand."""
    sizes = shape_argument(sizes)
    shape = self._a.shape
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{{{list(shape)}}}, size={list(sizes)}): the number of sizes provided "
            f"({len(sizes)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    target = []
    for i, n in enumerate(sizes):
        have = shape[i - lead] if i >= lead else None
        if n == -1 and have is None:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
            )
        n = have if n == -1 else n
        if have not in (None, 1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton "
                f"dimension {i}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(shape)}"
            )
        target.append(n)
    return Expand.apply(self, tuple(target))


@method()
def expand_as(self, other):
    """expand(other.size()). See torch.Tensor.expand_as."""
    return self.expand(other.shape)


@both
def broadcast_to(input, shape):
    """expand(shape). See torch.broadcast_to."""
    return input.expand(shape)


@function
def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape. See torch.broadcast_tensors."""
    try:
        shape = np.broadcast_shapes(*[t._a.shape for t in tensors])
    except ValueError:
        shapes = " and ".join(str(list(t._a.shape)) for t in tensors)
        raise ShapeError(
            f"The sizes of the tensors must match, or be 1, in every dimension from the last on: got shapes {shapes}"
        ) from None
    return tuple(t.expand(shape) for t in tensors)


@method()
def repeat(self, *sizes):
    """The tensor repeated along its dimensions. See torch.Tensor.repeat."""
    sizes = shape_argument(sizes)
    if len(sizes) < self._a.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return Repeat.apply(self, sizes)


@both
def tile(input, *dims):
    """The tensor repeated; missing dimensions count as 1. See torch.tile."""
    dims = shape_argument(dims)
    return input.repeat((1,) * (input._a.ndim - len(dims)) + dims)


@both
def clone(input, *, memory_format=None):
    """A copy with the same history. See torch.clone."""
    return Clone.apply(input)


@method()
def contiguous(self, memory_format=None):
    """The tensor in row order: itself where it lies so already. See torch.Tensor.contiguous."""
    return self if self.is_contiguous() else Contiguous.apply(self)


def _check_list(name, tensors):
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {x.__class__.__name__}")
    return tensors


def _same_type(tensors):
    from .promotion import promote

    kind = tensors[0]._a.dtype
    if any(x._a.dtype is not kind for x in tensors):
        kind = promote(*tensors)
        return [x if x._a.dtype == kind else x.to(kind) for x in tensors]
    return tensors


@function
def cat(tensors, dim=0, *, out=None):
    """Join tensors along an existing dimension. See torch.cat."""
    tensors = _same_type(_check_list("cat", tensors))
    tensors = [x for x in tensors if x._a.shape != (0,)] or tensors[:1]  # torch passes over empty 1-d tensors
    first = tensors[0]._a.shape
    dim = wrap_dim(dim, len(first))
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
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
    return Cat.apply(dim, *tensors)


for _name in ("concat", "concatenate"):
    alias(_name, cat, tensor=False)


@function
def stack(tensors, dim=0, *, out=None):
    """Join tensors of one shape along a new dimension. See torch.stack."""
    tensors = _same_type(_check_list("stack", tensors))
    for i, x in enumerate(tensors):
        if x._a.shape != tensors[0]._a.shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0]._a.shape)} at entry 0 and "
                f"{list(x._a.shape)} at entry {i}"
            )
    return Stack.apply(wrap_dim(dim, tensors[0]._a.ndim + 1), *tensors)


def _at_least(n, x):
    return x if x._a.ndim >= n else x.reshape((1,) * (n - x._a.ndim) + x._a.shape)


@function
def hstack(tensors):
    """Join along the second dimension (the first for 1-d tensors). See torch.hstack."""
    tensors = [_at_least(1, x) for x in tensors]
    return cat(tensors, 0 if tensors[0]._a.ndim == 1 else 1)


@function
def vstack(tensors):
    """Join along the first dimension, 1-d tensors as rows. See torch.vstack."""
    return cat([_at_least(2, x) for x in tensors], 0)


@both
def split(tensor, split_size_or_sections, dim=0):
    """Views of pieces along one dimension. See torch.split."""
    dim = wrap_dim(dim, tensor._a.ndim)
    size = tensor._a.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = [int(n) for n in split_size_or_sections]
        if sum(sizes) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                f"{dim}), but got split_sizes={sizes}"
            )
    else:
        step = int(split_size_or_sections)
        if step <= 0 and size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        sizes = [builtins.min(step, size - i) for i in range(0, size, step)] or [0]
    result = Split.apply(tensor, sizes, dim)
    return result if isinstance(result, tuple) else (result,)


Tensor.split_with_sizes = lambda self, sizes, dim=0: split(self, list(sizes), dim)


@both
def chunk(input, chunks, dim=0):
    """At most `chunks` views of equal size along one dimension. See torch.chunk."""
    if chunks <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0, got: " + str(chunks))
    size = input._a.shape[wrap_dim(dim, input._a.ndim)]
    return split(input, builtins.max(-(-size // chunks), 1), dim)


@function
def tensor_split(input, indices_or_sections, dim=0):
    """Views of pieces, cut at indices or into so many parts. See torch.tensor_split."""
    dim = wrap_dim(dim, input._a.ndim)
    size = input._a.shape[dim]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        return split(input, [size // n + (i < size % n) for i in range(n)], dim)
    cuts = [0, *[builtins.min(i, size) for i in indices_or_sections], size]
    return split(input, [b - a for a, b in zip(cuts, cuts[1:], strict=False)], dim)


@both
def unbind(input, dim=0):
    """All slices along one dimension, as a tuple. See torch.unbind."""
    if input._a.ndim == 0:
        raise RuntimeError("Dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim(dim, input._a.ndim)
    if input._a.shape[dim] == 0:
        return ()
    result = Unbind.apply(input, dim)
    return result if isinstance(result, tuple) else (result,)


@both
def flip(input, *dims):
    """The order along some dimensions reversed (a copy). See torch.flip."""
    dims = shape_argument(dims)
    return Flip.apply(input, tuple(wrap_dim(d, input._a.ndim) for d in dims))


alias("fliplr", lambda input: flip(input, 1))
alias("flipud", lambda input: flip(input, 0))


@both
def roll(input, shifts, dims=None):
    """Elements moved round along dimensions. See torch.roll."""
    return Roll.apply(input, shifts, dims)


@both
def rot90(input, k=1, dims=(0, 1)):
    """Turned by k quarter turns in a plane; no gradient. See torch.rot90."""
    return Tensor._wrap(np.rot90(input._a, k, dims).copy())


@method()
def unfold(self, dimension, size, step):
    """All windows of `size` along a dimension, as a new last dimension. See torch.Tensor.unfold."""
    return Unfold.apply(self, wrap_dim(dimension, self._a.ndim), size, step)


@both
def repeat_interleave(input, repeats, dim=None):
    """Each element repeated. See torch.repeat_interleave."""
    x = input.reshape(-1) if dim is None else input
    dim = 0 if dim is None else wrap_dim(dim, x._a.ndim)
    counts = repeats._a if isinstance(repeats, Tensor) else repeats
    index = np.repeat(np.arange(x._a.shape[dim]), counts)
    return x.index_select(dim, Tensor._wrap(index))


@function
def atleast_1d(*tensors):
    """See torch.atleast_1d."""
    result = [_at_least(1, x) for x in tensors]
    return result[0] if len(result) == 1 else tuple(result)


@function
def meshgrid(*tensors, indexing="ij"):
    """Coordinates of a grid, one tensor per dimension. See torch.meshgrid."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    grids = np.meshgrid(*[x._a for x in tensors], indexing=indexing)
    return tuple(Tensor._wrap(np.ascontiguousarray(g)) for g in grids)


# ---- types and devices ---------------------------------------------------------------------------------------------

_CUDA_NAMES = ("cuda", "mps", "xpu")


def _to_type(x, kind):
    """`kind`: a NumPy type or one of ours."""
    name = kind if isinstance(kind, types.dtype) else None
    array_type = kind.numpy if name is not None else np.dtype(kind)
    if x._a.dtype == array_type and name in (None, x.dtype):
        return x
    y = ToCopy.apply(x, array_type) if x._a.dtype != array_type else Clone.apply(x)
    if name is types.bfloat16:
        y._dtype = name
    return y


@method()
def to(self, *args, dtype=None, device=None, copy=False, non_blocking=False, memory_format=None):
    """The tensor in another type; devices are accepted, and the work stays on the CPU. See torch.Tensor.to."""
    for a in args:
        if isinstance(a, types.dtype) or isinstance(a, np.dtype):
            dtype = a
        elif isinstance(a, (str, types.device)):
            device = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif isinstance(a, bool) or a is None or isinstance(a, (int, types.memory_format)):
            device = a if isinstance(a, int) and not isinstance(a, bool) else device
        else:
            raise TypeError(f"to() received an invalid argument: {a!r}")
    if device is not None:
        accept_device(device)
    result = self if dtype is None else _to_type(self, dtype)
    return result.clone() if copy and result is self else result


def accept_device(device):
    """Any device that torch knows is fine; one that is not the CPU gives one warning."""
    kind = types.device(device) if not isinstance(device, types.device) else device
    if kind.type in _CUDA_NAMES:
        from cnn.cuda import warn_once

        warn_once()


@method()
def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor itself: there is no GPU, and one warning says so."""
    accept_device("cuda")
    return self


@method()
def cpu(self, memory_format=None):
    """The tensor itself."""
    return self


@method()
def pin_memory(self, device=None):
    """The tensor itself."""
    return self


def _caster(kind):
    def cast(self, memory_format=None):
        return _to_type(self, kind)

    cast.__doc__ = f"The tensor as {kind!r}. See torch.Tensor.to."
    return cast


for _name, _kind in {
    "float": types.float32, "double": types.float64, "half": types.float16, "bfloat16": types.bfloat16,
    "long": types.int64, "int": types.int32, "short": types.int16, "char": types.int8, "byte": types.uint8,
    "bool": types.bool,
}.items():  # fmt: skip
    setattr(Tensor, _name, _caster(_kind))

_TYPE_NAMES = {
    "FloatTensor": types.float32, "DoubleTensor": types.float64, "HalfTensor": types.float16,
    "LongTensor": types.int64, "IntTensor": types.int32, "ShortTensor": types.int16, "CharTensor": types.int8,
    "ByteTensor": types.uint8, "BoolTensor": types.bool, "BFloat16Tensor": types.bfloat16,
}  # fmt: skip


@method()
def type(self, dtype=None, non_blocking=False):
    """Without argument the name of the type; with one, the tensor as that type. See torch.Tensor.type."""
    if dtype is None:
        return "torch." + next(name for name, kind in _TYPE_NAMES.items() if kind is self.dtype)
    if isinstance(dtype, str):
        name = dtype.split(".")[-1]
        if name not in _TYPE_NAMES:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _TYPE_NAMES[name]
    dtype = getattr(dtype, "of_type", dtype)
    if not isinstance(dtype, types.dtype):
        raise TypeError(f"type(): dtype must be a type, got {dtype!r}")
    return _to_type(self, dtype)


@method()
def type_as(self, other):
    """The tensor in the type of another. See torch.Tensor.type_as."""
    return _to_type(self, other.dtype)


@method()
def copy_(self, src, non_blocking=False):
    """Copy the values of src into this tensor. See torch.Tensor.copy_."""
    if not isinstance(src, Tensor):
        raise DTypeError(f"copy_(): argument 'other' must be Tensor, not {src.__class__.__name__}")
    return CopyInto.apply_(self, src)


class CopyInto(Operation):
    @staticmethod
    def forward_(ctx, x, source):
        ctx.shape, ctx.kind = source.shape, source.dtype
        if np.broadcast_shapes(x.shape, source.shape) != x.shape:
            raise ShapeError(
                f"The size of tensor a {list(x.shape)} must match the size of tensor b {list(source.shape)}"
            )
        with np.errstate(all="ignore"):
            np.copyto(x, source, casting="unsafe")
        return x

    @staticmethod
    def backward(ctx, dy):
        from .arithmetic import sum_to_shape

        return np.zeros_like(dy), sum_to_shape(dy, ctx.shape).astype(ctx.kind, copy=False)

    def name(self):
        return "CopyBackwards"
