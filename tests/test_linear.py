"""linear against NumPy and torch, in every instruction set, and the errors it gives."""

import numpy as np
import pytest
from harness import (
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import _cnn, nn
from cnn.errors import DTypeError, ShapeError
from cnn.nn.linear import linear

# (leading dimensions, in, out): batches around the few-row paths and the tile sizes, widths around the vectors.
SHAPES = [
    ((1,), 1, 1),
    ((2,), 3, 5),
    ((), 7, 4),
    ((0,), 6, 3),
    ((5, 0, 2), 6, 3),
    ((4,), 400, 120),
    ((4,), 84, 10),
    ((2, 3), 17, 33),
    ((2, 2, 2), 8, 16),
    ((13,), 64, 31),
    ((16,), 129, 65),
    ((17,), 130, 63),
    ((25,), 70, 97),
    ((128,), 300, 10),
    ((150,), 40, 70),
    ((5,), 0, 3),
    ((5,), 3, 0),
]
# Large enough to be cut into several chunks, along every direction in turn (chunks, K blocks, K splits).
LARGE = [((3,), 5000, 1100), ((40,), 3000, 400), ((700,), 300, 260), ((6000,), 40, 24)]


def integers(seed, *shape):
    return rng(seed).integers(-4, 5, shape)


def reference(x, w, b, dy):
    """y, dx, dw, db by NumPy."""
    y = x @ w.T + (0 if b is None else b)
    x2, dy2 = x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1]), dy.reshape(int(np.prod(dy.shape[:-1])), dy.shape[-1])
    return y, dy @ w, dy2.T @ x2, dy2.sum(0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("lead", "c", "oc"), SHAPES + LARGE)
def test_exact(every_isa, lead, c, oc, bias):
    if every_isa == "plain" and (lead, c, oc) in LARGE:
        pytest.skip("the plain layer has no paths of its own for large sizes")
    x, w, b, dy = integers(1, *lead, c), integers(2, oc, c), integers(3, oc), integers(4, *lead, oc)
    y, dx, dw, db = reference(x, w, b if bias else None, dy)
    arguments = (x, w, b) if bias else (x, w)
    check_exact(lambda *a: linear(*map(cnn.from_numpy, a)), y, *arguments)
    check_exact(lambda dy, x, w: _cnn.linear_backward(dy, x, w, True, True, True), [dx, dw, db], dy, x, w)


def test_random_exact(every_isa):
    """Random sizes, all passes, at one go: every bit."""
    random = rng(5)
    for _ in range(40):
        n, c, oc = (int(random.integers(0, top)) for top in (60, 90, 90))
        x, w, b, dy = (random.integers(-4, 5, s) for s in ((n, c), (oc, c), (oc,), (n, oc)))
        y, dx, dw, db = reference(x, w, b, dy)
        check_exact(_cnn.linear_forward, y, x, w, b)
        check_exact(lambda *a: _cnn.linear_backward(*a, True, True, True), [dx, dw, db], dy, x, w)


@pytest.mark.parametrize(("lead", "c", "oc"), [s for s in SHAPES if s[0] not in ((0,), (5, 0, 2)) and s[1] and s[2]])
def test_gradients(every_isa, lead, c, oc):
    random = rng(6)
    x, w, b = random.standard_normal((*lead, c)), random.standard_normal((oc, c)), random.standard_normal(oc)
    check_gradients(linear, x, w, b)
    check_gradients(linear, x, w)


@needs_torch
def test_torch(every_isa):
    random = rng(7)
    for case in range(30):
        lead = tuple(int(n) for n in random.integers(0, 6, random.integers(0, 4)))
        if case % 3 == 0:
            lead = (int(random.integers(0, 140)),)
        c, oc = int(random.integers(1, 300)), int(random.integers(1, 70))
        x, w, b = random.standard_normal((*lead, c)), random.standard_normal((oc, c)), random.standard_normal(oc)
        terms = max(c, oc, int(np.prod(lead)))
        check_against_torch(linear, torch.nn.functional.linear, x, w, b, terms=terms, seed=case)
        check_against_torch(linear, torch.nn.functional.linear, x, w, terms=terms, seed=case)


@needs_torch
def test_one_dimensional_weight():
    random = rng(8)
    x, w, b = random.standard_normal((3, 4, 5)), random.standard_normal(5), np.asarray(random.standard_normal())
    check_against_torch(linear, torch.nn.functional.linear, x, w, b, terms=5)


def test_memory(every_isa):
    random = rng(9)
    x, w, b = (random.standard_normal(s).astype(np.float32) for s in ((6, 20), (9, 20), (9,)))
    dy = random.standard_normal((6, 9)).astype(np.float32)
    for index in range(3):
        check_memory_variants(_cnn.linear_forward, x, w, b, index=index)
        check_memory_variants(lambda *a: _cnn.linear_backward(*a, True, True, True), dy, x, w, index=index)


def test_only_what_is_wanted():
    random = rng(10)
    x, w, dy = random.standard_normal((6, 4)), random.standard_normal((3, 4)), random.standard_normal((6, 3))
    everything = _cnn.linear_backward(dy, x, w, True, True, True)
    for number in range(8):
        wants = [bool(number & 1), bool(number & 2), bool(number & 4)]
        for want, got, full in zip(wants, _cnn.linear_backward(dy, x, w, *wants), everything, strict=True):
            assert np.array_equal(got, full) if want else got is None


@pytest.mark.parametrize(("n", "c", "oc"), [(1, 4096, 512), (16, 4096, 512), (128, 1024, 512), (3000, 300, 84)])
def test_threads(n, c, oc):
    random = rng(11)
    x, w, b, dy = (random.standard_normal(s).astype(np.float32) for s in ((n, c), (oc, c), (oc,), (n, oc)))
    check_threads(lambda: [_cnn.linear_forward(x, w, b), *_cnn.linear_backward(dy, x, w, True, True, True)])


def test_long_sums_are_accurate(every_isa):
    """Sums are made block by block: 100,000 terms in float32 stay within a few units of the last place."""
    random = rng(12)
    x, w = (random.random(s).astype(np.float32) for s in ((20, 100_000), (3, 100_000)))
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    error = np.abs(_cnn.linear_forward(x, w, None) - exact).max() / exact.max()
    # The plain layer adds one product after the other.
    assert error < (2e-4 if every_isa == "plain" else 2e-6)


def test_not_finite(every_isa):
    x = np.ones((2, 20), np.float32)
    x[0, 19], x[1, 3] = np.inf, np.nan
    y = _cnn.linear_forward(x, np.ones((3, 20), np.float32), None)
    assert np.isposinf(y[0]).all() and np.isnan(y[1]).all()


class TestModule:
    def test_like_torch(self):
        layer = nn.Linear(3, 2)
        assert repr(layer) == "Linear(in_features=3, out_features=2, bias=True)"
        assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"
        assert [(k, tuple(v.shape)) for k, v in layer.named_parameters()] == [("weight", (2, 3)), ("bias", (2,))]
        assert nn.Linear(3, 2, bias=False).bias is None
        assert nn.Linear(3, 2, dtype=cnn.float64).weight.dtype == cnn.float64
        with pytest.warns(UserWarning, match="zero-element"):
            assert nn.Linear(0, 2)(cnn.zeros(4, 0)).shape == (4, 2)

    def test_initial_values(self):
        layer = nn.Linear(400, 300)
        for values in (layer.weight, layer.bias):
            assert 0.045 < np.abs(values._a).max() <= 0.05  # 1 / sqrt(400)
        assert abs(float(layer.weight._a.mean())) < 1e-3

    @needs_torch
    def test_same_values_as_torch_from_the_same_seed(self):
        cnn.manual_seed(3)
        torch.manual_seed(3)
        ours, theirs = nn.Linear(37, 21), torch.nn.Linear(37, 21)
        assert np.array_equal(ours.weight._a, theirs.weight.detach().numpy())
        assert np.array_equal(ours.bias._a, theirs.bias.detach().numpy())

    def test_names_in_the_graph(self):
        x = cnn.ones(2, 3)
        assert nn.Linear(3, 2)(x).grad_fn.name() == "AddmmBackward0"
        assert nn.Linear(3, 2, bias=False)(x).grad_fn.name() == "MmBackward0"


class TestErrors:
    @pytest.mark.parametrize(
        ("x", "w", "b", "message"),
        [
            (
                (2, 512),
                (10, 400),
                None,
                r"input has 512 features in its last dimension, but weight \(10, 400\) expects 400",
            ),
            ((2, 4), (3, 4), (7,), r"linear: bias has 7 values, but weight \(3, 4\) gives 3 outputs"),
            ((2, 4), (3, 4), (3, 1), r"linear: bias must have 1 dimensions, got shape \(3, 1\)"),
            ((2, 4), (3, 4, 1), None, r"linear: weight must have 2 dimensions, got shape \(3, 4, 1\)"),
            ((), (3, 4), None, r"linear: input must have at least one dimension, got a scalar"),
        ],
    )
    def test_shapes(self, x, w, b, message):
        x, w = cnn.ones(x), cnn.ones(w)
        for error in (ShapeError, ValueError, RuntimeError):
            with pytest.raises(error, match=message):
                linear(x, w, None if b is None else cnn.ones(b))

    def test_types(self):
        f32, f64 = cnn.ones(2, 3), cnn.ones(2, 3, dtype=cnn.float64)
        with pytest.raises(DTypeError, match=r"linear: input is float64, but weight is float32; convert .*\.float\(\)"):
            linear(f64, f32)
        with pytest.raises(DTypeError, match=r"linear: input is float32, but bias is float64"):
            linear(f32, f32, cnn.ones(2, dtype=cnn.float64))
        with pytest.raises(DTypeError, match=r"linear: input must be float32 or float64, got int64"):
            linear(cnn.ones(2, 3, dtype=cnn.int64), f32)

    def test_arrays(self):
        a = np.ones((2, 3), np.float32)
        with pytest.raises(TypeError, match="linear: weight must be an array, got list"):
            _cnn.linear_forward(a, [1.0], None)
        with pytest.raises(TypeError, match="linear: expected 3 arguments, got 2"):
            _cnn.linear_forward(a, a)
        with pytest.raises(ShapeError, match=r"grad_output must have .* 2 features, got \(2, 3\)"):
            _cnn.linear_backward(a, a, a, True, True, True)


def test_an_empty_batch_has_a_gradient_of_zeros(every_isa):
    """Also for a weight that several chunks share, whatever the memory held before."""
    for shape in ((700, 300), (3, 5)):
        (cnn.ones(shape) * 2).sum()
        layer = nn.Linear(*shape)
        layer(cnn.empty(0, shape[0])).sum().backward()
        assert not layer.weight.grad.numpy().any()
        assert not layer.bias.grad.numpy().any()
