"""`x[index]` and `x[index] = value`. Basic indices give views that can be written through, index arrays copies.

An index is taken apart as torch does it: first all that is basic (integers, slices, None, Ellipsis), which gives a
view; then the arrays, on the dimensions that are left. So an integer beside an array does not broadcast with it, as it
does in NumPy: `x[0, :, [1, 2]]` is `x[0][:, [1, 2]]`.
"""

import operator

import numpy as np

from cnn.autograd.function import Operation, check_overlap
from cnn.errors import DTypeError, ShapeError, kind_name
from cnn.layout import index_order
from cnn.tensor import Tensor, _plain

from ._register import function, method
from .broadcasting import sum_to_shape
from .promotion import as_value

_ALL = slice(None)
_LONGEST_SEQUENCE = 32  # a shorter list with slices, tensors or lists in it stands for a tuple


class Select(Operation):
    """The basic part of an index: a view."""

    is_view = True

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        dx[ctx.index] = dy
        return dx, None


class Index(Operation):
    """An index of arrays, with slices where a dimension has none. The tensors that the arrays come from follow it, so
    that a change of them is noticed."""

    @staticmethod
    def forward(ctx, x, index, *_):
        ctx.shape, ctx.saved = x.shape, index
        y = x[index]
        return index_order(x, y, index) if y.ndim > 1 else y

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        np.add.at(dx, ctx.saved, dy)
        return dx, None


class IndexPut(Operation):
    """x[index] = value, or += where values accumulate: `basic`, then `arrays` on what it leaves, or None; then, as for
    Index, the tensors that those come from."""

    may_overlap = True

    @staticmethod
    def forward_(ctx, x, value, basic, arrays, accumulate, *_):
        region = x[basic]
        ctx.basic, ctx.accumulate = basic, accumulate
        ctx.shape, ctx.kind = np.shape(value), getattr(value, "dtype", None)
        ctx.saved = arrays or ()
        if arrays is None:
            check_overlap(region)
            _check_assigned(np.shape(value), region.shape)
            np.copyto(region, value, casting="unsafe")
        elif accumulate:
            np.add.at(region, arrays, value)
        else:
            region[arrays] = value
        return x

    @staticmethod
    def backward(ctx, dy):
        basic, arrays = ctx.basic, ctx.saved or None
        dv = None
        if ctx.needs[1]:
            part = dy[basic]
            dv = sum_to_shape(part if arrays is None else part[arrays], ctx.shape).astype(ctx.kind, copy=False)
        if ctx.accumulate:
            return dy, dv, None, None, None
        dx = dy.copy()
        if arrays is None:
            dx[basic] = 0
        else:
            dx[basic][arrays] = 0
        return dx, dv, None, None, None


def _check_assigned(shape, region):
    if len(shape) > len(region):
        raise ShapeError(
            f"expand(value, size={list(region)}): the number of sizes provided ({len(region)}) must be greater or "
            f"equal to the number of dimensions in the tensor ({len(shape)})"
        )
    for d in range(1, len(shape) + 1):
        if shape[-d] not in (1, region[-d]):
            raise ShapeError(
                f"The expanded size of the tensor ({region[-d]}) must match the existing size ({shape[-d]}) at "
                f"non-singleton dimension {len(region) - d}.  Target sizes: {list(region)}.  "
                f"Tensor sizes: {list(shape)}"
            )


def _is_sequence(p):
    return isinstance(p, (list, tuple, range, str))


def _stands_for_tuple(index):
    if not isinstance(index, (list, range)) or len(index) >= _LONGEST_SEQUENCE:
        return False
    return any(
        isinstance(p, (Tensor, np.ndarray, slice)) or p is None or p is Ellipsis or _is_sequence(p) for p in index
    )


def _array(p):
    """The index array that p is (a Tensor, an array, a sequence of numbers), or None."""
    if isinstance(p, Tensor):
        a = p._a
    elif isinstance(p, np.ndarray):
        a = p
    elif _is_sequence(p) and not isinstance(p, str):
        a = np.asarray(_plain(list(p)))
        if a.dtype.kind == "f" or not a.size:
            a = a.astype(np.int64)
    elif isinstance(p, (bool, np.bool_)):
        return np.asarray(bool(p))
    else:
        return None
    if a.dtype == np.uint8:
        return a.astype(np.bool_)
    if a.dtype not in (np.int64, np.int32, np.bool_) and (a.ndim or a.dtype.kind not in "iu"):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return a


def _integer(p):
    if isinstance(p, str) or not hasattr(p, "__index__"):
        kind = TypeError if isinstance(p, str) else IndexError
        raise kind(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
            f"(got {type(p).__name__})"
        )
    return p.__index__()


def _slice(p):
    try:
        start, stop, step = [None if n is None else operator.index(n) for n in (p.start, p.stop, p.step)]
    except TypeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None
    if step is not None and step <= 0:
        raise ValueError("slice step cannot be zero" if step == 0 else "step must be greater than zero")
    return slice(start, stop, step)


def split_index(index, shape):
    """(basic, arrays): x[index] is x[basic][arrays]. Both are for NumPy; arrays is None where the index has none."""
    if _stands_for_tuple(index):
        index = tuple(index)
    parts, used = [], 0  # each part is an integer, a slice, None, Ellipsis or an array
    for p in index if isinstance(index, tuple) else (index,):
        if isinstance(p, slice):
            p = _slice(p)
        elif type(p) is not int and p is not None and p is not Ellipsis:
            a = _array(p)
            p = _integer(p) if a is None else int(a) if not a.ndim and a.dtype.kind in "iu" else a
        if isinstance(p, np.ndarray) and p.dtype == np.bool_:
            used += p.ndim
        elif p is not None and p is not Ellipsis:
            used += 1
        parts.append(p)
    if not shape and used and isinstance(parts[0], int):
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")

    basic, arrays, dim, left = [], [], 0, len(shape) - used
    for p in parts:
        if p is None:
            basic.append(None)
            arrays.append(_ALL)
        elif p is Ellipsis:
            basic += [_ALL] * left
            arrays += [_ALL] * left
            dim, left = dim + left, 0
        elif isinstance(p, slice):
            basic.append(p)
            arrays.append(_ALL)
            dim += 1
        elif isinstance(p, int):
            if not -shape[dim] <= p < shape[dim]:
                raise IndexError(f"index {p} is out of bounds for dimension {dim} with size {shape[dim]}")
            basic.append(p)
            dim += 1
        elif p.dtype != np.bool_:
            basic.append(_ALL)
            arrays.append(p)
            dim += 1
        elif p.ndim == 0:  # a dimension of its own, of size 1 or 0
            basic.append(None)
            arrays.append(np.zeros(int(p), np.int64))
        else:
            if p.shape != shape[dim : dim + p.ndim]:
                raise IndexError(
                    f"The shape of the mask {list(p.shape)} at index {next(_differing(p.shape, shape[dim:]))} does not "
                    f"match the shape of the indexed tensor {list(shape)} at index {dim}"
                )
            basic += [_ALL] * p.ndim
            arrays += p.nonzero()
            dim += p.ndim
    basic = (*basic, ...)  # so that what is left of x[0] of a 1-d x is an array as well
    return basic, tuple(arrays) if any(isinstance(p, np.ndarray) for p in arrays) else None


def _to_0(arrays):
    return tuple(0 * p if isinstance(p, np.ndarray) else p for p in arrays)


def _differing(a, b):
    return (i for i, (m, n) in enumerate(zip(a, b, strict=False)) if m != n)


def _index_error(error, arrays):
    """torch's text for NumPy's error."""
    message = str(error)
    if "broadcast" in message:
        shapes = ", ".join(str(list(p.shape)) for p in arrays if isinstance(p, np.ndarray))
        return IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}")
    return IndexError(message.replace("for axis", "for dimension"))


@method()
def __getitem__(self, index):
    basic, arrays = split_index(index, self._a.shape)
    if arrays is None:
        return Select.apply(self, basic)
    base = self if all(p is ... or p == _ALL for p in basic) else Select.apply(self, basic)
    try:
        return Index.apply(base, arrays, *_tensors(index))
    except IndexError as error:
        if 0 in base._a.shape and "out of bounds" in str(error):  # torch does not look at indices of nothing
            try:
                return Index.apply(base, _to_0(arrays))
            except IndexError as second:
                error = second
        raise _index_error(error, arrays) from None


def _tensors(index):
    return [p for p in (index if isinstance(index, (tuple, list)) else (index,)) if isinstance(p, Tensor)]


def _number(target, value):
    """The value of an assignment that is no Tensor, as an array of the target's type: numbers, also in lists."""
    if value is None or isinstance(value, str):
        raise TypeError(f"can't assign a {type(value).__name__} to a {target.type()}")
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        value = as_value(value, target._a.dtype)
    return np.asarray(_plain(value), target._a.dtype)


@method()
def __setitem__(self, index, value):
    if index is False:
        return
    index = None if index is True else index
    basic, arrays = split_index(index, self._a.shape)
    if isinstance(value, np.ndarray):
        value = Tensor._wrap(value)
    if not isinstance(value, Tensor):
        put(self, basic, arrays, _number(self, value), tensors=_tensors(index))
        return
    ones = next((i for i, n in enumerate(value._a.shape) if n != 1), value._a.ndim)
    if ones:  # torch leaves leading dimensions of size 1 away
        value = value.reshape(value._a.shape[ones:])
    if value._a.ndim == 0 and arrays is not None and _is_one_mask(index):
        value = value.to(self.dtype)
    put(self, basic, arrays, value, tensors=_tensors(index))


def _is_one_mask(index):
    """Whether all arrays of an index are one mask: then a single value of any type is assigned."""
    parts = index if isinstance(index, tuple) or _stands_for_tuple(index) else (index,)
    arrays = [a for a in map(_array, parts) if a is not None and a.ndim]
    return len(arrays) == 1 and arrays[0].dtype == np.bool_


def put(target, basic, arrays, value, accumulate=False, tensors=()):
    """target[basic][arrays] = value, recorded; += with accumulate."""
    if arrays is not None:
        _check_put(target, basic, arrays, value)
    try:
        return IndexPut.apply_(target, value, basic, arrays, accumulate, *tensors)
    except IndexError as error:
        if 0 in target._a[basic].shape and "out of bounds" in str(error):  # torch does not look at indices of nothing
            return IndexPut.apply_(target, value, basic, _to_0(arrays), accumulate, *tensors)
        raise _index_error(error, arrays) from None


def _check_put(target, basic, arrays, value):
    places = [i for i, p in enumerate(arrays) if isinstance(p, np.ndarray)]
    try:
        common = np.broadcast_shapes(*[arrays[i].shape for i in places])
    except ValueError as error:
        raise _index_error(error, arrays) from None
    region = target._a[basic].shape
    first = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    left = [n for i, n in enumerate(region) if i not in places]
    shape = (*left[:first], *common, *left[first:])
    fits = value.ndim <= len(shape) and all(
        m in (1, n) for m, n in zip(reversed(value.shape), reversed(shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of "
            f"shape {list(shape)}"
        )
    if isinstance(value, Tensor) and value._a.dtype != target._a.dtype:
        raise DTypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{target.dtype} for the destination and {value.dtype} for the source."
        )


@method()
def index_put_(self, indices, values, accumulate=False):
    """self[indices] = values, or += with accumulate, where places that come twice count twice. indices is a tuple of
    tensors, at most one a dimension. See torch.Tensor.index_put_."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put_(): indices must be a tuple of Tensors, got {type(indices).__name__}")
    for i, p in enumerate(indices):
        if not isinstance(p, Tensor):
            raise TypeError(f"index_put_(): expected Tensor as element {i} of indices, got {kind_name(p)}")
    if not isinstance(values, Tensor):
        raise TypeError(f"index_put_(): values must be a Tensor, got {kind_name(values)}")
    arrays = [_array(p) for p in indices]
    split_index(tuple(np.atleast_1d(a) for a in arrays), self._a.shape)  # raises where they do not fit
    whole = [part for a in arrays for part in (a.nonzero() if a.dtype == np.bool_ and a.ndim else (a,))]
    return put(self, (...,), tuple(whole), values, accumulate, indices)


@function
def index_put(input, indices, values, accumulate=False):
    """index_put_ on a copy. See torch.index_put."""
    return input.clone().index_put_(indices, values, accumulate)


Tensor.index_put = index_put
