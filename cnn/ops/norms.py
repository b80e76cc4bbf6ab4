"""Norms of vectors and matrices: cnn.norm, and those of cnn.linalg."""

import numpy as np

from cnn.autograd.function import Operation
from cnn.errors import ShapeError, kind_name
from cnn.tensor import Tensor

from ._register import both
from .conversion import to_type
from .promotion import title
from .reduction import _axes, _spread, amax, amin, sum
from .shape import wrap_dim

_INFINITY = float("inf")


class VectorNorm(Operation):
    """sum(|x|^p)^(1/p) over axes; the number of non-zeros for p = 0, the extremes of |x| for infinite p."""

    @staticmethod
    def forward(ctx, x, p, axes, keepdim):
        wide = x.astype(np.float32) if x.dtype == np.float16 else x
        if p == 2:
            y = np.sqrt(np.square(wide).sum(axis=axes, keepdims=True))
        elif p == 0:
            y = (wide != 0).sum(axis=axes, keepdims=True)
        elif p == 1:
            y = np.abs(wide).sum(axis=axes, keepdims=True)
        elif p == _INFINITY:
            y = np.abs(wide).max(axis=axes, keepdims=True, initial=0)
        elif p == -_INFINITY:
            y = np.abs(wide).min(axis=axes, keepdims=True)
        else:
            y = (np.abs(wide) ** p).sum(axis=axes, keepdims=True) ** (1 / p)
        y = y.astype(x.dtype, copy=False)
        ctx.saved, ctx.p, ctx.axes, ctx.keepdim = (x, y), p, axes, keepdim
        return y if keepdim else y.squeeze(axes) if axes is not None else y.reshape(())

    @staticmethod
    def backward(ctx, dy):
        # d|x|_p / dx = sign(x) |x|^(p-1) / |x|_p^(p-1), and 0 where the norm is 0
        x, y = ctx.saved
        p = ctx.p
        dy = _spread(dy, x.shape, ctx.axes, ctx.keepdim)
        if p == 0:
            dx = np.zeros_like(x)
        elif p == 1:
            dx = np.sign(x) * dy
        elif p == 2:
            dx = np.where(y == 0, 0, dy * (x / y))
        elif abs(p) == _INFINITY:
            hit = (np.abs(x) == y) | np.isnan(x)
            dx = np.where(hit, np.sign(x) * dy / hit.sum(axis=ctx.axes, keepdims=True), 0)
        elif p < 1:
            power = np.where(x == 0, 0, np.sign(x) * np.abs(x) ** (p - 1))
            dx = power * dy * y ** (1 - p)
        else:
            dx = np.where(y == 0, 0, np.sign(x) * np.abs(x) ** (p - 1) * (dy / y ** (p - 1)))
        return dx.astype(x.dtype, copy=False), None, None, None

    def name(self):
        return "LinalgVectorNormBackward0"


def _checked(name, x, dtype):
    """x as floating point, in the type of the result."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {kind_name(x)}")
    if x._a.dtype.kind != "f":
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {title(x._a.dtype)}")
    if dtype is None:
        return x
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {title(dtype.numpy)}")
    if dtype.itemsize < x._a.dtype.itemsize:
        raise RuntimeError(
            f"{name}: the dtype of the input ({title(x._a.dtype)}) should be convertible without narrowing to the "
            f"specified dtype ({title(dtype.numpy)})"
        )
    return to_type(x, dtype)


def _of_vector(name, x, p, dim, keepdim):
    if isinstance(p, bool) or not isinstance(p, (int, float)):
        raise TypeError(f"{name}(): argument 'ord' must be a number, not {p!r:.40}")
    axes = _axes(x, dim)
    shape = x._a.shape
    if (p < 0 or p == _INFINITY) and 0 in ([shape[a] for a in axes] if axes is not None else shape):
        raise RuntimeError(
            f"{name} cannot compute the {p} norm on an empty tensor because the operation does not have an identity"
        )
    return VectorNorm.apply(x, float(p), axes, bool(keepdim))


def vector_norm(input, ord=2, dim=None, keepdim=False, *, dtype=None):
    """The norm of all elements, or of the vectors that lie along dim. See torch.linalg.vector_norm."""
    x = _checked("linalg.vector_norm", input, dtype)
    return _of_vector("linalg.vector_norm", x, ord, dim, keepdim)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """The norm of the matrices that lie along dim: 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2.
    See torch.linalg.matrix_norm."""
    name = "linalg.matrix_norm"
    A = _checked(name, A, dtype)
    n = A._a.ndim
    if n < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions, got {list(A._a.shape)}.")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    rows, columns = (wrap_dim(d, n) for d in dim)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord not in ("fro", "nuc", 1, -1, 2, -2, _INFINITY, -_INFINITY) or isinstance(ord, bool):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    if not A._a.size and ord not in ("fro", "nuc") and ord > 0:
        return A.abs().sum((rows, columns), keepdim)  # no extreme of nothing: torch says 0
    if ord == "fro":
        return _of_vector(name, A, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        if A._a.dtype.itemsize < 4:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {title(A._a.dtype)}")
        from .decompositions import Svdvals

        others = [d for d in range(n) if d not in (rows, columns)]
        values = Svdvals.apply(A.permute(*others, rows, columns))
        y = sum(values, -1) if ord == "nuc" else (amax if ord == 2 else amin)(values, -1)
        if keepdim:
            for d in sorted((rows, columns)):
                y = y.unsqueeze(d)
        return y
    if abs(ord) == _INFINITY:
        rows, columns = columns, rows
    sums = _of_vector(name, A, 1, rows, True)
    y = (amax if ord > 0 else amin)(sums, columns, True)
    if not keepdim:
        y = y.squeeze((rows, columns))
    return y


def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """The norm of a vector, or of a matrix where two dimensions are meant. See torch.linalg.norm."""
    name = "linalg.norm"
    if isinstance(dim, int):
        dim = (dim,)
    if dim is not None and len(dim) not in (1, 2):
        raise RuntimeError(f"{name}: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is None:
        return _of_vector(name, _checked(name, A, dtype), 2, dim, keepdim)
    if dim is None:
        if A._a.ndim not in (1, 2):
            raise RuntimeError(
                f"{name}: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._a.ndim}D."
            )
        dim = tuple(range(A._a.ndim))
    if isinstance(ord, str) or len(dim) == 2:
        return matrix_norm(A, ord, dim if len(dim) == 2 else (-2, -1), keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


linalg_norm.__name__ = "norm"


@both
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm over all elements or over dim, 2 where p is not given; p='nuc': the sum of the singular values.
    See torch.norm."""
    x = _checked("norm", input, dtype)
    if p == "nuc":
        dim = (0, 1) if dim is None else dim
        if not isinstance(dim, (tuple, list)) or len(dim) != 2 or x._a.ndim < 2:
            raise RuntimeError(f"norm(): p='nuc' is a norm of matrices: it takes two dimensions, got dim={dim}")
        return matrix_norm(x, "nuc", dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm(): only valid string values are 'fro' and 'nuc', found {p}")
    return _of_vector("norm", x, 2 if p in ("fro", None) else p, dim, keepdim)
