"""Factorisations of matrices and what follows from them, by LAPACK through NumPy, with their gradients.

All work on batches: the last two dimensions are the matrix. The gradients are those of torch. Derivations: Giles, "An
extended collection of matrix derivative results for forward and reverse mode automatic differentiation" (2008); of QR,
Walter and Lehmann, arXiv:1001.1654; of the pseudo-inverse, Golub and Pereyra, "The differentiation of pseudo-inverses
and nonlinear least squares problems whose variables separate" (1973).
"""

import numpy as np

from cnn.autograd.function import Operation

from .broadcasting import sum_to_shape


class LinAlgError(RuntimeError):
    """A matrix without the property that was asked for: singular, not positive-definite, not finite."""


def _lapack(name, problem, f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"linalg.{name}: {problem}") from None


_SINGULAR = "the input matrix is singular"
_NOT_FINITE = "The algorithm failed to converge because the input matrix contained non-finite values."


def _t(a):
    return a.swapaxes(-1, -2)


def _diagonal(values):
    """Diagonal matrices of the last dimension of `values`."""
    return values[..., None] * np.eye(values.shape[-1], dtype=values.dtype)


def _symmetric(a):
    """a + a^T with the diagonal once."""
    both = a + _t(a)
    return both - _diagonal(np.diagonal(a, 0, -2, -1))


class Inv(Operation):
    @staticmethod
    def forward(ctx, a):
        y = _lapack("inv", f"The inversion could not be completed because {_SINGULAR}.", np.linalg.inv, a)
        ctx.saved = (y,)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        return -(_t(y) @ dy @ _t(y))

    def name(self):
        return "LinalgInvExBackward0"


class Solve(Operation):
    """X of A X = B, B a matrix or a batch of them."""

    @staticmethod
    def forward(ctx, a, b):
        x = _lapack("solve", f"The solver failed because {_SINGULAR}.", np.linalg.solve, a, b)
        ctx.saved, ctx.shapes = (a, x), (a.shape, b.shape)
        return x

    @staticmethod
    def backward(ctx, dy):
        a, x = ctx.saved
        db = _lapack("solve", f"The solver failed because {_SINGULAR}.", np.linalg.solve, _t(a), dy)
        da = sum_to_shape(-(db @ _t(x)), ctx.shapes[0]) if ctx.needs[0] else None
        return da, sum_to_shape(db, ctx.shapes[1]) if ctx.needs[1] else None

    def name(self):
        return "LinalgSolveExBackward0"


class Det(Operation):
    @staticmethod
    def forward(ctx, a):
        y = np.asarray(np.linalg.det(a), a.dtype)
        ctx.saved = (a, y)
        return y

    @staticmethod
    def backward(ctx, dy):
        """det(A) A^-T; the adjugate, from the singular values, where there is no inverse."""
        a, y = ctx.saved
        if a.size and not (y == 0).any():
            try:
                return (dy * y)[..., None, None] * _t(np.linalg.inv(a))
            except np.linalg.LinAlgError:
                pass
        u, s, vh = _lapack("det", _NOT_FINITE, np.linalg.svd, a)
        sign = np.linalg.det(u) * np.linalg.det(vh) if a.size else np.ones_like(y)
        n = a.shape[-1]
        others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(axis=-1)
        return ((dy * sign)[..., None, None] * ((u * others[..., None, :]) @ vh)).astype(a.dtype, copy=False)

    def name(self):
        return "LinalgDetBackward0"


class Slogdet(Operation):
    @staticmethod
    def forward(ctx, a):
        sign, log = np.linalg.slogdet(a)
        ctx.saved = (a,)
        return np.asarray(sign, a.dtype), np.asarray(log, a.dtype)

    @staticmethod
    def backward(ctx, dsign, dlog):
        (a,) = ctx.saved
        if dlog is None:
            return np.zeros_like(a)
        inverse = _lapack("slogdet", f"the gradient does not exist because {_SINGULAR}", np.linalg.inv, a)
        return dlog[..., None, None] * _t(inverse)

    def name(self):
        return "LinalgSlogdetBackward0"


class Cholesky(Operation):
    """Lower triangular L with L L^T = A; only the lower triangle of A is read."""

    @staticmethod
    def forward(ctx, a):
        problem = "The factorization could not be completed because the input is not positive-definite."
        y = _lapack("cholesky", problem, np.linalg.cholesky, a)
        ctx.saved = (y,)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved
        inverse = np.linalg.inv(y) if y.size else y
        phi = _symmetric(np.tril(_t(y) @ np.tril(dy)))
        return 0.5 * (_t(inverse) @ phi @ inverse)

    def name(self):
        return "LinalgCholeskyExBackward0"


class Eigh(Operation):
    """Eigenvalues in ascending order, and the eigenvectors as columns, of the symmetric matrix in one triangle."""

    @staticmethod
    def forward(ctx, a, lower):
        values, vectors = _lapack("eigh", _NOT_FINITE, np.linalg.eigh, a, "L" if lower else "U")
        ctx.saved = (values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx, dvalues, dvectors):
        values, vectors = ctx.saved
        inner = np.zeros_like(vectors)
        if dvectors is not None:
            gap = values[..., None, :] - values[..., :, None]
            inner = np.where(np.eye(values.shape[-1], dtype=bool), 0, (_t(vectors) @ dvectors) / gap)
        if dvalues is not None:
            inner = inner + _diagonal(dvalues)
        da = (vectors @ inner @ _t(vectors)).astype(vectors.dtype, copy=False)
        return 0.5 * (da + _t(da)), None

    def name(self):
        return "LinalgEighBackward0"


class Qr(Operation):
    """Q with orthonormal columns and R upper triangular, Q R = A."""

    @staticmethod
    def forward(ctx, a, mode):
        ctx.mode, ctx.shape = mode, a.shape
        if mode == "r":
            return np.zeros(0, a.dtype), np.linalg.qr(a, mode="r")
        q, r = np.linalg.qr(a, mode=mode)
        ctx.saved = (a if a.shape[-2] < a.shape[-1] else None, q, r)
        return q, r

    @staticmethod
    def backward(ctx, dq, dr):
        if ctx.mode == "r":
            raise RuntimeError(
                "linalg.qr: the derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
                "Please use linalg.qr(..., mode='reduced') if you are going to require its gradients"
            )
        a, q, r = ctx.saved
        m, n = ctx.shape[-2:]
        if ctx.mode == "complete" and m > n:
            raise RuntimeError(
                "linalg.qr: the QR decomposition is not differentiable when mode='complete' and nrows > ncols"
            )
        if dr is None:
            dr = np.zeros_like(r)
        if dq is None:
            dq = np.zeros_like(q)
        if m >= n:
            return _qr_tall(q, r, dq, dr)
        # A wide matrix is [A1 A2] with A1 square: Q and R1 come from A1, and R2 = Q^T A2.
        left = _qr_tall(q, r[..., :m], dq + a[..., m:] @ _t(dr[..., m:]), dr[..., :m])
        return np.concatenate([left, q @ dr[..., m:]], axis=-1)

    def name(self):
        return "LinalgQrBackward0"


def _qr_tall(q, r, dq, dr):
    inner = np.triu(dr @ _t(r) - _t(q) @ dq)
    total = dq + q @ _symmetric(inner)
    if not r.size:
        return total
    return _t(_lapack("qr", f"the gradient does not exist because {_SINGULAR}", np.linalg.solve, r, _t(total)))


class Svd(Operation):
    """U, S, Vh with U diag(S) Vh = A, S descending."""

    @staticmethod
    def forward(ctx, a, full_matrices):
        u, s, vh = _lapack("svd", _NOT_FINITE, np.linalg.svd, a, full_matrices)
        ctx.saved = (u, s, vh)
        return u, s, vh

    @staticmethod
    def backward(ctx, du, ds, dvh):
        u, s, vh = ctx.saved
        k = s.shape[-1]
        u, v = u[..., :k], _t(vh[..., :k, :])
        inner = np.zeros((*s.shape, k), s.dtype) if ds is None else _diagonal(ds)
        square = np.square(s)
        gap = np.where(np.eye(k, dtype=bool), 1, square[..., None, :] - square[..., :, None])
        if du is not None:
            du = du[..., :k]
            turn = _t(u) @ du
            inner = inner + (turn - _t(turn)) / gap * s[..., None, :]
        if dvh is not None:
            dv = _t(dvh[..., :k, :])
            turn = _t(v) @ dv
            inner = inner + s[..., :, None] * ((turn - _t(turn)) / gap)
        da = u @ inner @ _t(v)
        # what leaves the space that U and V span, where they are not square
        if du is not None and u.shape[-2] > k:
            da = da + ((du - u @ (_t(u) @ du)) / s[..., None, :]) @ _t(v)
        if dvh is not None and v.shape[-2] > k:
            da = da + (u / s[..., None, :]) @ _t(dv - v @ (_t(v) @ dv))
        return da.astype(s.dtype, copy=False), None

    def name(self):
        return "LinalgSvdBackward0"


class Svdvals(Operation):
    @staticmethod
    def forward(ctx, a):
        if not ctx.needs[0]:
            return _lapack("svdvals", _NOT_FINITE, np.linalg.svd, a, compute_uv=False)
        u, s, vh = _lapack("svdvals", _NOT_FINITE, np.linalg.svd, a, full_matrices=False)
        ctx.saved = (u, vh)
        return s

    @staticmethod
    def backward(ctx, ds):
        u, vh = ctx.saved
        return (u * ds[..., None, :]) @ vh

    def name(self):
        return "LinalgSvdBackward0"


class Pinv(Operation):
    """The pseudo-inverse: singular values up to max(atol, rtol * the largest) count as zero."""

    @staticmethod
    def forward(ctx, a, atol, rtol, hermitian):
        if not a.size:
            y = np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
        elif hermitian:
            values, v = _lapack("pinv", _NOT_FINITE, np.linalg.eigh, a)
            y = (v * _reciprocal(values, atol, rtol)[..., None, :]) @ _t(v)
        else:
            u, s, vh = _lapack("pinv", _NOT_FINITE, np.linalg.svd, a, full_matrices=False)
            y = (_t(vh) * _reciprocal(s, atol, rtol)[..., None, :]) @ _t(u)
        ctx.saved = (a, y)
        return y.astype(a.dtype, copy=False)

    @staticmethod
    def backward(ctx, dy):
        a, y = ctx.saved
        yt, dyt = _t(y), _t(dy)
        if a.shape[-2] <= a.shape[-1]:
            k = dyt @ y
            ky = k @ yt
            da = -_t(y @ k) + ky - (a @ y) @ ky + (yt @ y) @ (dyt - k @ a)
        else:
            k = y @ dyt
            yk = yt @ k
            da = -_t(k @ y) + (dyt - a @ k) @ y @ yt + yk - (yk @ y) @ a
        return da, None, None, None

    def name(self):
        return "LinalgPinvBackward0"


def _reciprocal(values, atol, rtol):
    size = np.abs(values)
    kept = size > np.maximum(atol, rtol * size.max(axis=-1, keepdims=True))
    return np.where(kept, 1 / values, 0)
