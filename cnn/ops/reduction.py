"""Sums, means, extremes. `dim` may be one dimension or several."""

import builtins
import math

import numpy as np

from cnn import _cnn, types
from cnn.autograd.function import Operation
from cnn.tensor import Tensor

from ._register import both, function, return_type
from .arithmetic import maximum, minimum
from .conversion import to_type
from .promotion import refuse_types, title
from .shape import whole, wrap_dim


def _axes(x, dim):
    """dim as a tuple of axes; None for all."""
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return None
    n = x._a.ndim
    axes = tuple(wrap_dim(d, n) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return axes if n else None


def _spread(dy, shape, axes, keepdim):
    """A reduced array, broadcast back over the axes it lost."""
    if dy.size == 1 and math.prod(shape) <= 4096:
        y = _cnn.empty(shape, dy.dtype)  # broadcast_to takes microseconds
        y.fill(dy.item())
        return y
    if not keepdim and axes is not None:
        dy = np.expand_dims(dy, axes)
    return np.broadcast_to(dy, shape)


class Sum(Operation):
    @staticmethod
    def forward(ctx, x, axes, keepdim, kind):
        ctx.shape, ctx.axes, ctx.keepdim = x.shape, axes, keepdim
        return np.add.reduce(x, axes, kind, None, keepdim)

    @staticmethod
    def backward(ctx, dy):
        return _spread(dy, ctx.shape, ctx.axes, ctx.keepdim), None, None, None


class Mean(Operation):
    @staticmethod
    def forward(ctx, x, axes, keepdim):
        ctx.shape, ctx.axes, ctx.keepdim = x.shape, axes, keepdim
        total = np.add.reduce(x, axes, None, None, keepdim)
        ctx.count = x.size if axes is None else math.prod([x.shape[a] for a in axes])
        if ctx.count:
            return (total / x.dtype.type(ctx.count)).astype(x.dtype, copy=False)
        return np.full_like(total, np.nan)

    @staticmethod
    def backward(ctx, dy):
        return _spread(dy / dy.dtype.type(ctx.count), ctx.shape, ctx.axes, ctx.keepdim), None, None


class Prod(Operation):
    @staticmethod
    def forward(ctx, x, axis, keepdim, kind):
        ctx.saved, ctx.axis, ctx.keepdim = (x,), axis, keepdim
        return x.prod(axis=axis, keepdims=keepdim, dtype=kind)

    @staticmethod
    def backward(ctx, dy):
        # The product of all the others, from the left and from the right, so that zeros are no problem.
        (x,) = ctx.saved
        if not x.size or not x.ndim:
            return np.asarray(dy) if x.size else np.zeros(x.shape, dy.dtype), None, None
        flat = x.reshape(1, -1) if ctx.axis is None else np.moveaxis(x, ctx.axis, -1)
        ones = np.ones((*flat.shape[:-1], 1), x.dtype)
        left = np.cumprod(np.concatenate([ones, flat[..., :-1]], -1), -1)
        right = np.cumprod(np.concatenate([ones, flat[..., :0:-1]], -1), -1)[..., ::-1]
        others = left * right
        others = others.reshape(x.shape) if ctx.axis is None else np.moveaxis(others, -1, ctx.axis)
        axes = None if ctx.axis is None else (ctx.axis,)
        return _spread(dy, x.shape, axes, ctx.keepdim) * others, None, None, None


class Var(Operation):
    """sum((x - mean)^2) / max(count - correction, 0); std takes the root."""

    @staticmethod
    def forward(ctx, x, axes, correction, keepdim, root):
        count = x.size if axes is None else int(np.prod([x.shape[a] for a in axes]))
        centred = x - x.mean(axis=axes, keepdims=True) if count else x  # NumPy warns of a mean of nothing
        y = np.square(centred).sum(axis=axes, keepdims=keepdim) / x.dtype.type(builtins.max(count - correction, 0))
        y = np.asarray(np.sqrt(y) if root else y, x.dtype)
        ctx.saved = (x, y if root else None)
        ctx.axes, ctx.keepdim, ctx.root, ctx.count = axes, keepdim, root, count
        ctx.divisor = builtins.max(count - correction, 0)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, y = ctx.saved
        if ctx.root:
            dy = np.where(y == 0, 0, dy / (2 * y)).astype(dy.dtype)
        dy = _spread(dy, x.shape, ctx.axes, ctx.keepdim)
        centred = x - x.mean(axis=ctx.axes, keepdims=True) if ctx.count else x
        return dy * centred * (x.dtype.type(2) / x.dtype.type(ctx.divisor)), None, None, None, None


class Extreme(Operation):
    """max and min over all elements, amax and amin over dims: ties share the gradient."""

    @staticmethod
    def forward(ctx, x, axes, keepdim, largest):
        y = np.asarray((np.max if largest else np.min)(x, axis=axes, keepdims=keepdim))
        ctx.saved, ctx.axes, ctx.keepdim = (x, y), axes, keepdim
        return y

    @staticmethod
    def backward(ctx, dy):
        x, y = ctx.saved
        hit = x == _spread(y, x.shape, ctx.axes, ctx.keepdim)
        hit |= np.isnan(x) & np.isnan(_spread(y, x.shape, ctx.axes, ctx.keepdim))
        share = _spread(dy, x.shape, ctx.axes, ctx.keepdim) / hit.sum(axis=ctx.axes, keepdims=True)
        return np.where(hit, share, 0).astype(x.dtype), None, None, None


class PickAlong(Operation):
    """The values at given places along a dimension; the gradient goes to just these places. Without keepdim the
    dimension is left out."""

    @staticmethod
    def forward(ctx, x, index, dim, keepdim):
        ctx.shape, ctx.saved, ctx.dim = x.shape, (index,), dim
        y = np.take_along_axis(x, index if keepdim else np.expand_dims(index, dim), dim)
        return y if keepdim else y.squeeze(dim)

    @staticmethod
    def backward(ctx, dy):
        (index,) = ctx.saved
        dx = np.zeros(ctx.shape, dy.dtype)
        if dy.ndim < dx.ndim:
            index, dy = np.expand_dims(index, ctx.dim), np.expand_dims(dy, ctx.dim)
        np.put_along_axis(dx, index, dy, ctx.dim)
        return dx, None, None, None

    def name(self):
        return "IndexBackward0"


class CumSum(Operation):
    @staticmethod
    def forward(ctx, x, dim, kind):
        ctx.dim = dim
        y = np.cumsum(x, dim, dtype=kind)
        return y.reshape(x.shape)  # NumPy makes a 0-d array one of one element

    @staticmethod
    def backward(ctx, dy):
        if not dy.ndim:
            return dy, None, None
        return np.flip(np.cumsum(np.flip(dy, ctx.dim), ctx.dim), ctx.dim), None, None


class LogSumExp(Operation):
    @staticmethod
    def forward(ctx, x, axes, keepdim):
        top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        y = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
        ctx.saved, ctx.axes, ctx.keepdim = (x, y), axes, keepdim
        return y if keepdim else y.squeeze(axes) if axes is not None else y.reshape(())

    @staticmethod
    def backward(ctx, dy):
        x, y = ctx.saved
        return np.exp(x - y) * _spread(dy, x.shape, ctx.axes, ctx.keepdim), None, None


def _typed(input, dtype, float_result=None):
    if dtype is not None:
        return to_type(input, dtype)
    if float_result is not None and input._a.dtype.kind != "f":
        raise RuntimeError(
            f"{float_result}(): could not infer output dtype. Input dtype must be either a floating point or complex "
            f"dtype. Got: {title(input._a.dtype)}"
        )
    return input


_INT64 = np.dtype(np.int64)


def _summed(input, dtype):
    """(input, the type to add up in): that of dtype, or int64 for integers."""
    if dtype is not None:
        return to_type(input, dtype), dtype.numpy
    kind = input._a.dtype
    return input, kind if kind.kind == "f" else _INT64


@both
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over all elements or over dim; integers give int64. See torch.sum."""
    x, kind = _summed(input, dtype)
    return Sum.apply(x, _axes(input, dim), keepdim, kind)


def _check_mean(name, dtype):
    if dtype is not None and not dtype.is_floating_point:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. "
            f"Got: {title(dtype.numpy)}"
        )


@both
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over all elements or over dim. See torch.mean."""
    _check_mean("mean", dtype)
    return Mean.apply(_typed(input, dtype, "mean"), _axes(input, dim), keepdim)


@both
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product over all elements or over one dimension. See torch.prod."""
    x, kind = _summed(input, dtype)
    dim = None if dim is None else wrap_dim(dim, input._a.ndim)
    return Prod.apply(x, dim if x._a.ndim else None, keepdim, kind)


@both
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum, NaN counting as zero. See torch.nansum."""
    return sum(input.masked_fill(input.isnan(), 0), dim, keepdim, dtype=dtype)


def _correction(dim, unbiased, correction):
    """torch allows var(False) for var(unbiased=False)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


@both
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The variance, by default with Bessel's correction. See torch.var."""
    dim, correction = _correction(dim, unbiased, correction)
    return Var.apply(_typed(input, None, "var"), _axes(input, dim), correction, keepdim, False)


@both
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The standard deviation, by default with Bessel's correction. See torch.std."""
    dim, correction = _correction(dim, unbiased, correction)
    return Var.apply(_typed(input, None, "std"), _axes(input, dim), correction, keepdim, True)


@function
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean). See torch.var_mean."""
    dim, correction = _correction(dim, unbiased, correction)
    return var(input, dim, keepdim=keepdim, correction=correction), mean(input, dim, keepdim)


@function
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean). See torch.std_mean."""
    dim, correction = _correction(dim, unbiased, correction)
    return std(input, dim, keepdim=keepdim, correction=correction), mean(input, dim, keepdim)


def _pair(name):
    return return_type(name, "values", "indices")


MaxResult, MinResult = _pair("max"), _pair("min")
SortResult, TopkResult = _pair("sort"), _pair("topk")
KthvalueResult = _pair("kthvalue")


def _index_of_extreme(array, dim, largest):
    if array.shape[dim] == 0:
        raise IndexError(f"max(): Expected reduction dim {dim} to have non-zero size.")
    return np.expand_dims((np.argmax if largest else np.argmin)(array, axis=dim), dim)


def _pick(result, input, index, dim, keepdim):
    indices = Tensor._wrap(index if keepdim else index.squeeze(dim))
    return result(PickAlong.apply(input, indices, dim, keepdim), indices)


def _extreme(input, dim, keepdim, largest, result, pairwise):
    if isinstance(dim, Tensor):
        return pairwise(input, dim)
    if dim is None:
        if input._a.size == 0:
            raise RuntimeError(
                f"{result.__name__}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                "reduction dim with the 'dim' argument."
            )
        return Extreme.apply(input, None, False, largest)
    if input._a.ndim == 0:
        wrap_dim(dim, 0)
        return result(input.clone(), Tensor._wrap(np.zeros((), np.int64)))
    dim = wrap_dim(dim, input._a.ndim)
    return _pick(result, input, _index_of_extreme(input._a, dim, largest), dim, keepdim)


@both
def max(input, dim=None, keepdim=False, *, other=None):
    """The largest element; with dim a (values, indices) tuple, the first index on a tie; with a tensor the
    element-wise maximum. See torch.max."""
    dim = other if other is not None else dim
    return _extreme(input, dim, keepdim, True, MaxResult, maximum)


@both
def min(input, dim=None, keepdim=False, *, other=None):
    """The smallest element; with dim a (values, indices) tuple. See torch.min."""
    dim = other if other is not None else dim
    return _extreme(input, dim, keepdim, False, MinResult, minimum)


def _not_of_nothing(name, input, axes):
    """axes, where there is something along them."""
    shape = input._a.shape
    for d in range(len(shape)) if axes is None else axes:
        if shape[d] == 0:
            if axes is None:
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                    "dim with the 'dim' argument."
                )
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
    return axes


@both
def amax(input, dim=(), keepdim=False):
    """The largest elements over dims; ties share the gradient. See torch.amax."""
    return Extreme.apply(input, _not_of_nothing("amax", input, _axes(input, dim)), keepdim, True)


@both
def amin(input, dim=(), keepdim=False):
    """The smallest elements over dims; ties share the gradient. See torch.amin."""
    return Extreme.apply(input, _not_of_nothing("amin", input, _axes(input, dim)), keepdim, False)


AminmaxResult = return_type("aminmax", "min", "max")


@both
def aminmax(input, *, dim=None, keepdim=False):
    """(min, max) over all elements, or along one dimension. See torch.aminmax."""
    dim = () if dim is None else whole("aminmax", "dim", dim)
    _not_of_nothing("aminmax", input, _axes(input, dim))
    return AminmaxResult(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _arg(name, input, dim, keepdim, find):
    if input._a.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None:
        if input._a.size == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        index = find(input._a)
        return Tensor._wrap(np.asarray(index, np.int64).reshape((1,) * input._a.ndim if keepdim else ()))
    if input._a.ndim == 0:
        wrap_dim(dim, 0)
        return Tensor._wrap(np.zeros((), np.int64))
    dim = wrap_dim(dim, input._a.ndim)
    if input._a.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    index = find(input._a, axis=dim)
    return Tensor._wrap(np.expand_dims(index, dim) if keepdim else index)


@both
def argmax(input, dim=None, keepdim=False):
    """Where the largest element is, the first on a tie. See torch.argmax."""
    return _arg("argmax", input, dim, keepdim, np.argmax)


@both
def argmin(input, dim=None, keepdim=False):
    """Where the smallest element is, the first on a tie. See torch.argmin."""
    return _arg("argmin", input, dim, keepdim, np.argmin)


def _sort_index(array, dim, descending):
    if not descending:
        return np.argsort(array, axis=dim, kind="stable")
    # stable and descending: sort the reversed order ascending, then turn both round
    reverse = np.argsort(np.flip(array, dim), axis=dim, kind="stable")
    return array.shape[dim] - 1 - np.flip(reverse, dim)


@both
def sort(input, dim=-1, descending=False, stable=False):
    """(values, indices) in order along dim. See torch.sort."""
    if input._a.ndim == 0:
        wrap_dim(dim, 0)
        return SortResult(input.clone(), Tensor._wrap(np.zeros((), np.int64)))
    dim = wrap_dim(dim, input._a.ndim)
    return _pick(SortResult, input, _sort_index(input._a, dim, descending), dim, True)


@both
def argsort(input, dim=-1, descending=False, stable=False):
    """The indices that put dim in order. See torch.argsort."""
    return sort(input.detach(), dim, descending).indices


@both
def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (smallest) elements along dim, in order. See torch.topk."""
    if input._a.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    dim = wrap_dim(dim, input._a.ndim)
    if not input._a.ndim and k in (0, 1):
        return TopkResult(input.clone(), Tensor._wrap(np.zeros((), np.int64)))
    size, k = input._a.shape[dim] if input._a.ndim else 1, whole("topk", "k", k)
    if not 0 <= k <= size:
        raise RuntimeError(f"selected index k out of range: k is {k}, dimension {dim} has size {size}")
    index = np.take(_sort_index(input._a, dim, largest), np.arange(k), axis=dim)
    return _pick(TopkResult, input, index, dim, True)


@both
def kthvalue(input, k, dim=-1, keepdim=False):
    """The k-th smallest element along dim. See torch.kthvalue."""
    refuse_types("kthvalue_cpu", input._a.dtype)
    dim = wrap_dim(dim, input._a.ndim)
    size, k = input._a.shape[dim] if input._a.ndim else 1, whole("kthvalue", "k", k)
    if size == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range: k is {k}, dimension {dim} has size {size}")
    if not input._a.ndim:
        return KthvalueResult(input.clone(), Tensor._wrap(np.zeros((), np.int64)))
    index = np.take(_sort_index(input._a, dim, False), [k - 1], axis=dim)
    return _pick(KthvalueResult, input, index, dim, keepdim)


@both
def cumsum(input, dim, *, dtype=None):
    """Running sums along dim. See torch.cumsum."""
    x, kind = _summed(input, dtype)
    refuse_types("cumsum_out_cpu", kind)
    return CumSum.apply(x, wrap_dim(dim, input._a.ndim), kind)


class CumProd(Operation):
    @staticmethod
    def forward(ctx, x, dim, kind):
        ctx.saved, ctx.dim = (x,), dim
        y = np.cumprod(x, dim, dtype=kind)
        return y.reshape(x.shape)  # NumPy makes a 0-d array one of one element

    @staticmethod
    def backward(ctx, dy):
        """dx[k] is the product before k times r[k] = dy[k] + x[k + 1] r[k + 1]: no division, so zeros do not matter."""
        (x,) = ctx.saved
        if not x.ndim or not x.size:
            return dy, None, None
        x, rest = np.moveaxis(x, ctx.dim, 0), np.moveaxis(dy, ctx.dim, 0).copy()
        for k in range(len(x) - 2, -1, -1):
            rest[k] += x[k + 1] * rest[k + 1]
        rest[1:] *= np.cumprod(x[:-1], 0)
        return np.moveaxis(rest, 0, ctx.dim), None, None


@both
def cumprod(input, dim, *, dtype=None):
    """Running products along dim. See torch.cumprod."""
    x, kind = _summed(input, dtype)
    refuse_types("cumprod_out_cpu", kind)
    return CumProd.apply(x, wrap_dim(dim, input._a.ndim), kind)


@both
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) without overflow. See torch.logsumexp."""
    x = input if input._a.dtype.kind == "f" else to_type(input, types.get_default_dtype())
    return LogSumExp.apply(x, _axes(x, dim), keepdim)


@both
def all(input, dim=None, keepdim=False):
    """True where every element is true. See torch.all."""
    return _truth(np.all, input, dim, keepdim)


@both
def any(input, dim=None, keepdim=False):
    """True where some element is true. See torch.any."""
    return _truth(np.any, input, dim, keepdim)


def _truth(f, input, dim, keepdim):
    """A bool, but a uint8 for one: torch had no bools once."""
    y = f(input._a, axis=_axes(input, dim), keepdims=keepdim)
    return Tensor._wrap(np.asarray(y, np.uint8 if input._a.dtype == np.uint8 else np.bool_))


@both
def count_nonzero(input, dim=None):
    """How many elements are not zero. See torch.count_nonzero."""
    return Tensor._wrap(np.asarray(np.count_nonzero(input._a, axis=_axes(input, dim)), np.int64))


@both
def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs. See torch.bincount."""
    x = input._a
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x.size and x.min() < 0):
        negative = f", got a {x.min()}" if x.dtype.kind in "iu" and x.size and x.min() < 0 else ""
        got = negative or f", got {input.dtype} of shape {list(x.shape)}"
        raise RuntimeError(f"bincount only supports 1-d non-negative integral inputs{got}")
    counts = np.bincount(x, None if weights is None else weights._a, minlength)
    single = weights is not None and weights._a.dtype == np.float32
    return Tensor._wrap(counts.astype(np.float32) if single else counts)


@function
def histc(input, bins=100, min=0, max=0):
    """A histogram with equal bins. See torch.histc."""
    if bins < 1:
        raise RuntimeError(f"histc: bins must be > 0, got {bins}")
    refuse_types("histogram_cpu", input._a.dtype, "biu")
    low, high = (input._a.min(), input._a.max()) if min == max == 0 else (min, max)
    return Tensor._wrap(np.histogram(input._a, bins, (low, high))[0].astype(input._a.dtype))


@both
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements, in order. See torch.unique."""
    shape = input._a.shape
    if dim is not None:
        if not shape:
            raise IndexError(f"unique(): Dimension specified as {dim} but tensor has no dimensions")
        dim = wrap_dim(dim, len(shape))
        if 0 in shape[:dim] + shape[dim + 1 :]:
            raise RuntimeError(
                "unique(): There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
            )
    result = np.unique(input._a, return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    return tuple(map(Tensor._wrap, result)) if isinstance(result, tuple) else Tensor._wrap(result)


@both
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean of what is not NaN. See torch.nanmean."""
    if input._a.dtype.kind != "f":
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got " + title(input._a.dtype)
        )
    _check_mean("nanmean", dtype)
    return nansum(input, dim, keepdim, dtype=dtype) / (~input.isnan()).sum(dim, keepdim)
