"""cnn.linalg: values and gradients of factorisations and norms; what it refuses."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, rng, torch

import cnn

linalg = cnn.linalg
INF = float("inf")


def matrix(*shape, seed=0):
    """Well away from singular, with well separated singular values."""
    a = rng(seed).standard_normal(shape)
    k = min(shape[-2:])
    a[..., range(k), range(k)] += np.arange(2, k + 2) * 1.5
    return a


def positive(*shape):
    a = matrix(*shape)
    return a @ a.swapaxes(-1, -2) + np.eye(shape[-1])


SQUARE = [(3, 3), (2, 4, 4), (2, 1, 3, 3), (1, 1)]
ANY = [*SQUARE, (5, 3), (3, 5), (2, 4, 2)]

# What has a unique result, so that it can be compared with torch and differentiated as it is.
CASES = {
    "inv": (lambda t, a: t.linalg.inv(a), SQUARE, matrix),
    "det": (lambda t, a: t.linalg.det(a), SQUARE, matrix),
    "slogdet": (lambda t, a: t.linalg.slogdet(a)[1], SQUARE, matrix),
    "cholesky": (lambda t, a: t.linalg.cholesky(a @ a.mT + 3 * t.eye(a.shape[-1], dtype=a.dtype)), SQUARE, matrix),
    "cholesky upper": (lambda t, a: t.linalg.cholesky(a @ a.mT, upper=True), SQUARE, matrix),
    "eigh": (lambda t, a: t.linalg.eigh(a @ a.mT)[0], SQUARE, matrix),
    "eigenvectors": (lambda t, a: t.linalg.eigh(a @ a.mT)[1].abs(), SQUARE, matrix),
    "eigvalsh of the upper triangle": (lambda t, a: t.linalg.eigvalsh(a + a.mT, UPLO="U"), SQUARE, matrix),
    "svd": (lambda t, a: [x.abs() for x in t.linalg.svd(a, full_matrices=False)], ANY, matrix),
    "svdvals": (lambda t, a: t.linalg.svdvals(a), ANY, matrix),
    "qr": (lambda t, a: [x.abs() for x in t.linalg.qr(a)], ANY, matrix),
    "qr, complete": (lambda t, a: [x.abs() for x in t.linalg.qr(a, "complete")], [*SQUARE, (3, 5)], matrix),
    "pinv": (lambda t, a: t.linalg.pinv(a), ANY, matrix),
    "pinv, rank 2": (lambda t, a: t.linalg.pinv(a[..., :2] @ a[..., :2, :], rtol=1e-5), [(4, 4), (2, 5, 3)], matrix),
    "pinv, hermitian": (lambda t, a: t.linalg.pinv(a @ a.mT, hermitian=True), SQUARE, matrix),
    "cond": (lambda t, a: t.linalg.cond(a), ANY, matrix),
    "cond, -2": (lambda t, a: t.linalg.cond(a, -2), ANY, matrix),
    "cond, 1": (lambda t, a: t.linalg.cond(a, 1), SQUARE, matrix),
    "cond, nuc": (lambda t, a: t.linalg.cond(a, "nuc"), SQUARE, matrix),
    **{
        f"matrix_norm {p}": (lambda t, a, p=p: t.linalg.matrix_norm(a, p, keepdim=p == 1), ANY, matrix)
        for p in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)
    },
    **{
        f"vector_norm {p}": (lambda t, a, p=p: t.linalg.vector_norm(a, p, dim=-1), ANY, matrix)
        for p in (0, 0.5, 1, 1.5, 2, 3, -1, INF, -INF)
    },
    "norm of everything": (lambda t, a: t.linalg.norm(a), ANY, matrix),
    "norm nuc over dim": (lambda t, a: t.norm(a, "nuc", dim=(-1, -2)), ANY, matrix),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    f, shapes, make = CASES[name]
    for shape in shapes:
        a = make(*shape)
        if torch is not None and name != "cond, 1":  # torch 2.13 cannot go back through its own result there
            check_against_torch(lambda x: f(cnn, x), lambda x: f(torch, x), a, types=(np.float64,))
        if name != "vector_norm 0":
            check_gradients(lambda x: f(cnn, x), a)


SOLVES = [
    ((3, 3), (3,)),
    ((3, 3), (3, 2)),
    ((2, 3, 3), (3, 2)),
    ((3, 3), (2, 3, 1)),
    ((2, 3, 3), (2, 3)),
    ((0, 3, 3), (3, 2)),
]


@pytest.mark.parametrize("a, b", SOLVES)
def test_solve(a, b):
    a, b = matrix(*a), rng(1).standard_normal(b)
    x = linalg.solve(cnn.from_numpy(a), cnn.from_numpy(b))
    if a.size:
        check_gradients(linalg.solve, a, b)
        assert np.allclose(
            (a @ x.numpy()[..., None] if b.ndim < 2 or x.ndim < a.ndim else a @ x.numpy()).squeeze(), b.squeeze()
        )
    if torch is not None:
        check_against_torch(linalg.solve, torch.linalg.solve, a, b, types=(np.float64,))


def test_solve_from_the_right():
    a, b = matrix(3, 3), rng(1).standard_normal((2, 3))
    assert np.allclose(linalg.solve(cnn.from_numpy(a), cnn.from_numpy(b), left=False).numpy() @ a, b)
    check_gradients(lambda x, y: linalg.solve(x, y, left=False), a, b)


def test_norms_of_a_matrix():
    a = cnn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert linalg.norm(a, 2).item() == pytest.approx(5.46498570421904)
    assert linalg.norm(a, -2).item() == pytest.approx(0.365966190626257)
    assert (linalg.norm(a, 1).item(), linalg.norm(a, INF).item()) == (6, 7)
    assert (linalg.norm(a, -1).item(), linalg.norm(a, -INF).item()) == (4, 3)
    assert linalg.norm(a).item() == pytest.approx(30**0.5)


def test_pseudo_inverse_of_a_singular_float32_matrix():
    a = cnn.tensor([[1.0, 2.0], [2.0, 4.0]])
    assert np.allclose(linalg.pinv(a).numpy(), [[0.04, 0.08], [0.08, 0.16]], atol=1e-6)
    assert linalg.matrix_rank(a).item() == 1


def test_determinant_of_a_singular_matrix_has_a_gradient():
    a = cnn.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=cnn.float64, requires_grad=True)
    linalg.det(a).backward()
    assert np.allclose(a.grad.numpy(), [[4, -2], [-2, 1]])  # the adjugate, transposed


ERRORS = [
    (lambda: linalg.inv(cnn.zeros(2, 2)), linalg.LinAlgError, "linalg.inv.*singular"),
    (lambda: linalg.solve(cnn.zeros(2, 2), cnn.ones(2)), linalg.LinAlgError, "linalg.solve.*singular"),
    (lambda: linalg.cholesky(-cnn.eye(2)), linalg.LinAlgError, "linalg.cholesky.*not positive-definite"),
    (lambda: linalg.svd(cnn.full((2, 2), float("nan"))), linalg.LinAlgError, "linalg.svd.*non-finite"),
    (lambda: linalg.inv(cnn.zeros(2, 3)), RuntimeError, "linalg.inv.*square"),
    (lambda: linalg.det(cnn.zeros(2)), RuntimeError, "linalg.det.*at least 2 dimensions"),
    (lambda: linalg.qr(cnn.ones(2, 2, dtype=cnn.int64)), RuntimeError, "linalg.qr.*floating point.*Long"),
    (lambda: linalg.qr(cnn.ones(2, 2), "full"), RuntimeError, "linalg.qr.*'full'"),
    (lambda: linalg.eig(cnn.ones(2, 2)), NotImplementedError, "linalg.eig.*complex"),
    (lambda: linalg.norm(cnn.ones(2, 2), "x"), RuntimeError, "linalg.matrix_norm: Order x"),
    (lambda: linalg.norm(cnn.ones(2, 2), 3), RuntimeError, "linalg.matrix_norm: Order 3"),
    (lambda: linalg.norm(cnn.ones(1, 2, 2), 2), RuntimeError, "must be 1D or 2D. Got 3D"),
    (lambda: linalg.vector_norm(cnn.ones(0), -1), RuntimeError, "vector_norm.*empty"),
    (lambda: linalg.matrix_norm(cnn.ones(2, 2), 1, (0, 0)), RuntimeError, "dims must be different"),
    (lambda: linalg.solve(cnn.eye(2), cnn.ones(3)), RuntimeError, r"linalg.solve.*AX = B \(\[2, 2\] and \[3\]\)"),
]


@pytest.mark.parametrize("call, kind, text", ERRORS)
def test_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_mode_r_has_no_gradient():
    a = cnn.eye(2).requires_grad_()
    with pytest.raises(RuntimeError, match="linalg.qr.*mode='reduced'"):
        linalg.qr(a, "r")[1].sum().backward()


def test_results_print_as_torchs():
    assert (
        repr(linalg.slogdet(cnn.eye(2)))
        == "torch.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(0.))"
    )


EINSUMS = {
    "ellipsis": ("...ij,...jk->...ik", (2, 3, 4), (4, 2)),
    "ellipsis, implicit": ("...i,i", (2, 3, 4), (4,)),
    "ellipsis summed": ("i...->i", (2, 3, 4)),
    "trace": ("ii", (3, 3)),
    "diagonal": ("ijj->ij", (2, 3, 3)),
    "three": ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 2)),
    "size one broadcasts": ("ij,ij->i", (2, 3), (2, 1)),
    "a letter for one operand only": ("ij,k->j", (2, 3), (4,)),
    "transposed, implicit": ("ba", (2, 3)),
}


@pytest.mark.parametrize("name", EINSUMS)
def test_einsum(name):
    equation, *shapes = EINSUMS[name]
    arrays = [rng(i).standard_normal(shape) for i, shape in enumerate(shapes)]
    check_gradients(lambda *x: cnn.einsum(equation, *x), *arrays)
    check_against_torch(lambda *x: cnn.einsum(equation, *x), lambda *x: torch.einsum(equation, *x), *arrays)


def test_einsum_of_lists():
    a, b = rng(0).standard_normal((2, 3)), rng(1).standard_normal((3, 4))
    x, y = cnn.from_numpy(a), cnn.from_numpy(b)
    assert np.allclose(cnn.einsum(x, [0, 1], y, [1, 2], [0, 2]).numpy(), a @ b)
    assert np.allclose(cnn.einsum(x, [..., 1], y, [1, 2]).numpy(), a @ b)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: cnn.einsum("ij->k", cnn.ones(2, 2)), "output subscript k does not appear"),
        (lambda: cnn.einsum("ij->ii", cnn.ones(2, 2)), "output subscript i appears more than once"),
        (lambda: cnn.einsum("i-j", cnn.ones(2, 2)), "invalid subscript given: '-'"),
        (lambda: cnn.einsum("ii", cnn.ones(2, 3)), "subscript i is repeated, but the sizes don't match, 2 != 3"),
        (lambda: cnn.einsum("ij..", cnn.ones(2, 3)), "not part of a single ellipsis"),
        (lambda: cnn.inner(cnn.ones(2), cnn.ones(3)), r"inner\(\) the last dimension must match"),
        (lambda: cnn.tensordot(cnn.ones(2, 3), cnn.ones(4), 1), "first has size 3 in dim 1 and second has size 4"),
        (lambda: cnn.tensordot(cnn.ones(2, 3), cnn.ones(3), 2), "tensordot expects dims"),
    ],
)
def test_refusals_of_products(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()
