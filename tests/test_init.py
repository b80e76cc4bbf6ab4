"""nn.init: the same values as torch from the same seed. Uniform draws agree in every bit, normal ones to rounding."""

import numpy as np
import pytest
from harness import needs_torch, torch

import cnn
from cnn.nn import init

SHAPES = [(4, 5), (16, 3), (8, 4, 3), (8, 4, 3, 3), (6, 8, 3, 5, 2), (1, 1), (40, 50)]
EXACT = {
    "uniform_": [{}, {"a": -2.0, "b": 0.5}],
    "constant_": [{"val": 0.25}],
    "ones_": [{}],
    "zeros_": [{}],
    "xavier_uniform_": [{}, {"gain": 1.7}],
    "kaiming_uniform_": [
        {},
        {"a": 5**0.5},
        {"mode": "fan_out", "nonlinearity": "relu"},
        {"nonlinearity": "tanh"},
    ],
}
ROUNDED = {
    "normal_": [{}, {"mean": 3.0, "std": 0.02}],
    "xavier_normal_": [{}, {"gain": 0.3}],
    "kaiming_normal_": [{}, {"mode": "fan_out", "nonlinearity": "relu"}, {"nonlinearity": "selu"}],
    "trunc_normal_": [{}, {"std": 0.02}, {"mean": 1.0, "std": 2.0, "a": 0.5, "b": 1.5}, {"a": 1.0, "b": 4.0}],
    "orthogonal_": [{}, {"gain": 2.0}],
}


def both(name, shape, options, kind, seed=7):
    cnn.manual_seed(seed)
    torch.manual_seed(seed)
    ours = cnn.zeros(*shape, dtype=getattr(cnn, kind))
    theirs = torch.zeros(*shape, dtype=getattr(torch, kind))
    assert getattr(init, name)(ours, **options) is ours
    getattr(torch.nn.init, name)(theirs, **options)
    # Whatever is drawn next must agree too: as many numbers were taken from the stream.
    assert cnn.rand(1).item() == torch.rand(1).item()
    return ours.numpy(), theirs.numpy()


@needs_torch
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", EXACT)
def test_same_bits_as_torch(name, shape, kind):
    for options in EXACT[name]:
        ours, theirs = both(name, shape, options, kind)
        assert ours.tobytes() == theirs.tobytes(), options


@needs_torch
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ROUNDED)
def test_same_draws_as_torch(name, shape, kind):
    for options in ROUNDED[name]:
        ours, theirs = both(name, shape, options, kind)
        limit = 4e-6 if kind == "float32" else 1e-12
        np.testing.assert_allclose(ours, theirs, limit, limit, err_msg=str(options))


@needs_torch
@pytest.mark.parametrize("shape", [(4, 5), (7, 3)])
def test_sparse_and_eye(shape):
    for sparsity in (0.0, 0.3, 1.0):
        ours, theirs = both("sparse_", shape, {"sparsity": sparsity, "std": 0.5}, "float64")
        np.testing.assert_allclose(ours, theirs, 1e-12)
        assert np.all((ours == 0).sum(0) == np.ceil(sparsity * shape[0]))
    ours, theirs = both("eye_", shape, {}, "float32")
    assert ours.tobytes() == theirs.tobytes()


@needs_torch
@pytest.mark.parametrize(
    ("shape", "groups"), [((6, 2, 3), 1), ((6, 2, 3, 3), 2), ((2, 6, 3, 5), 1), ((4, 2, 1, 2, 3), 4)]
)
def test_dirac(shape, groups):
    ours, theirs = both("dirac_", shape, {"groups": groups}, "float32")
    assert ours.tobytes() == theirs.tobytes()


def test_dirac_passes_channels_through():
    weight = init.dirac_(cnn.empty(3, 3, 3, 3))
    x = cnn.randn(2, 3, 5, 6)
    assert cnn.equal(cnn.nn.functional.conv2d(x, weight, padding=1), x)


@needs_torch
def test_writes_into_views():
    """Speed-run scripts start a part of a weight as the identity: init.dirac_(w[:n])."""
    ours, theirs = cnn.nn.Parameter(cnn.ones(5, 3, 3, 3)), torch.nn.Parameter(torch.ones(5, 3, 3, 3))
    init.dirac_(ours[:3])
    torch.nn.init.dirac_(theirs[:3])
    np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


def test_no_history_and_a_newer_version():
    weight = cnn.nn.Parameter(cnn.zeros(3, 4))
    version = weight._version
    for name in [*EXACT, *ROUNDED]:
        options = {"val": 1.0} if name == "constant_" else {}
        getattr(init, name)(weight, **options)
        assert weight.grad_fn is None
        assert weight.requires_grad
        assert weight._version > version
        version = weight._version


def test_generator():
    draws = []
    for _ in range(2):
        generator = cnn.Generator().manual_seed(3)
        draws.append([f(cnn.zeros(20, 20), generator=generator).tolist() for f in (init.uniform_, init.orthogonal_)])
    assert draws[0] == draws[1]


def test_orthogonal_is():
    for shape in ((3, 7), (7, 3), (4, 2, 3)):
        w = init.orthogonal_(cnn.empty(*shape, dtype=cnn.float64), gain=2.0).numpy().reshape(shape[0], -1)
        gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


@needs_torch
def test_gains():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)
    with pytest.raises(ValueError, match="negative_slope yes not a valid number"):
        init.calculate_gain("leaky_relu", "yes")
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        init.calculate_gain("swish")


def test_old_names_still_work():
    for name in ("uniform", "normal", "eye", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"):
        with pytest.warns(
            FutureWarning, match=rf"`nn\.init\.{name}` is now deprecated in favor of `nn\.init\.{name}_`"
        ):
            getattr(init, name)(cnn.zeros(3, 4))
    with pytest.warns(FutureWarning):
        assert init.constant(cnn.zeros(2), 3.0).tolist() == [3, 3]
    with pytest.warns(FutureWarning):
        init.dirac(cnn.zeros(2, 2, 3))
    with pytest.warns(FutureWarning):
        init.orthogonal(cnn.zeros(2, 2))
    with pytest.warns(FutureWarning):
        init.sparse(cnn.zeros(2, 2), 0.5)


MISTAKES = [
    (lambda: init.xavier_uniform_(cnn.zeros(3)), ValueError, "fewer than 2 dimensions"),
    (lambda: init.kaiming_normal_(cnn.zeros(3)), ValueError, "fewer than 2 dimensions"),
    (lambda: init.kaiming_normal_(cnn.zeros(3, 3), mode="fan"), ValueError, "Mode fan not supported"),
    (lambda: init.eye_(cnn.zeros(3)), ValueError, "Only tensors with 2 dimensions"),
    (lambda: init.sparse_(cnn.zeros(3), 0.5), ValueError, "Only tensors with 2 dimensions"),
    (lambda: init.dirac_(cnn.zeros(3, 3)), ValueError, "3, 4, or 5 dimensions"),
    (lambda: init.dirac_(cnn.zeros(3, 3, 3), groups=2), ValueError, "divisible by groups"),
    (lambda: init.orthogonal_(cnn.zeros(3)), ValueError, "2 or more dimensions"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_warnings():
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
        init.kaiming_uniform_(cnn.zeros(0, 3))
    with pytest.warns(UserWarning, match="more than 2 std from"):
        init.trunc_normal_(cnn.zeros(3), mean=9.0)
