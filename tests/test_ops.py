"""The functions of `cnn` and the methods of `Tensor`, each beside torch: values, shapes, types, gradients."""

import numpy as np
import pytest
from harness import assert_close, check_against_torch, check_gradients, needs_torch, rng, torch

import cnn

R = rng(0)
A = R.standard_normal((3, 4))
B = R.standard_normal((3, 4))
ROW = R.standard_normal(4)
COLUMN = R.standard_normal((3, 1))
SCALAR = np.asarray(R.standard_normal(()))
POSITIVE = np.abs(A) + 0.5
UNIT = np.tanh(A) * 0.9
CUBE = R.standard_normal((2, 3, 4))
IMAGE = R.standard_normal((2, 3, 6, 6))
SQUARE = R.standard_normal((4, 4))
DISTINCT = R.permutation(24).reshape(2, 3, 4).astype(float)
I2 = np.array([[2, 0, 1, 1], [0, 2, 2, 0]])
MASK = A > 0


# f(T, x, ...) runs with T = cnn and T = torch.
CASES = {
    "add": (lambda T, a, b: a + b, A, B),
    "add row": (lambda T, a, b: a + b, A, ROW),
    "add column": (lambda T, a, b: T.add(a, b, alpha=2), ROW, COLUMN),
    "add number": (lambda T, a: 3 + a + 2.5, A),
    "add 0-d": (lambda T, a, b: a + b, A, SCALAR),
    "sub": (lambda T, a, b: a - b, COLUMN, ROW),
    "rsub": (lambda T, a: 1 - a, A),
    "sub alpha": (lambda T, a, b: T.sub(a, b, alpha=0.5), A, B),
    "mul": (lambda T, a, b: a * b, A, ROW),
    "mul self": (lambda T, a: a * a, A),
    "div": (lambda T, a, b: a / b, A, POSITIVE),
    "div column": (lambda T, a, b: a / b, ROW, np.abs(COLUMN) + 1),
    "rdiv": (lambda T, a: 2 / a, POSITIVE),
    "pow number": (lambda T, a: a**3, A),
    "pow half": (lambda T, a: a**0.5, POSITIVE),
    "pow zero": (lambda T, a: a**0, A),
    "pow tensor": (lambda T, a, b: a**b, POSITIVE, B),
    "rpow": (lambda T, a: 2**a, A),
    "maximum": (lambda T, a, b: T.maximum(a, b), A, B),
    "maximum tie": (lambda T, a: T.maximum(a, a), A),
    "minimum": (lambda T, a, b: T.min(a, b), A, ROW),
    "remainder": (lambda T, a: a % 0.7, A),
    "lerp": (lambda T, a, b: T.lerp(a, b, 0.3), A, B),
    "addcmul": (lambda T, a, b, c: T.addcmul(a, b, c, value=0.5), A, B, ROW),
    "addcdiv": (lambda T, a, b, c: T.addcdiv(a, b, c, value=0.5), A, B, POSITIVE),
    "neg": (lambda T, a: -a, A),
    "abs": (lambda T, a: abs(a), A),
    "clamp": (lambda T, a: a.clamp(-0.5, 0.5), A),
    "clamp min": (lambda T, a: T.clamp(a, min=0), A),
    "clamp_max": (lambda T, a: T.clamp_max(a, 0.2), A),
    "where": (lambda T, a, b: T.where(a > 0, a, b), A, B),
    "where number": (lambda T, a: T.where(a > 0, a, 0.0), A),
    "sum": (lambda T, a: a.sum(), CUBE),
    "sum dim": (lambda T, a: a.sum(1), CUBE),
    "sum dims": (lambda T, a: a.sum((0, -1), keepdim=True), CUBE),
    "sum axis": (lambda T, a: T.sum(a, axis=2), CUBE),
    "mean": (lambda T, a: a.mean(), CUBE),
    "mean dims": (lambda T, a: a.mean([0, 2]), CUBE),
    "mean dim keep": (lambda T, a: T.mean(a, dim=1, keepdim=True), CUBE),
    "var": (lambda T, a: a.var(), CUBE),
    "var dim biased": (lambda T, a: a.var(1, unbiased=False), CUBE),
    "std": (lambda T, a: a.std(), CUBE),
    "std dims": (lambda T, a: a.std(dim=(0, 2), keepdim=True), CUBE),
    "var_mean": (lambda T, a: T.var_mean(a, dim=1, correction=0), CUBE),
    "prod": (lambda T, a: a.prod(), A),
    "prod dim": (lambda T, a: a.prod(1), CUBE),
    "max": (lambda T, a: a.max(), DISTINCT),
    "max dim": (lambda T, a: T.max(a, 1), DISTINCT),
    "max dim keep": (lambda T, a: a.max(-1, keepdim=True), DISTINCT),
    "min dim": (lambda T, a: a.min(0), DISTINCT),
    "amax ties": (lambda T, a: a.clamp(min=0).amax((0, 1)), CUBE),
    "amin": (lambda T, a: a.amin(1), DISTINCT),
    "max of ties": (lambda T, a: (a * 0).max(), A),
    "topk": (lambda T, a: a.topk(2, 1, True, True), DISTINCT),
    "topk smallest": (lambda T, a: a.topk(2, dim=0, largest=False), DISTINCT),
    "sort": (lambda T, a: a.sort(dim=1, descending=True), DISTINCT),
    "kthvalue": (lambda T, a: a.kthvalue(2, 1), DISTINCT),
    "median": (lambda T, a: a.median(), DISTINCT),
    "cumsum": (lambda T, a: a.cumsum(1), CUBE),
    "logsumexp": (lambda T, a: a.logsumexp(1), CUBE),
    "norm": (lambda T, a: a.norm(), CUBE),
    "norm 1": (lambda T, a: a.norm(1), CUBE),
    "norm 3 dim": (lambda T, a: a.norm(3, dim=1), CUBE),
    "view": (lambda T, a: a.view(-1, 4) * 2, CUBE),
    "view list": (lambda T, a: a.view([6, 4]) + 1, CUBE),
    "reshape of transpose": (lambda T, a: a.transpose(0, 2).reshape(-1), CUBE),
    "flatten": (lambda T, a: T.flatten(a, 1), CUBE),
    "unflatten": (lambda T, a: a.unflatten(2, (2, -1)), CUBE),
    "squeeze": (lambda T, a: a.squeeze(1) * 1, COLUMN),
    "squeeze all": (lambda T, a: a.squeeze(), COLUMN),
    "unsqueeze": (lambda T, a: a.unsqueeze(-1) * 2, A),
    "transpose": (lambda T, a: a.transpose(1, 2), CUBE),
    "t": (lambda T, a: a.t() * 2, A),
    "T": (lambda T, a: a.T, A),
    "mT": (lambda T, a: a.mT, CUBE),
    "permute": (lambda T, a: a.permute(2, 0, 1), CUBE),
    "movedim": (lambda T, a: a.movedim(0, 2), CUBE),
    "expand": (lambda T, a: a.expand(3, 4) * 1, COLUMN),
    "expand -1": (lambda T, a: a.expand(2, -1, 4) * 1, COLUMN),
    "expand_as": (lambda T, a, b: a.expand_as(b) * b, COLUMN, A),
    "repeat": (lambda T, a: a.repeat(2, 3), A),
    "repeat new dims": (lambda T, a: a.repeat(2, 1, 2), A),
    "tile": (lambda T, a: a.tile(2), A),
    "repeat_interleave": (lambda T, a: a.repeat_interleave(2, dim=1), A),
    "cat": (lambda T, a, b: T.cat([a, b], 1), A, B),
    "cat negative": (lambda T, a, b: T.cat((a, b, a), dim=-2), A, B),
    "stack": (lambda T, a, b: T.stack([a, b], dim=1), A, B),
    "split": (lambda T, a: a.split(2, dim=1)[1], A),
    "split sizes": (lambda T, a: T.split(a, [1, 3], 1), A),
    "chunk": (lambda T, a: a.chunk(2, 1), A),
    "unbind": (lambda T, a: a.unbind(1), A),
    "flip": (lambda T, a: a.flip(0, 1), A),
    "roll": (lambda T, a: a.roll(1, 0), A),
    "unfold": (lambda T, a: a.unfold(2, 3, 2).unfold(3, 3, 2), IMAGE),
    "narrow": (lambda T, a: a.narrow(1, 1, 2), A),
    "select": (lambda T, a: a.select(1, 2), A),
    "clone": (lambda T, a: a.clone(), A),
    "contiguous": (lambda T, a: a.t().contiguous(), A),
    "double": (lambda T, a: a.double() * 2, A),
    "float": (lambda T, a: a.float() * 2, A),
    "index int": (lambda T, a: a[1], CUBE),
    "index pair": (lambda T, a: a[1, 2], CUBE),
    "index negative": (lambda T, a: a[-1, :, -2], CUBE),
    "index slice": (lambda T, a: a[:, 1:], CUBE),
    "index step": (lambda T, a: a[:, :, ::2, ::2], IMAGE),
    "index None": (lambda T, a: a[:, None, :, None], A),
    "index ellipsis": (lambda T, a: a[..., 0], IMAGE),
    "index mask": (lambda T, a: a[a > 0], A),
    "index rows": (lambda T, a: a[T.tensor([2, 0, 2])], A),
    "index list": (lambda T, a: a[[0, 2], 1], A),
    "index arrays": (lambda T, a: a[T.tensor([0, 1]), T.tensor([3, 2])], A),
    "index mixed": (lambda T, a: a[T.tensor([True, False]), :, 1:3, 1:3], IMAGE),
    "gather": (lambda T, a, i: a.gather(0, i), A, I2),
    "index_select": (lambda T, a: a.index_select(1, T.tensor([0, 0, 3])), A),
    "masked_fill": (lambda T, a, m: a.masked_fill(m, -1), A, MASK),
    "masked_select": (lambda T, a, m: a.masked_select(m), A, MASK),
    "take": (lambda T, a: T.take(a, T.tensor([0, 5, 5])), A),
    "diag": (lambda T, a: T.diag(a), SQUARE),
    "diag vector": (lambda T, a: T.diag(a, 1), ROW),
    "diagonal": (lambda T, a: a.diagonal(1), SQUARE),
    "tril": (lambda T, a: a.tril(), SQUARE),
    "triu": (lambda T, a: T.triu(a, 1), SQUARE),
    "trace": (lambda T, a: a.trace(), SQUARE),
    "matmul": (lambda T, a, b: a @ b, A, SQUARE),
    "matmul batch": (lambda T, a, b: T.matmul(a, b), CUBE, SQUARE),
    "matmul vector": (lambda T, a, b: a @ b, A, ROW),
    "vector matmul": (lambda T, a, b: a @ b, ROW, SQUARE),
    "dot": (lambda T, a: a.dot(a), ROW),
    "mm of t": (lambda T, a, b: T.mm(a, b.t()), A, B),
    "bmm": (lambda T, a: T.bmm(a, a.transpose(1, 2)), CUBE),
    "outer": (lambda T, a, b: T.outer(a, b), ROW, ROW + 1),
    "addmm": (lambda T, a, b, c: T.addmm(a, b, c, beta=0.5, alpha=2), ROW, A, SQUARE),
    "einsum": (lambda T, a, b: T.einsum("bij,jk->bik", a, b), CUBE, SQUARE),
    "einsum trace-like": (lambda T, a: T.einsum("bij->j", a), CUBE),
    "in place add": (lambda T, a, b: (a * 1).add_(b, alpha=2), A, ROW),
    "in place mul": (lambda T, a, b: (a * 1).mul_(b), A, ROW),
    "in place div": (lambda T, a, b: (a * 1).div_(b), A, POSITIVE),
    "in place chain": (lambda T, a, b: (a * 2).sub_(b).mul_(3).add_(1), A, B),
    "augmented": (lambda T, a, b: _augmented(a, b), A, B),
    "in place pow": (lambda T, a: (a * 1).pow_(2), A),
    "in place exp": (lambda T, a: (a * 1).exp_(), A),
    "in place clamp": (lambda T, a: (a * 1).clamp_(min=0), A),
    "in place zero": (lambda T, a: (a * 1).zero_() + a, A),
    "in place masked_fill": (lambda T, a, m: (a * 1).masked_fill_(m, 2.0), A, MASK),
    "in place copy": (lambda T, a, b: (a * 1).copy_(b), A, ROW),
    "write slice": (lambda T, a, b: _write(a * 1, (slice(None), slice(1, 3)), b), A, R.standard_normal((3, 2))),
    "write mask": (lambda T, a, m: _write(a * 1, m, 0.0), A, MASK),
    "write into zeros": (lambda T, a: _write_zeros(T, a), CUBE),
    "write a view": (lambda T, a, b: _write_view(a, b), A, ROW),
    "write the base of a view": (lambda T, a, b: _write_base(a, b), A, ROW),
    "write a view of a view": (lambda T, a: _view_of_view(a), CUBE),
    "scatter": (lambda T, a, b, i: a.scatter(0, i, b), A, B[:2], I2),
    "scatter_add": (lambda T, a, b, i: a.scatter_add(0, i, b), A, B[:2], I2),
    "index_add": (lambda T, a, b: (a * 1).index_add_(0, T.tensor([0, 0, 2]), b), A, B),
    "detach": (lambda T, a: a * a.detach(), A),
    "reused": (lambda T, a: a * a + a, A),
    "diamond": (lambda T, a: (lambda b: b * b.sum() + b)(a.exp()), A),
    "heaviside of comparisons": (lambda T, a, b: (a > b.detach()).to(a.dtype) * a + b, A, B),
}  # fmt: skip


def _augmented(a, b):
    c = a * 2
    c += b
    c *= b
    c -= 1
    c /= 2
    return c


def _write(a, index, value):
    a[index] = value
    return a


def _write_zeros(T, a):
    z = T.zeros(2, 3, 6, dtype=a.dtype)
    z[:, :, 1:5] = a
    z[0, 0, 0] = a[1, 1, 1]
    return z * 2


def _write_view(a, b):
    c = a * 2
    v = c[1]
    v.mul_(b)
    return c * v


def _write_base(a, b):
    c = a * 2
    v = c.t()
    c += b
    return v * v


def _view_of_view(a):
    c = a * 1
    v = c.view(6, 4)[1:4].t()
    v[1] = 0
    v.add_(1)
    return c


UNARY = {
    "exp": A, "exp2": A, "expm1": A, "log": POSITIVE, "log2": POSITIVE, "log10": POSITIVE, "log1p": POSITIVE,
    "sqrt": POSITIVE, "rsqrt": POSITIVE, "square": A, "reciprocal": POSITIVE, "sin": A, "cos": A, "tan": UNIT,
    "asin": UNIT, "acos": UNIT, "atan": A, "sinh": A, "cosh": A, "sign": A, "floor": A * 3, "ceil": A * 3,
    "trunc": A * 3, "round": A * 3, "frac": A * 3,
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", CASES)
def test_against_torch(name):
    f, *arrays = CASES[name]
    terms = max(a.size for a in arrays)
    check_against_torch(lambda *xs: f(cnn, *xs), lambda *xs: f(torch, *xs), *arrays, terms=terms)


@needs_torch
@pytest.mark.parametrize("name", UNARY)
def test_unary_against_torch(name):
    # 4 terms: NumPy's and torch's functions differ by an ulp or two
    check_against_torch(getattr(cnn, name), getattr(torch, name), UNARY[name], terms=4)


@pytest.mark.parametrize(
    "name", [n for n in CASES if n not in ("max of ties", "maximum tie", "double", "float", "detach")]
)
def test_gradients(name):
    f, *arrays = CASES[name]
    floating = [a for a in arrays if a.dtype.kind == "f"]

    def g(*xs):
        xs = iter(xs)
        return f(cnn, *[next(xs) if a.dtype.kind == "f" else cnn.from_numpy(a) for a in arrays])

    if name in ("where number", "heaviside of comparisons", "amax ties", "in place clamp"):
        floating = [np.where(np.abs(a) < 0.01, 0.1, a) for a in floating]  # off the kinks
    check_gradients(g, *floating)


NO_GRADIENT = {
    "argmax": lambda T, a, b: a.argmax(),
    "argmax dim": lambda T, a, b: T.argmax(a, dim=1, keepdim=True),
    "argmin": lambda T, a, b: a.argmin(dim=-1),
    "eq": lambda T, a, b: a == b,
    "ne number": lambda T, a, b: a != 1,
    "lt": lambda T, a, b: a < b,
    "ge": lambda T, a, b: a.ge(0.5),
    "not": lambda T, a, b: ~(a > 0),
    "and": lambda T, a, b: (a > 0) & (b > 0),
    "or": lambda T, a, b: (a > 0) | (b > 0),
    "bool sum": lambda T, a, b: (a > 0).sum(),
    "bool sum plus int": lambda T, a, b: 0 + (a > 0).sum(),
    "count over int": lambda T, a, b: (a > 0).sum() / 12,
    "100.0 * count / int": lambda T, a, b: 100.0 * (a > 0).sum() / 7,
    "float plus count": lambda T, a, b: 0.0 + (a > 0).sum(),
    "type": lambda T, a, b: (a > 0).sum().type(T.float32) / 3,
    "int tensor plus float": lambda T, a, b: T.tensor([1, 2]) + 0.5,
    "int tensor times bool": lambda T, a, b: T.tensor([1, 2]) * T.tensor([True, False]),
    "uint8 / 255": lambda T, a, b: T.tensor([3, 255], dtype=T.uint8) / 255,
    "uint8 + int64 0-d": lambda T, a, b: T.tensor([3, 200], dtype=T.uint8) + T.tensor(100),
    "int // int": lambda T, a, b: T.tensor([7, -7]) // 2,
    "int % int": lambda T, a, b: T.tensor([7, -7]) % 3,
    "int ** int": lambda T, a, b: T.tensor([2, 3]) ** 2,
    "div trunc": lambda T, a, b: T.div(T.tensor([7, -7]), 2, rounding_mode="trunc"),
    "float32 and float64 0-d": lambda T, a, b: T.ones(2) * T.tensor(2.0, dtype=T.float64),
    "float32 and float64": lambda T, a, b: T.ones(2) * T.ones(2, dtype=T.float64),
    "int64 and float32": lambda T, a, b: T.tensor([1, 2]) * T.ones(2),
    "int32 and int64": lambda T, a, b: T.tensor([1, 2], dtype=T.int32) + T.tensor([1, 2]),
    "isnan": lambda T, a, b: T.isnan(a / 0 - b / 0),
    "all": lambda T, a, b: (a > -9).all(),
    "any dim": lambda T, a, b: (a > 1).any(1),
    "nonzero": lambda T, a, b: (a > 0).nonzero(),
    "count_nonzero": lambda T, a, b: T.count_nonzero(a > 0),
    "bincount": lambda T, a, b: T.bincount(T.tensor([0, 3, 3]), minlength=6),
    "unique": lambda T, a, b: T.unique(T.tensor([3, 1, 3])),
    "argsort": lambda T, a, b: a.argsort(1),
    "tensor of floats": lambda T, a, b: T.tensor([1.5, 2]),
    "tensor of ints": lambda T, a, b: T.tensor([[1, 2], [3, 4]]),
    "tensor of bools": lambda T, a, b: T.tensor([True, False]),
    "tensor of numpy": lambda T, a, b: T.tensor(np.arange(3.0)),
    "tensor of numpy float32 scalar to int64": lambda T, a, b: T.tensor(np.array([3.7], np.float32), dtype=T.int64),
    "Tensor of list": lambda T, a, b: T.Tensor([1, 2]),
    "FloatTensor": lambda T, a, b: T.FloatTensor([1, 2]),
    "LongTensor": lambda T, a, b: T.LongTensor([1, 2]),
    "arange": lambda T, a, b: T.arange(5),
    "arange float": lambda T, a, b: T.arange(0, 1, 0.1),
    "arange ints": lambda T, a, b: T.arange(1, 10, 3),
    "linspace": lambda T, a, b: T.linspace(-1, 1, 7),
    "eye": lambda T, a, b: T.eye(3),
    "full int": lambda T, a, b: T.full((2, 2), 3),
    "full float": lambda T, a, b: T.full((2,), 0.5),
    "zeros_like": lambda T, a, b: T.zeros_like(a),
    "ones_like int": lambda T, a, b: T.ones_like(a, dtype=T.int64),
    "new_zeros": lambda T, a, b: a.new_zeros(2, 3),
    "meshgrid": lambda T, a, b: list(T.meshgrid(T.arange(2), T.arange(3), indexing="ij")),
    "long": lambda T, a, b: (a * 10).long(),
    "int sum": lambda T, a, b: T.tensor([1, 2], dtype=T.int32).sum(),
    "int cumsum": lambda T, a, b: T.tensor([1, 2], dtype=T.int32).cumsum(0),
    "rot90": lambda T, a, b: T.rot90(a),
    "nan_to_num": lambda T, a, b: T.nan_to_num(a / 0),
    "bitwise": lambda T, a, b: T.tensor([6]) & 3 | 8,
    "round": lambda T, a, b: T.round(T.tensor([0.5, 1.5, 2.5, -0.5])),
    "floor_divide floats": lambda T, a, b: a // 0.3,
    "isclose": lambda T, a, b: T.isclose(a, a + 1e-9),
    "one_hot by scatter": lambda T, a, b: T.zeros(2, 4).scatter_(1, T.tensor([[1], [3]]), 1.0),
    "clamp ints": lambda T, a, b: T.tensor([1, 5]).clamp(2, 4),
    "max of bools": lambda T, a, b: (a > 0).max(1),
    "where indices": lambda T, a, b: list(T.where(a > 0)),
    "tril of ones": lambda T, a, b: T.ones(3, 3).tril(),
    "histc": lambda T, a, b: T.histc(a, 4, -2, 2),
    "quantile": lambda T, a, b: T.quantile(a, 0.3),
    "empty sum": lambda T, a, b: T.zeros(0, 3).sum(0),
    "empty cat": lambda T, a, b: T.cat([T.zeros(0), T.ones(2)]),
    "inplace int": lambda T, a, b: T.tensor([1, 2]).add_(3).mul_(2),
}


@needs_torch
@pytest.mark.parametrize("name", NO_GRADIENT)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_and_types_against_torch(name, kind):
    f = NO_GRADIENT[name]
    a, b = A.astype(kind), B.astype(kind)
    mine = f(cnn, cnn.from_numpy(a), cnn.from_numpy(b))
    theirs = f(torch, torch.from_numpy(a), torch.from_numpy(b))
    pairs = zip(mine, theirs, strict=True) if isinstance(mine, (tuple, list)) else [(mine, theirs)]
    for m, t in pairs:
        assert str(m.dtype) == str(t.dtype)
        assert m.shape == tuple(t.shape)
        assert_close(m.numpy(), t.numpy())


@needs_torch
def test_printing_against_torch():
    import warnings

    samples = [
        lambda T: T.tensor([1.0, 2.0, 3.5]),
        lambda T: T.tensor([1.0, 2.0, 3.0]),
        lambda T: T.tensor([[1, 2], [30, 4]]),
        lambda T: T.tensor(3.14159),
        lambda T: T.tensor(7),
        lambda T: T.tensor([True, False]),
        lambda T: T.tensor([1e-5, 1.0]),
        lambda T: T.tensor([1e10, 1.0]),
        lambda T: T.tensor([1000000.0, 2.0]),
        lambda T: T.tensor([float("nan"), float("inf"), 1.0]),
        lambda T: T.tensor([-float("inf"), 0.5]),
        lambda T: T.zeros(2, 3),
        lambda T: T.zeros(0),
        lambda T: T.zeros(2, 0, 3),
        lambda T: T.ones(2, dtype=T.float64),
        lambda T: T.ones(2, dtype=T.uint8),
        lambda T: T.ones(2, 2, requires_grad=True),
        lambda T: T.ones(2, 2, requires_grad=True).sum(),
        lambda T: T.ones(2, 2, requires_grad=True) * 2,
        lambda T: T.arange(2000.0),
        lambda T: T.arange(3000).reshape(30, 100),
        lambda T: T.arange(24.0).reshape(2, 3, 4),
        lambda T: T.arange(100.0) / 7,
        lambda T: T.arange(40.0, requires_grad=True).reshape(2, 20),
        lambda T: T.zeros(3, 32, 32),
        lambda T: T.zeros(2, 3).shape,
        lambda T: T.zeros(1).dtype,
        lambda T: T.device("cuda:0"),
        lambda T: T.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1),
        lambda T: T.tensor([-0.0, 0.0]),
        lambda T: T.tensor([0.00001234]),
        lambda T: T.tensor([123456.789, 0.1]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, sample in enumerate(samples):
            mine, theirs = repr(sample(cnn)), repr(sample(torch))
            assert mine == theirs, f"sample {number}"


FORMATS = ["{:.4f}", "{:6.5f}", "{:8.2e}", "{}"]


@needs_torch
@pytest.mark.parametrize("text", FORMATS)
def test_format_of_a_scalar(text):
    for value in (0.123456, 3.0):
        assert text.format(cnn.tensor(value)) == text.format(torch.tensor(value))
        assert "%.4f" % cnn.tensor(value) == "%.4f" % torch.tensor(value)  # noqa: UP031


z = cnn.zeros
SHAPES_THAT_DO_NOT_FIT = {
    "add": lambda: z(3) + z(2),
    "add_": lambda: z(3).add_(z(2), alpha=2),
    "mul_": lambda: z(3).mul_(z(2)),
    "eq": lambda: z(3) == z(2),
    "bitwise_and": lambda: (z(3) > 0) & (z(2) > 0),
    "logical_or": lambda: cnn.logical_or(z(3), z(2)),
    "copy_": lambda: z(3).copy_(z(2)),
    "where": lambda: cnn.where(z(3) > 0, 1.0, z(2)),
    "clamp": lambda: z(3).clamp(min=z(2)),
    "masked_select": lambda: cnn.masked_select(z(3), z(2) > 0),
    "isclose": lambda: cnn.isclose(z(3), z(2)),
    "allclose": lambda: cnn.allclose(z(3), z(2)),
    "broadcast_tensors": lambda: cnn.broadcast_tensors(z(3), z(1), z(2)),
    "matmul": lambda: z(3, 4, 4) @ z(2, 4, 4),
    "normal": lambda: cnn.normal(z(3), z(2)),
    "bernoulli_": lambda: z(3).bernoulli_(z(2)),
}


@pytest.mark.parametrize("name", SHAPES_THAT_DO_NOT_FIT)
def test_shapes_that_do_not_fit_are_named(name):
    with pytest.raises(cnn.errors.ShapeError, match=rf"{name}\(\): The size of tensor a \(3\) must match .* b \(2\) "):
        SHAPES_THAT_DO_NOT_FIT[name]()


REFUSED = {
    "a size that is a fraction": (lambda: z(4).view(2.0, 2), TypeError, r"view\(\): expected integers, got \(2.0, 2\)"),
    "zeros of a fraction": (lambda: z(2.5), TypeError, r"zeros\(\): expected integers, got \(2.5,\)"),
    "cat of one tensor": (lambda: cnn.cat(z(2, 2)), TypeError, r"cat\(\): .* must be tuple of Tensors, not Tensor"),
    "hstack of nothing": (lambda: cnn.hstack([]), RuntimeError, r"hstack\(\): expected a non-empty list"),
    "outer of a matrix": (lambda: cnn.outer(z(2), z(2, 2)), RuntimeError, "outer: expected 1-D argument vec2, got 2-D"),
    "tril of a vector": (lambda: cnn.tril(z(3)), RuntimeError, r"tril: .* at least 2 dimensions, got shape \[3\]"),
    "diag of a cube": (lambda: cnn.diag(z(2, 2, 2)), RuntimeError, "diag: expected a 1-D or 2-D tensor, got 3-D"),
    "meshgrid of a matrix": (lambda: cnn.meshgrid(z(2, 2)), RuntimeError, "meshgrid: expected 0-D or 1-D tensors"),
    "roll": (lambda: cnn.roll(z(3), 1, 4), IndexError, r"expected to be in range of \[-1, 0\], but got 4"),
    "kthvalue": (lambda: z(3).kthvalue(7), RuntimeError, "k is 7, dimension 0 has size 3"),
    "linspace": (lambda: cnn.linspace(0, 1, -2), RuntimeError, "number of steps must be non-negative, got -2"),
    "eye": (lambda: cnn.eye(2, -1), RuntimeError, "eye: m must be greater or equal to 0, got -1"),
    "histc": (lambda: cnn.histc(z(3), 0), RuntimeError, "histc: bins must be > 0, got 0"),
    "bincount of floats": (lambda: cnn.bincount(z(3)), RuntimeError, "got torch.float32 of shape"),
    "bincount below zero": (lambda: cnn.bincount(cnn.tensor([2, -1])), RuntimeError, "got a -1"),
    "bits of a float": (lambda: (z(2) > 0) & z(2), RuntimeError, '"bitwise_and_cpu" not implemented for .Float.'),
    "einsum sizes": (lambda: cnn.einsum("ij,jk->ik", z(2, 3), z(2, 3)), ValueError, "j has size 2 for operand 1 which"),
    "einsum subscripts": (lambda: cnn.einsum("ij->i", z(2)), ValueError, r"in the equation \(2\) does not match"),
    "einsum operands": (lambda: cnn.einsum("i,i->i", z(2)), RuntimeError, "the equation has 2 operands, got 1"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_refused_is_named(mistake):
    call, error, says = REFUSED[mistake]
    with pytest.raises(error, match=says):
        call()


@needs_torch
@pytest.mark.parametrize("mistake", REFUSED)
def test_torch_refuses_it_too(mistake, monkeypatch):
    call = REFUSED[mistake][0]
    monkeypatch.setitem(call.__globals__, "cnn", torch)
    monkeypatch.setitem(call.__globals__, "z", torch.zeros)
    with pytest.raises((TypeError, RuntimeError, ValueError, IndexError)):
        call()


@pytest.mark.parametrize("sizes", [(1, 2**62), (0, 2**62), (2**40, 2**40), (-1, 2)])
def test_what_is_too_large_to_repeat(sizes):
    for call in (lambda: z(2, 2).repeat(*sizes), lambda: z(2, 2).tile(sizes)):
        with pytest.raises(RuntimeError, match="Storage size calculation overflowed|negative dimension -2"):
            call()


F = cnn.nn.functional
PUBLIC = {f"cnn.{name}": f for name, f in cnn.ops.FUNCTIONS.items()}
PUBLIC |= {f"F.{name}": f for name, f in vars(F).items() if callable(f) and not name.startswith("_")}


@pytest.mark.parametrize("value", [5, None, [1.0, 2.0], np.ones(3)], ids=["int", "None", "list", "array"])
@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.endswith("_")])
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_tensor_is_named(name, value):
    """No message is about an attribute of our own, as `'int' object has no attribute '_a'`."""
    try:
        PUBLIC[name](value)
    except AttributeError as error:
        assert "'_a'" not in str(error)
        assert name in ("cnn.from_dlpack", "cnn.einsum")
    except Exception:
        return


def test_the_argument_that_is_no_tensor_is_named():
    with pytest.raises(TypeError, match=r"sqrt\(\): argument 'input' \(position 1\) must be Tensor, not int"):
        cnn.sqrt(2)
    with pytest.raises(TypeError, match=r"gather\(\): argument 'index' \(position 3\) must be Tensor, not list"):
        cnn.gather(z(2), 0, index=[1])
    with pytest.raises(TypeError, match=r"relu\(\): argument 'input' \(position 1\) must be Tensor, not NoneType"):
        F.relu(None)
