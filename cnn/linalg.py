"""Linear algebra of matrices and batches of them (the last two dimensions), under torch.linalg's names."""

import numpy as np

from cnn.errors import ShapeError
from cnn.errors import kind_name as _kind_name
from cnn.ops._register import public as _public
from cnn.ops._register import return_type as _return_type
from cnn.ops.decompositions import Cholesky, Det, Eigh, Inv, LinAlgError, Pinv, Qr, Slogdet, Solve, Svd, Svdvals
from cnn.ops.linear_algebra import matmul
from cnn.ops.norms import linalg_norm as norm
from cnn.ops.norms import matrix_norm, vector_norm
from cnn.ops.promotion import title as _title
from cnn.tensor import Tensor

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "det",
    "eig",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vector_norm",
]

SlogdetResult = _return_type("linalg_slogdet", "sign", "logabsdet")
EighResult = _return_type("linalg_eigh", "eigenvalues", "eigenvectors")
QrResult = _return_type("linalg_qr", "Q", "R")
SvdResult = _return_type("linalg_svd", "U", "S", "Vh")


def _matrix(name, A, square=False):
    """A, if it is a batch of floating-point matrices."""
    if not isinstance(A, Tensor):
        raise TypeError(f"linalg.{name}(): argument 'A' must be Tensor, not {_kind_name(A)}")
    a = A._a
    if a.ndim < 2:
        raise ShapeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions, got {list(a.shape)}.")
    if square and a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices"
        )
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got {_title(A._a.dtype)}"
        )
    if a.dtype.itemsize < 4:
        raise RuntimeError(f"linalg.{name}: Low precision dtypes not supported. Got {_title(A._a.dtype)}")
    return A


def inv(A):
    """The inverse of square matrices. See torch.linalg.inv."""
    return Inv.apply(_matrix("inv", A, square=True))


def det(A):
    """The determinant. Its gradient is the adjugate, for singular matrices as well. See torch.linalg.det."""
    return Det.apply(_matrix("det", A, square=True))


def slogdet(A):
    """(sign, logabsdet) of the determinant. See torch.linalg.slogdet."""
    return SlogdetResult(*Slogdet.apply(_matrix("slogdet", A, square=True)))


def cholesky(A, *, upper=False):
    """L with L L^T = A, or U = L^T with upper=True, of a symmetric positive-definite A. See torch.linalg.cholesky."""
    _matrix("cholesky", A, square=True)
    return Cholesky.apply(A.mT).mT if upper else Cholesky.apply(A)


def _triangle(UPLO):
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "L"


def eigh(A, UPLO="L"):
    """(eigenvalues, eigenvectors) of symmetric matrices, of which one triangle is read. See torch.linalg.eigh."""
    return EighResult(*Eigh.apply(_matrix("eigh", A, square=True), _triangle(UPLO)))


def eigvalsh(A, UPLO="L"):
    """The eigenvalues of symmetric matrices, in ascending order. See torch.linalg.eigvalsh."""
    return Eigh.apply(_matrix("eigvalsh", A, square=True), _triangle(UPLO))[0]


def eig(A):
    """Refused: the eigenvalues of a general matrix are complex. linalg.eigh serves symmetric ones."""
    raise NotImplementedError("linalg.eig: its results are complex, and cnn has no complex types; see linalg.eigh")


def qr(A, mode="reduced"):
    """(Q, R) with Q R = A; mode 'reduced', 'complete', or 'r' for R alone. See torch.linalg.qr."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"linalg.qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    return QrResult(*Qr.apply(_matrix("qr", A), mode))


def _driver(name, driver):
    if driver is not None:
        raise NotImplementedError(f"linalg.{name}: keyword argument `driver=` is only supported on CUDA inputs")


def svd(A, full_matrices=True, *, driver=None):
    """(U, S, Vh) with U diag(S) Vh = A. See torch.linalg.svd."""
    _driver("svd", driver)
    return SvdResult(*Svd.apply(_matrix("svd", A), bool(full_matrices)))


def svdvals(A, *, driver=None):
    """The singular values, in descending order. See torch.linalg.svdvals."""
    _driver("svdvals", driver)
    return Svdvals.apply(_matrix("svdvals", A))


def _tolerances(name, A, atol, rtol):
    """(atol, rtol) as arrays that broadcast over the singular values; rtol by default as torch's."""
    numbers = [t._a[..., None] if isinstance(t, Tensor) else t for t in (atol, rtol)]
    for t, which in zip(numbers, ("atol", "rtol"), strict=True):
        if t is not None and not isinstance(t, (int, float, np.ndarray)):
            raise TypeError(f"linalg.{name}(): argument '{which}' must be float or Tensor, not {type(t).__name__}")
    absolute, relative = numbers
    default = max(A._a.shape[-2:]) * float(np.finfo(A._a.dtype).eps)
    if relative is None:
        relative = default if absolute is None else np.where(np.asarray(absolute) > 0, 0.0, default)
    return np.asarray(0.0 if absolute is None else absolute, A._a.dtype), np.asarray(relative, A._a.dtype)


def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """The pseudo-inverse; singular values up to max(atol, rtol * largest) count as zero. See torch.linalg.pinv."""
    _matrix("pinv", A, square=hermitian)
    tolerances = _tolerances("pinv", A, atol, rcond if rtol is None else rtol)
    return Pinv.apply(A, *tolerances, bool(hermitian))


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """How many singular values are larger than max(atol, rtol * largest). See torch.linalg.matrix_rank."""
    _matrix("matrix_rank", A, square=hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    absolute, relative = _tolerances("matrix_rank", A, atol, rtol)
    values = (eigvalsh if hermitian else svdvals)(A.detach()).abs()._a
    if not values.shape[-1]:
        return Tensor._wrap(np.zeros(values.shape[:-1], np.int64))
    limit = np.maximum(absolute, relative * values.max(axis=-1, keepdims=True))
    return Tensor._wrap(np.asarray((values > limit).sum(axis=-1), np.int64))


def solve(A, B, *, left=True):
    """X with A X = B (X A = B with left=False), B a vector, a matrix or batches of them. See torch.linalg.solve."""
    _matrix("solve", A, square=True)
    if not isinstance(B, Tensor):
        raise TypeError(f"linalg.solve(): argument 'B' must be Tensor, not {_kind_name(B)}")
    if A._a.dtype != B._a.dtype:
        raise RuntimeError(
            f"linalg.solve: Expected A and B to have the same dtype, but found A of type {_title(A._a.dtype)} and "
            f"B of type {_title(B._a.dtype)} instead"
        )
    vector = B._a.ndim == 1 or (A._a.ndim - 1 == B._a.ndim and B._a.shape == A._a.shape[:-1])
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False")
    right = B.unsqueeze(-1) if vector else B
    if not left:
        A, right = A.mT, right.mT
    n, rows = A._a.shape[-1], right._a.shape[-2] if right._a.ndim > 1 else 0
    if right._a.ndim < 2 or rows != n:
        raise ShapeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({list(A._a.shape)} and {list(B._a.shape)})"
        )
    X = Solve.apply(A, right)
    return X.squeeze(-1) if vector else X if left else X.mT


def cond(A, p=None):
    """The condition number by the norm p: 2 where not given. See torch.linalg.cond."""
    _matrix("cond", A)
    if p in (None, 2, -2):
        s = svdvals(A)
        if not s._a.shape[-1]:
            return s.sum(-1)
        first, last = s.select(-1, 0), s.select(-1, -1)
        return last / first if p == -2 else first / last
    if p not in ("fro", "nuc", 1, -1, float("inf"), -float("inf")):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    _matrix("cond", A, square=True)
    if not A._a.size:
        return A.sum((-2, -1))
    try:
        return matrix_norm(A, p) * matrix_norm(inv(A), p)
    except LinAlgError:
        if A._a.ndim > 2:
            each = [cond(a, p) for a in A.reshape(-1, *A._a.shape[-2:])]
            from cnn.ops.joining import stack

            return stack(each).reshape(A._a.shape[:-2])
        return (A * 0).sum() + float("inf")


for _name in __all__:
    if _name != "LinAlgError":
        globals()[_name] = _public(_name, globals()[_name], "cnn.linalg")
