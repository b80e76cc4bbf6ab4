"""Products of matrices and vectors; factorisations are in cnn/linalg.py."""

import math

import numpy as np

from cnn import _cnn
from cnn.autograd.function import Operation
from cnn.errors import DTypeError, ShapeError, is_torchs
from cnn.tensor import Tensor

from ._quiet import quiet
from ._register import both, function
from .arithmetic import mul
from .broadcasting import broadcast_shape, sum_to_shape
from .operands import check_tensors
from .promotion import refuse_types
from .shape import wrap_dim


class Matmul(Operation):
    @staticmethod
    def forward(ctx, a, b):
        ctx.saved, ctx.shapes = (a if ctx.needs[1] else None, b if ctx.needs[0] else None), (a.shape, b.shape)
        return _product(a, b)

    @staticmethod
    def backward(ctx, dy):
        (a, b), (a_shape, b_shape) = ctx.saved, ctx.shapes
        rows, columns = a_shape[-2:-1] or (1,), b_shape[-1:] if len(b_shape) > 1 else (1,)
        batch = dy.shape[: dy.ndim - (len(a_shape) > 1) - (len(b_shape) > 1)]
        dy = dy.reshape(*batch, *rows, *columns)
        da = db = None
        if ctx.needs[0]:
            b = b[:, None] if b.ndim == 1 else b
            matrix = a_shape if len(a_shape) > 1 else (1, *a_shape)
            da = sum_to_shape(_product(dy, b.swapaxes(-1, -2)), matrix).reshape(a_shape)
        if ctx.needs[1]:
            a = a[None, :] if a.ndim == 1 else a
            matrix = b_shape if len(b_shape) > 1 else (*b_shape, 1)
            db = sum_to_shape(_product(a.swapaxes(-1, -2), dy), matrix).reshape(b_shape)
        return da, db

    def name(self):
        return "MmBackward0"


def _product(a, b):
    """By our kernel where it serves: floating point, two matrices or two batches of them. NumPy has the other cases."""
    if a.dtype not in (np.float32, np.float64) or a.ndim < 2 or b.ndim < 2:
        return np.matmul(a, b)
    if a.ndim == 2 and b.ndim == 2:
        return _cnn.matmul(a, b)
    batch = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    size = math.prod(batch)
    a3 = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(size, *a.shape[-2:])
    b3 = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(size, *b.shape[-2:])
    return _cnn.matmul(a3, b3).reshape(*batch, a.shape[-2], b.shape[-1])


def _check_types(name, *tensors):
    first = tensors[0]
    for t in tensors[1:]:
        if t._a.dtype is not first._a.dtype and t._a.dtype != first._a.dtype:
            raise DTypeError(f"{name}: expected m1 and m2 to have the same dtype, but got: {first.dtype} != {t.dtype}")


@both
def matmul(input, other):
    """The matrix product, batched over leading dimensions; vectors as in NumPy. See torch.matmul."""
    a, b = input._a, other._a
    _check_types("matmul", input, other)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        left = "x".join(map(str, a.shape))
        right = "x".join(map(str, b.shape))
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({left} and {right}): the last dimension of the first "
            f"({a.shape[-1]}) must equal the second-to-last of the second ({b.shape[-2 if b.ndim > 1 else 0]})"
        )
    if a.dtype.kind == "b":
        refuse_types(
            "dot" if a.ndim == b.ndim == 1 else "addmm_impl_cpu_" if a.ndim < 3 and b.ndim < 3 else "bmm", a.dtype
        )
    return Matmul.apply(input, other)


def _of_ndim(name, a, b, dims, label="mat2"):
    """matmul(a, b), for tensors that have just so many dimensions."""
    for argument, t, n in (("input", a, dims[0]), (label, b, dims[1])):
        if t._a.ndim != n:
            raise ShapeError(f"{name}: {argument} must be a {n}-D tensor, got shape {list(t._a.shape)}")
    return matmul(a, b)


@both
def mm(input, mat2):
    """matmul of two matrices. See torch.mm."""
    return _of_ndim("mm", input, mat2, (2, 2))


@both
def bmm(input, mat2):
    """matmul of two batches of matrices. See torch.bmm."""
    return _of_ndim("bmm", input, mat2, (3, 3))


@both
def mv(input, vec):
    """matmul of a matrix and a vector. See torch.mv."""
    return _of_ndim("mv", input, vec, (2, 1), "vec")


@both
def dot(input, tensor):
    """The sum of the products of two vectors. See torch.dot."""
    return _of_ndim("dot", input, tensor, (1, 1), "tensor")


@both
def inner(input, other):
    """The sum of the products along the last dimensions; the product, where one of the two is 0-d. See torch.inner."""
    check_tensors("inner", input, other)
    if not input._a.ndim or not other._a.ndim:
        return mul(input, other)
    if input._a.shape[-1] != other._a.shape[-1]:
        raise ShapeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input._a.shape)} and {list(other._a.shape)}"
        )
    _check_types("inner", input, other)
    return tensordot(input, other, ([-1], [-1]))


def _times(self, other):
    return matmul(self, other) if isinstance(other, Tensor) or is_torchs(other) else NotImplemented


_times.__name__ = "matmul"
Tensor.__matmul__ = quiet(_times)
Tensor.__rmatmul__ = quiet(
    lambda self, other: matmul(other if isinstance(other, Tensor) else Tensor._wrap(np.asarray(other)), self)
)


@both
def outer(input, vec2):
    """input[i] * vec2[j]. See torch.outer."""
    for name, x in (("input", input), ("vec2", vec2)):
        if x._a.ndim != 1:
            raise ShapeError(f"outer: expected 1-D argument {name}, got {x._a.ndim}-D of shape {list(x._a.shape)}")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


@both
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta * input + alpha * (mat1 @ mat2). See torch.addmm."""
    return _combine("addmm", input, mm(mat1, mat2), beta, alpha)


@both
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * (batch1 @ batch2). See torch.baddbmm."""
    return _combine("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@both
def addmv(input, mat, vec, *, beta=1, alpha=1):
    """beta * input + alpha * (mat @ vec). See torch.addmv."""
    return _combine("addmv", input, mv(mat, vec), beta, alpha)


def _combine(name, input, product, beta, alpha):
    kind = product._a.dtype
    if input._a.dtype != kind:
        raise DTypeError(
            f"{name}: input and product must have the same dtype, but got {input.dtype} and {product.dtype}"
        )
    if kind.kind in "iu":  # fractions are cut off
        beta, alpha = int(beta), int(alpha)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else product + (input if beta == 1 else input * beta)


@function
def tensordot(a, b, dims=2):
    """The sum over pairs of dimensions: the last `dims` of a with the first of b, or two lists of them.
    See torch.tensordot."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a._a.ndim, b._a.ndim):
            raise RuntimeError(
                f"tensordot expects dims >= 0 and at most the dimensions of a and b, but got dims={dims} for "
                f"{a._a.ndim} and {b._a.ndim} dimensions"
            )
        dims = range(a._a.ndim - dims, a._a.ndim), range(dims)
    if len(dims) != 2 or len(dims[0]) != len(dims[1]):
        raise RuntimeError(f"tensordot: both dimension lists should have same length, got {dims}")
    left, right = ([wrap_dim(d, t._a.ndim) for d in ds] for ds, t in zip(dims, (a, b), strict=True))
    for i, j in zip(left, right, strict=True):
        m, n = a._a.shape[i], b._a.shape[j]
        if m != n and 1 not in (m, n):
            raise ShapeError(
                f"tensordot: contracted dimensions need to match, but first has size {m} in dim {i} and second has "
                f"size {n} in dim {j}"
            )
        if m < n:
            b = b.sum(j, keepdim=True).to(b.dtype)
        elif n < m:
            a = a.sum(i, keepdim=True).to(a.dtype)
    keep_a = [d for d in range(a._a.ndim) if d not in left]
    keep_b = [d for d in range(b._a.ndim) if d not in right]
    n = math.prod(a._a.shape[d] for d in left)
    outer_a, outer_b = [a._a.shape[d] for d in keep_a], [b._a.shape[d] for d in keep_b]
    rows = a.permute(*keep_a, *left).reshape(math.prod(outer_a), n)
    columns = b.permute(*right, *keep_b).reshape(n, math.prod(outer_b))
    return (rows @ columns).reshape(*outer_a, *outer_b)
