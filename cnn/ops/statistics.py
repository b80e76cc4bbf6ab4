"""Medians, quantiles, covariances."""

import numpy as np

from cnn.errors import ShapeError
from cnn.tensor import Tensor

from ._register import both, return_type
from .arithmetic import lerp
from .indexing import gather
from .pointwise import where
from .promotion import refuse_types
from .reduction import Extreme, kthvalue, sort
from .shape import wrap_dim

MedianResult = return_type("median", "values", "indices")


class Median(Extreme):
    """The lower median of all elements, NaN if there is one; elements of that value share the gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.axes, ctx.keepdim = None, False
        if not x.size:
            y = np.asarray(np.nan, x.dtype) if x.dtype.kind == "f" else np.asarray(np.iinfo(x.dtype).min, x.dtype)
        else:
            k = (x.size - 1) // 2
            y = np.partition(x.reshape(-1), [k, x.size - 1])
            y = np.asarray(y[-1] if np.isnan(y[-1]) else y[k])  # NaN is sorted behind all numbers
        ctx.saved = (x, y)
        return y

    @staticmethod
    def backward(ctx, dy):
        return Extreme.backward(ctx, dy)[:1]


@both
def median(input, dim=None, keepdim=False):
    """The lower median; with dim a (values, indices) tuple; NaN where there is one. See torch.median."""
    refuse_types("median_cpu", input._a.dtype)
    if dim is None:
        return Median.apply(input)
    dim = wrap_dim(dim, input._a.ndim)
    if not input._a.ndim:
        return MedianResult(input.clone(), Tensor._wrap(np.zeros((), np.int64)))
    size = input._a.shape[dim]
    if not size:
        raise IndexError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    values, indices = kthvalue(input, (size + 1) // 2, dim, True)
    if input._a.dtype.kind == "f":
        missing = np.isnan(input._a)
        if missing.any():
            first = np.expand_dims(missing.argmax(axis=dim), dim)
            indices = Tensor._wrap(np.where(missing.any(axis=dim, keepdims=True), first, indices._a))
            values = gather(input, dim, indices)
    return MedianResult(values, indices) if keepdim else MedianResult(values.squeeze(dim), indices.squeeze(dim))


_ROUNDED = {"lower": np.floor, "higher": np.ceil, "nearest": np.round}


def _fractions(input, q, interpolation):
    """q as a tensor, and the refusals of quantile."""
    if input._a.dtype not in (np.float32, np.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if not input._a.size:
        raise RuntimeError("quantile() input tensor must be non-empty")
    if isinstance(q, Tensor):
        if q._a.ndim > 1:
            raise RuntimeError("quantile() q must be a scalar or 1D tensor")
        if q._a.dtype != input._a.dtype:
            raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if interpolation not in (*_ROUNDED, "linear", "midpoint"):
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            f"{interpolation}"
        )
    q = q if isinstance(q, Tensor) else Tensor._wrap(np.asarray(q, input._a.dtype))
    if not ((q._a >= 0) & (q._a <= 1)).all():
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q.tolist()}")
    return q


@both
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The q-th quantiles; several q come first in the shape of the result; NaN where there is one.
    See torch.quantile."""
    q = _fractions(input, q, interpolation)
    ndim = input._a.ndim
    place = None if dim is None else wrap_dim(dim, ndim)
    rows = input.reshape(-1) if place is None or not ndim else input.movedim(place, -1)
    ranked = sort(rows, -1).values
    last = ranked._a.shape[-1] - 1
    ranks = (q.reshape(-1) * last).expand(*ranked._a.shape[:-1], q._a.size)
    missing = np.isnan(ranked._a[..., -1:])  # NaN is sorted behind all numbers
    if missing.any():
        ranks = where(Tensor._wrap(missing), last, ranks)
    if interpolation in _ROUNDED:
        ranks = Tensor._wrap(_ROUNDED[interpolation](ranks._a))
    below = Tensor._wrap(np.floor(ranks._a).astype(np.int64))
    result = gather(ranked, -1, below)
    if interpolation not in _ROUNDED:
        above = gather(ranked, -1, Tensor._wrap(np.ceil(ranks._a).astype(np.int64)))
        result = lerp(result, above, 0.5 if interpolation == "midpoint" else ranks - below)
    if keepdim and place is None:
        result = result.reshape(*(1,) * ndim, q._a.size)
    elif keepdim and ndim:
        result = result.unsqueeze(place)
    return result.movedim(-1, 0) if q._a.ndim else result.squeeze(-1)


def _weights(name, weights, kinds, wanted, observations):
    if weights is None:
        return
    if weights._a.ndim > 1:
        raise ShapeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
                         f"{weights._a.ndim} dimensions")  # fmt: skip
    if weights._a.dtype.kind not in kinds:
        raise RuntimeError(f"cov(): expected {name} to have {wanted} dtype but got {name} with {weights.dtype} dtype")
    if weights._a.size != observations:
        raise ShapeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights._a.size} != {observations}"
        )
    if (weights._a < 0).any():
        raise RuntimeError(f"cov(): {name} cannot be negative")


@both
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance matrix of variables in rows, observations in columns. fweights: how often each observation was
    made; aweights: how much it counts. See torch.cov."""
    if input._a.ndim > 2:
        raise ShapeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input._a.ndim} dimensions"
        )
    if input._a.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input._a.ndim < 2 else input
    observations = x._a.shape[1]
    _weights("fweights", fweights, "iu", "integral", observations)
    _weights("aweights", aweights, "f", "floating point", observations)
    if x._a.dtype.kind != "f":
        x = x.float()
    weights = fweights
    if aweights is not None:
        weights = aweights if fweights is None else fweights * aweights
    if weights is None:
        centred = x - x.mean(1, keepdim=True)
        weighted, count = centred, observations - correction
    else:
        weights = weights.reshape(1, -1)
        total = weights.sum()
        if total._a == 0:
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        centred = x - (x * weights).sum(1, keepdim=True) / total
        weighted, count = centred * weights, total - correction
        if aweights is not None and correction != 0:
            count = total - correction * (weights * aweights).sum() / total
    count = count.clamp(min=0) if isinstance(count, Tensor) else max(count, 0)
    return (centred @ weighted.mT / count).squeeze()


@both
def corrcoef(input):
    """Correlation coefficients of variables in rows, observations in columns. See torch.corrcoef."""
    if input._a.ndim > 2:
        raise ShapeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input._a.ndim} dimensions"
        )
    c = cov(input)
    if not c._a.ndim:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)
