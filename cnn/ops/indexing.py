"""Reading and writing parts of a tensor by functions; `x[index]` is in items.py."""

import numpy as np

from cnn.autograd.function import Operation, check_overlap
from cnn.errors import RangeError, ShapeError
from cnn.tensor import Tensor

from ._register import both, function, method
from .broadcasting import broadcast_shape, sum_to_shape
from .gather import Scatter, gather
from .items import Index, put
from .promotion import as_value, promote, refuse_types
from .shape import whole, wrap_dim


@both
def select(input, dim, index):
    """One slice along a dimension. See torch.select."""
    if not input._a.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input._a.ndim)
    size, index = input._a.shape[dim], whole("select", "index", index)
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input._a.shape)} at dimension {dim}"
        )
    return input[(slice(None),) * dim + (index,)]


@both
def narrow(input, dim, start, length):
    """A range along a dimension. See torch.narrow."""
    if not input._a.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input._a.ndim)
    size = input._a.shape[dim]
    if isinstance(start, Tensor) and (start._a.ndim or start._a.dtype.kind not in "iu"):
        raise RuntimeError("narrow(): start must be an 0-dim integral Tensor.")
    start, length = whole("narrow", "start", start), whole("narrow", "length", length)
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start += size if start < 0 else 0
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return input[(slice(None),) * dim + (slice(start, start + length),)]


@both
def index_select(input, dim, index):
    """The slices at `index` along a dimension. See torch.index_select."""
    dim = wrap_dim(dim, input._a.ndim)
    if index._a.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    arrays = _along("index_select", input, dim, index, negative=False)
    if not input._a.ndim:
        if index._a.size != 1:
            raise RuntimeError("index_select(): Index to scalar can have only 1 value")
        return input.clone()
    return Index.apply(input, arrays)


def _along(name, x, dim, index, negative=True):
    """index along a dimension of x, as a tuple for x[...], checked."""
    places, size = index._a, x._a.shape[dim] if x._a.ndim else 1
    if places.dtype not in ((np.int64,) if name == "index_fill_" else (np.int32, np.int64)):
        kinds = "int64" if name == "index_fill_" else "int32 or int64"
        raise RangeError(f"{name}(): Expected dtype {kinds} for index, got {index.dtype}")
    bad = places[(places < (-size if negative else 0)) | (places >= size)]
    if bad.size:
        raise RangeError(f"{name}(): index {bad.flat[0]} is out of bounds for dimension {dim} with size {size}")
    return (slice(None),) * dim + (np.atleast_1d(places),)


@method()
def index_add_(self, dim, index, source, *, alpha=1):
    """self[index[i]] += alpha * source[i] for dim 0. See torch.Tensor.index_add_."""
    dim = wrap_dim(dim, self._a.ndim)
    arrays = _along("index_add_", self, dim, index, negative=False)
    _check_source("index_add_", self, dim, index, source)
    if not self._a.ndim or not source._a.ndim:
        put(self, (None,) if not self._a.ndim else (...,), arrays, source * alpha if alpha != 1 else source, True)
        return self
    shape = [1] * self._a.ndim
    shape[dim] = -1
    full = np.broadcast_to(index._a.reshape(shape), source._a.shape)
    return Scatter.apply_(self, source * alpha if alpha != 1 else source, dim, full, "add")


@method()
def index_fill_(self, dim, index, value):
    """The slices at index become value. See torch.Tensor.index_fill_."""
    self._check_before_write()
    dim = wrap_dim(dim, self._a.ndim)
    if index._a.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    value = _one_value("index_fill_", self, value)
    value = value.to(self.dtype) if isinstance(value, Tensor) else np.asarray(value, self._a.dtype)
    return put(self, (...,) if self._a.ndim else (None,), _along("index_fill_", self, dim, index), value)


@method()
def index_copy_(self, dim, index, source):
    """The slices at index become those of source. See torch.Tensor.index_copy_."""
    dim = wrap_dim(dim, self._a.ndim)
    if source._a.dtype != self._a.dtype:
        raise RuntimeError(
            f"index_copy_(): self and source expected to have the same dtype, but got (self) {self.dtype} and (source) "
            f"{source.dtype}"
        )
    check_overlap(self._a)
    arrays = _along("index_copy_", self, dim, index, negative=False)
    _check_source("index_copy_", self, dim, index, source)
    return put(self, (...,) if self._a.ndim else (None,), arrays, source, tensors=(index,))


def _check_source(name, x, dim, index, source):
    """IndexError or RuntimeError, as torch has them, for a source that does not go with index and x."""
    if index._a.ndim > 1:
        raise RangeError(f"{name}(): Index should have dimension 1 or 0 (got {index._a.ndim})")
    if source._a.dtype != x._a.dtype:
        raise RuntimeError(f"{name}(): self ({x.dtype}) and source ({source.dtype}) must have the same scalar type")
    count, given = index._a.size, source._a.shape[dim] if source._a.ndim > dim else 1
    if count != given:
        raise RangeError(f"{name}(): Number of indices ({count}) should be equal to source.size(dim) ({given})")
    expected, got = list(x._a.shape), list(source._a.shape)
    if source._a.ndim and x._a.ndim and (expected[:dim] + expected[dim + 1 :] != got[:dim] + got[dim + 1 :]):
        raise RangeError(f"{name}(): Source of shape {got} does not go into {expected} along dimension {dim}")


@both
def take(input, index):
    """Elements by their position in the flattened input. See torch.take."""
    size = input._a.size
    if index._a.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    bad = index._a[(index._a < -size) | (index._a >= size)]
    if bad.size:
        raise IndexError(f"out of range: tried to access index {bad.flat[0]} on a tensor of {size} elements.")
    return Index.apply(input.reshape(-1), (index._a,))


@both
def take_along_dim(input, indices, dim=None):
    """The elements of input at indices along dim, whose other dimensions broadcast; of all elements without dim.
    See torch.take_along_dim."""
    if indices._a.dtype != np.int64 and (dim is not None or indices._a.dtype != np.int32):
        raise RuntimeError("take_along_dim(): dtype of indices should be Long but got " + str(indices.dtype))
    if dim is None:
        input, indices, dim = input.reshape(-1), indices.reshape(-1), 0
    n = input._a.ndim
    if n != indices._a.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{n} dimensions for input, and {indices._a.ndim} dimensions for indices"
        )
    dim = wrap_dim(dim, n)
    shapes = [t._a.shape[:dim] + (1,) * (n > 0) + t._a.shape[dim + 1 :] for t in (input, indices)]
    shape = broadcast_shape("take_along_dim", *shapes)
    full = [t.expand(*shape[:dim], *t._a.shape[dim : dim + 1], *shape[dim + 1 :]) for t in (input, indices)]
    size = input._a.shape[dim] if n else 1
    places = full[1]._a
    return gather(full[0], dim, Tensor._wrap(np.where(places < 0, places + size, places)))


class MaskedFill(Operation):
    may_overlap = True

    @staticmethod
    def forward(ctx, x, mask, value):
        ctx.saved, ctx.shape, ctx.kind = (mask,), x.shape, getattr(value, "dtype", None)
        return np.asarray(np.where(mask, np.asarray(value, x.dtype), x), order="C")

    @staticmethod
    def forward_(ctx, x, mask, value):
        ctx.saved, ctx.shape, ctx.kind = (mask,), x.shape, getattr(value, "dtype", None)
        np.copyto(x, np.asarray(value, x.dtype), where=mask)
        return x

    @staticmethod
    def backward(ctx, dy):
        (mask,) = ctx.saved
        kept = np.where(mask, dy.dtype.type(0), dy)
        dv = np.where(mask, dy, dy.dtype.type(0)).sum() if ctx.needs[2] else None
        return sum_to_shape(kept, ctx.shape), None, None if dv is None else np.asarray(dv, ctx.kind)


def _one_value(name, x, value):
    """A number, or a 0-d tensor, that takes places in x."""
    if not isinstance(value, Tensor):
        return as_value(value, x._a.dtype)
    if value._a.ndim:
        raise RuntimeError(
            f"{name} only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s)."
        )
    return value


def _mask(x, mask, in_place=False):
    shape = broadcast_shape("masked_fill", x._a.shape, mask._a.shape)
    if in_place and shape != x._a.shape:
        raise ShapeError(f"output with shape {list(x._a.shape)} doesn't match the broadcast shape {list(shape)}")
    if mask._a.dtype.kind != "b":
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype " + mask.dtype.name)
    return mask


@both
def masked_fill(input, mask, value):
    """value where mask is true. See torch.Tensor.masked_fill."""
    return MaskedFill.apply(input, _mask(input, mask), _one_value("masked_fill_", input, value))


@method()
def masked_fill_(self, mask, value):
    """masked_fill in place."""
    return MaskedFill.apply_(self, _mask(self, mask, True), _one_value("masked_fill_", self, value))


@both
def masked_select(input, mask):
    """The elements where mask is true, in one dimension. See torch.masked_select."""
    if mask._a.dtype != np.bool_:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, got {mask.dtype}")
    shape = broadcast_shape("masked_select", input._a.shape, mask._a.shape)
    return input.expand(shape)[mask.expand(shape)]


@method()
def masked_scatter_(self, mask, source):
    """The elements where mask is true become those of source, in order. See torch.Tensor.masked_scatter_."""
    if mask._a.dtype != np.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype " + mask.dtype.name)
    if source._a.dtype != self._a.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes")
    check_overlap(self._a)
    full = mask.expand(self.shape)
    count = int(np.count_nonzero(full._a))
    if count > source._a.size:
        raise RuntimeError("masked_scatter: expected self.numel() >= mask.sum()")
    self[full] = source.reshape(-1)[:count]
    return self


@method()
def masked_scatter(self, mask, source):
    """masked_scatter_ on a copy, which is expanded where the mask is larger. See torch.Tensor.masked_scatter."""
    shape = broadcast_shape("masked_scatter", self._a.shape, mask._a.shape)
    return self.expand(shape).clone().masked_scatter_(mask, source)


@both
def nonzero(input, *, as_tuple=False):
    """Where the elements are not zero: a row of indices each, or a tuple of index tensors. See torch.nonzero."""
    found = np.nonzero(np.atleast_1d(input._a))
    if as_tuple:
        return tuple(map(Tensor._wrap, found))
    rows = np.stack(found, 1) if input._a.ndim else np.zeros((len(found[0]), 0), np.int64)
    return Tensor._wrap(np.ascontiguousarray(rows, np.int64))


@both
def argwhere(input):
    """A row of indices for every element that is not zero. See torch.argwhere."""
    return nonzero(input)


class Diagonal(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, offset, dim1, dim2):
        ctx.shape, ctx.where = x.shape, (offset, dim1, dim2)
        y = np.diagonal(x, offset, dim1, dim2)
        y.flags.writeable = x.flags.writeable
        return y

    @staticmethod
    def backward(ctx, dy):
        offset, dim1, dim2 = ctx.where
        dx = np.zeros(ctx.shape, dy.dtype)
        view = np.moveaxis(dx, (dim1, dim2), (-2, -1))
        rows = np.arange(dy.shape[-1]) + max(-offset, 0)
        columns = np.arange(dy.shape[-1]) + max(offset, 0)
        view[..., rows, columns] = dy
        return dx, None, None, None


@both
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two dimensions: a view. See torch.diagonal."""
    n = input._a.ndim
    first, second = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return Diagonal.apply(input, offset, first, second)


@both
def diag(input, diagonal=0):
    """A vector as a diagonal matrix, or a matrix's diagonal. See torch.diag."""
    if input._a.ndim == 2:
        return Diagonal.apply(input, diagonal, 0, 1).clone()
    if input._a.ndim != 1:
        raise ShapeError(f"diag: expected a 1-D or 2-D tensor, got {input._a.ndim}-D of shape {list(input._a.shape)}")
    size = input._a.shape[0] + abs(diagonal)
    out = Tensor._wrap(np.zeros((size, size), input._a.dtype))
    out._dtype = input._dtype
    rows = np.arange(input._a.shape[0]) + max(-diagonal, 0)
    out[rows, rows + diagonal] = input
    return out


@both
def trace(input):
    """The sum of the diagonal. See torch.trace."""
    if input._a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._a.ndim}")
    refuse_types("trace", input._a.dtype)
    return diagonal(input).sum()


class Triangle(Operation):
    @staticmethod
    def forward(ctx, x, k, keep):
        ctx.k, ctx.keep = k, keep
        return keep(x, k)

    @staticmethod
    def backward(ctx, dy):
        return ctx.keep(dy, ctx.k), None, None


def _triangle(name, input, diagonal, cut):
    if input._a.ndim < 2:
        raise ShapeError(f"{name}: input tensor must have at least 2 dimensions, got shape {list(input._a.shape)}")
    return Triangle.apply(input, whole(name, "diagonal", diagonal), cut)


@both
def tril(input, diagonal=0):
    """The lower triangle. See torch.tril."""
    return _triangle("tril", input, diagonal, np.tril)


@both
def triu(input, diagonal=0):
    """The upper triangle. See torch.triu."""
    return _triangle("triu", input, diagonal, np.triu)


def _memory(x):
    """(the memory that x lies in, as one flat array; the place of x's first element there)"""
    root = x
    while isinstance(root.base, np.ndarray) and root.base.dtype == x.dtype:
        root = root.base
    flat = root if root.flags.c_contiguous else root.T if root.flags.f_contiguous else None
    if flat is None:
        x = flat = np.ascontiguousarray(x)
    start = x.__array_interface__["data"][0] - flat.__array_interface__["data"][0]
    return flat.reshape(-1), start // x.itemsize


class AsStrided(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, size, stride, offset):
        memory, start = _memory(x)
        place = start if offset is None else offset
        last = place + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if 0 not in size and last >= memory.size:
            raise RuntimeError(
                f"as_strided(): sizes {list(size)}, strides {list(stride)} and storage offset {place} need "
                f"{last + 1} elements, but the storage has {memory.size}"
            )
        ctx.shape, ctx.places, ctx.elements = x.shape, (x.strides, start), memory.size
        ctx.arguments = size, stride, place
        return _strided(memory, size, [s * x.itemsize for s in stride], place)

    @staticmethod
    def backward(ctx, dy):
        """Through the memory: what was read from one place is added there, and shared by all that lie there."""
        (strides, start), (size, stride, place) = ctx.places, ctx.arguments
        numbers = np.arange(ctx.elements)
        read = _strided(numbers, size, [s * numbers.itemsize for s in stride], place)
        memory = np.zeros(ctx.elements, dy.dtype)
        np.add.at(memory, read, dy)
        lying = _strided(numbers, ctx.shape, [s // dy.itemsize * numbers.itemsize for s in strides], start)
        here = np.bincount(lying.reshape(-1), minlength=ctx.elements)
        return memory[lying] / np.maximum(here[lying], 1).astype(dy.dtype), None, None, None


def _strided(memory, size, strides, place):
    if 0 in size:
        return np.zeros(size, memory.dtype)
    return np.ndarray(size, memory.dtype, memory, place * memory.itemsize, strides)


@both
def as_strided(input, size, stride, storage_offset=None):
    """The view of input's memory with these strides, from element storage_offset of the memory on; without it, from
    input's first element on. See torch.as_strided."""
    if len(size) != len(stride):
        raise RuntimeError(f"as_strided(): mismatch in length of strides and shape: {list(size)} and {list(stride)}")
    if any(n < 0 for n in (*size, *stride, storage_offset or 0)):
        raise RuntimeError(
            "as_strided(): Negative strides, sizes and offsets are not supported, got sizes "
            f"{list(size)}, strides {list(stride)} and storage_offset {storage_offset}"
        )
    x = input.contiguous() if input._lies_channels_last() else input
    return AsStrided.apply(x, tuple(map(int, size)), tuple(map(int, stride)), storage_offset)


@function
def bucketize(input, boundaries, *, out_int32=False, right=False):
    """In which interval of boundaries each element lies. See torch.bucketize."""
    if boundaries._a.ndim != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries._a.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@function
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None):
    """Where the elements of input would be inserted into the last dimension to keep its order. See
    torch.searchsorted."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    rows, values = sorted_sequence._a, input._a if isinstance(input, Tensor) else np.asarray(input)
    kind = promote(sorted_sequence, input)
    refuse_types("searchsorted_out_cpu", kind)
    rows, values = rows.astype(kind, copy=False), values.astype(kind, copy=False)
    if rows.ndim == 0 or rows.ndim > 1 and rows.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(rows.shape)} and input "
            f"value tensor {list(values.shape)}"
        )
    if sorter is not None:
        rows = _sorted_by(rows, sorter)
    side = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        found = np.searchsorted(rows, values, side)
    elif values.size == 0:
        found = np.zeros(values.shape)
    else:
        flat = zip(rows.reshape(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True)
        found = np.array([np.searchsorted(row, x, side) for row, x in flat], np.int64).reshape(values.shape)
    return Tensor._wrap(np.asarray(found, np.int32 if out_int32 else np.int64))


def _sorted_by(rows, sorter):
    if sorter._a.dtype != np.int64:
        raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {sorter.dtype}")
    if sorter._a.shape != rows.shape:
        raise ShapeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
            f"{list(rows.shape)} and got sorter tensor {list(sorter._a.shape)}"
        )
    if sorter._a.size and (sorter._a.min() < 0 or sorter._a.max() >= rows.shape[-1]):
        raise RuntimeError("torch.searchsorted(): sorter index out of range")
    return np.take_along_axis(rows, sorter._a, -1)
