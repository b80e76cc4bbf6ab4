"""batch_norm and its layers against NumPy and torch."""

import math

import numpy as np
import pytest
from harness import (
    assert_close,
    channels_last,
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import _cnn, nn
from cnn.nn.batch_norm import BatchNorm1d, BatchNorm2d, batch_norm
from cnn.tensor import Tensor

SHAPES = [
    (4, 3),
    (5, 33),
    (2, 1, 1, 3),
    (7, 4, 6),
    (3, 2, 5, 4),
    (2, 17, 3, 3),
    (1, 3, 4, 4),
    (2, 3, 2, 3, 2),
    (300, 20),
]


def random_case(seed):
    """input, weight, bias, running_mean, running_var, and the other arguments."""
    random = rng(seed)
    shape = SHAPES[random.integers(len(SHAPES))]
    C = shape[1]
    x = random.standard_normal(shape) * random.uniform(0.1, 5) + random.uniform(-3, 3)
    affine, tracked = random.integers(2, size=2)
    training = bool(random.integers(2)) or not tracked
    weight, bias = (random.standard_normal(C), random.standard_normal(C)) if affine else (None, None)
    statistics = (random.standard_normal(C), random.uniform(0.5, 2, C)) if tracked else (None, None)
    arguments = {
        "training": training,
        "momentum": [0.1, 0.0, 1.0][random.integers(3)],
        "eps": [1e-5, 1e-2][random.integers(2)],
    }
    return x, weight, bias, *statistics, arguments


def reference(x, weight, bias, mean, var, training, momentum, eps):
    """y and the new running statistics, in float64."""
    axes = (0, *range(2, x.ndim))
    column = (1, -1) + (1,) * (x.ndim - 2)
    if training:
        batch_mean, batch_var, count = x.mean(axes), x.var(axes), x.size // x.shape[1]
        if mean is not None:
            mean = (1 - momentum) * mean + momentum * batch_mean
            var = (1 - momentum) * var + momentum * batch_var * count / (count - 1)
    else:
        batch_mean, batch_var = mean, var
    y = (x - batch_mean.reshape(column)) / np.sqrt(batch_var.reshape(column) + eps)
    if weight is not None:
        y = y * weight.reshape(column) + bias.reshape(column)
    return y, mean, var


def tensors(*arrays, kind=np.float64):
    return [None if a is None else cnn.from_numpy(a.astype(kind)) for a in arrays]


@pytest.mark.parametrize("seed", range(30))
def test_values(every_isa, seed):
    x, *arrays, arguments = random_case(seed)
    y, mean, var = reference(x, *arrays, **arguments)
    for kind, limit in ((np.float32, 5e-6), (np.float64, 1e-12)):
        for memory in (x, channels_last(x)) if x.ndim == 4 else (x,):
            weight, bias, running_mean, running_var = tensors(*arrays, kind=kind)
            t = Tensor._wrap(memory.astype(kind, order="K"))
            got = batch_norm(t, running_mean, running_var, weight, bias, **arguments)
            assert got._a.dtype == kind
            np.testing.assert_allclose(got._a, y, rtol=limit, atol=limit)
            if mean is not None:
                np.testing.assert_allclose(running_mean._a, mean, rtol=limit, atol=limit)
                np.testing.assert_allclose(running_var._a, var, rtol=limit, atol=limit)


def normalised(arguments, running_mean, running_var):
    """(x, weight, bias) -> y, with running statistics that do not remember the last call."""

    def f(x, weight=None, bias=None):
        return batch_norm(x, *tensors(running_mean, running_var), weight, bias, **arguments)

    return f


@pytest.mark.parametrize("seed", range(25))
def test_gradients(every_isa, seed):
    x, weight, bias, mean, var, arguments = random_case(seed + 100)
    f = normalised(arguments, mean, var)
    affine = [] if weight is None else [weight, bias]
    check_gradients(f, x, *affine)
    if x.ndim == 4:
        last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        check_gradients(lambda x, *affine: f(x.permute(0, 3, 1, 2), *affine), last, *affine)


def relu_case(seed, kind):
    """Arrays for _cnn.batch_norm_*, such that many outputs lie at 0 or next to it, and some are NaN."""
    random = rng(seed)
    shape = [(6, 17, 5, 4), (40, 33), (3, 2, 9), (9, 64, 3, 3), (300, 3)][seed % 5]
    x = random.integers(-3, 4, shape) + random.integers(-1, 2, shape) * 1e-7
    bias = random.integers(-2, 3, shape[1]) * random.uniform(0.9, 1.1)
    weight = random.uniform(-2, 2, shape[1])
    x, dy, weight, bias = (a.astype(kind) for a in (x, random.standard_normal(shape), weight, bias))
    if seed % 3 == 0:
        x[0, 1] = np.nan
    if x.ndim == 4 and seed % 2:
        x, dy = channels_last(x), channels_last(dy)
    return x, dy, None if seed % 7 == 3 else weight, None if seed % 7 == 5 else bias


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_relu_in_the_same_pass(every_isa, seed, training, kind):
    """The same bits as batch_norm and relu one after the other, forward and backward."""
    x, dy, weight, bias = relu_case(seed, kind)
    C = x.shape[1]

    def forward(relu):
        running = np.full(C, 0.25, kind), np.full(C, 2, kind)
        return (*_cnn.batch_norm_forward(x, weight, bias, *running, training, 0.1, 1e-5, relu), *running)

    (y, mean, invstd, *running), fused = forward(False), forward(True)
    for a, b in zip((_cnn.relu_forward(y), mean, invstd, *running), fused, strict=True):
        np.testing.assert_array_equal(a, b)
    masked = _cnn.relu_backward(dy, y)
    assert 0 < (masked == 0).sum() < dy.size
    for want_dx, want_parameters in ((True, True), (True, False), (False, True)):
        wanted = (training, want_dx, want_parameters)
        plain = _cnn.batch_norm_backward(masked, x, weight, mean, invstd, *wanted, False, None)
        fused = _cnn.batch_norm_backward(dy, x, weight, mean, invstd, *wanted, True, bias)
        for a, b in zip(plain, fused, strict=True):
            np.testing.assert_array_equal(a, b)


@needs_torch
@pytest.mark.parametrize("seed", range(60))
def test_torch(seed):
    x, weight, bias, mean, var, arguments = random_case(seed + 200)
    affine = [] if weight is None else [weight, bias]

    def both(f, from_numpy, statistics):
        def g(x, weight=None, bias=None):
            running = [None if a is None else from_numpy(a.copy()).to(x.dtype) for a in (mean, var)]
            statistics.append(running)
            return f(x, *running, weight, bias, **arguments)

        return g

    ours, theirs = [], []
    check_against_torch(
        both(batch_norm, cnn.from_numpy, ours),
        both(torch.nn.functional.batch_norm, torch.from_numpy, theirs),
        x,
        *affine,
        terms=x.size // x.shape[1],
    )
    for a, b in zip(ours, theirs, strict=True):
        if mean is not None:
            assert_close(a[0]._a, b[0].numpy(), x.size // x.shape[1])
            assert_close(a[1]._a, b[1].numpy(), x.size // x.shape[1])


@needs_torch
@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": None},
        {"affine": False},
        {"track_running_stats": False},
        {"eps": 0.1, "momentum": 0.5},
        {"bias": False},
    ],
)
def test_layer_beside_torch(options, order):
    """Five training steps and an evaluation: outputs, gradients and every buffer."""
    ours, theirs = BatchNorm2d(5, **options), torch.nn.BatchNorm2d(5, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for step in range(6):
        if step == 5:
            ours.eval()
            theirs.eval()
        x = rng(step).standard_normal((3, 5, 4, 6)).astype(np.float32) * (step + 1)
        a, b = Tensor._wrap(order(x)).requires_grad_(True), torch.from_numpy(x.copy()).requires_grad_(True)
        dy = rng(step + 10).standard_normal(x.shape).astype(np.float32)
        y, u = ours(a), theirs(b)
        y.backward(cnn.from_numpy(dy))
        u.backward(torch.from_numpy(dy))
        assert_close(y._a, u.detach().numpy(), 72)
        assert_close(a.grad._a, b.grad.numpy(), 72)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert_close(p.grad._a, q.grad.numpy(), 72 * (step + 1), name)
        for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            assert_close(p._a, q.numpy(), 72, name)


@pytest.mark.parametrize("kind, noise, limit", [(np.float32, 1e-2, 2e-2), (np.float64, 1e-5, 1e-4)])
@pytest.mark.parametrize("shape", [(64, 3, 8, 8), (4096, 3)])
def test_small_variance_on_a_large_mean(every_isa, kind, noise, limit, shape):
    """Sums of squares would lose it: 1e4 squared has no room for (1e-2) squared in float32."""
    x = (rng(0).standard_normal(shape) * noise + 1e4).astype(kind)
    y = batch_norm(cnn.from_numpy(x), None, None, training=True, eps=1e-20)._a
    exact = x.astype(np.longdouble)
    axes = (0, *range(2, x.ndim))
    expected = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True))
    assert abs(y - expected).max() < limit * abs(expected).max()
    assert abs(y.var(axes) - 1).max() < limit


def test_constant_channel_gives_zero(every_isa):
    for shape in [(8, 3), (4, 3, 5, 5)]:
        for value in (0.1, -1e6, 3e38):
            x = np.full(shape, value, np.float32)
            assert (batch_norm(cnn.from_numpy(x), None, None, training=True)._a == 0).all()


@pytest.mark.parametrize("shape", [(6, 2), (3, 2, 2, 2)])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_stay_in_their_channel(every_isa, shape, place, value):
    x = rng(1).standard_normal(shape).astype(np.float32)
    x[place, 0] = value
    mean, var = cnn.zeros(2), cnn.ones(2)
    t = cnn.from_numpy(x).requires_grad_(True)
    y = batch_norm(t, mean, var, training=True)
    y.backward(cnn.ones(y.shape))
    assert np.isnan(y._a[:, 0]).all() and np.isfinite(y._a[:, 1]).all()
    assert np.isnan(t.grad._a[:, 0]).all() and np.isfinite(t.grad._a[:, 1]).all()
    assert np.isnan(var._a[0]) and np.isfinite(var._a[1])
    np.testing.assert_equal(mean._a[0], np.float32(value))


@pytest.mark.parametrize("training", [True, False])
def test_memory(every_isa, training):
    x = rng(2).standard_normal((3, 5, 4, 6)).astype(np.float32)
    dy, weight = rng(3).standard_normal(x.shape).astype(np.float32), rng(4).standard_normal(5).astype(np.float32)

    def run(x, dy, weight):
        t, w = Tensor._wrap(x).requires_grad_(True), Tensor._wrap(weight).requires_grad_(True)
        y = batch_norm(t, cnn.zeros(5), cnn.ones(5), w, training=training)
        y.backward(Tensor._wrap(dy))
        return [y, t.grad, w.grad]

    # planes and channels last sum in another order: the same bits only within one memory order
    plain, last = run(x, dy, weight), run(channels_last(x), dy, weight)
    for a, b in zip(plain, last, strict=True):
        np.testing.assert_allclose(a._a, b._a, rtol=1e-5, atol=1e-5)
    assert last[0]._a.strides == last[1]._a.strides == channels_last(x).strides
    check_memory_variants(run, x, dy, weight, index=1)
    check_memory_variants(run, x, dy, weight, index=2)
    rows = x.reshape(-1, 5)
    check_memory_variants(run, rows, dy.reshape(-1, 5), weight)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(3000, 70), (9, 21, 40, 30), (1, 5, 200, 200), (64, 300, 2)])
def test_threads(every_isa, shape, training):
    x, dy = (rng(seed).standard_normal(shape).astype(np.float32) for seed in (5, 6))

    def run():
        C = shape[1]
        mean, var, weight, bias = cnn.zeros(C), cnn.ones(C), cnn.ones(C), cnn.zeros(C)
        t, w, b = cnn.from_numpy(x).requires_grad_(True), weight.requires_grad_(True), bias.requires_grad_(True)
        y = batch_norm(t, mean, var, w, b, training=training)
        y.backward(cnn.from_numpy(dy))
        return [y, t.grad, w.grad, b.grad, mean, var]

    check_threads(run)


def test_empty_batch(every_isa):
    layer = BatchNorm2d(3)
    x = cnn.zeros((0, 3, 4, 4), requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad.tolist() == layer.bias.grad.tolist() == [0, 0, 0] and x.grad.shape == (0, 3, 4, 4)
    assert layer.running_mean.tolist() == [0, 0, 0] and layer.running_var.tolist() == [1, 1, 1]
    assert layer.eval()(x).shape == (0, 3, 4, 4)


def test_out_of_memory_leaves_the_running_statistics(every_isa):
    x, mean, var = cnn.from_numpy(rng(7).standard_normal((300, 70))), cnn.zeros(70).double(), cnn.ones(70).double()
    failures = 0
    while True:
        cnn._cnn.fail_allocation_after(failures)
        try:
            batch_norm(x, mean, var, training=True)
            break
        except MemoryError:
            failures += 1
            assert mean._a.any() == np.False_ and (var._a == 1).all()
        finally:
            cnn._cnn.fail_allocation_after(-1)
    assert failures >= 6 and mean._a.all()


def test_layers():
    x = cnn.from_numpy(rng(7).standard_normal((6, 4, 5)).astype(np.float32))
    layer = BatchNorm1d(4)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert layer.num_batches_tracked.shape == () and layer.num_batches_tracked.dtype is cnn.int64
    y = layer(x)
    assert abs(y._a.mean((0, 2))).max() < 1e-6 and abs(y._a.std((0, 2)) - 1).max() < 1e-3
    assert layer(x[:, :, 0]).shape == (6, 4) and layer.num_batches_tracked.item() == 2
    layer.eval()
    before = layer.running_mean.tolist()
    assert layer(x[:1]).shape == (1, 4, 5) and layer.running_mean.tolist() == before
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0] * 4 and layer.num_batches_tracked.item() == 0
    assert (
        repr(BatchNorm2d(3))
        == "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    )
    assert nn.BatchNorm3d(2)(cnn.zeros(2, 2, 2, 2, 2)).shape == (2, 2, 2, 2, 2)


def test_old_state_dict_has_no_counter():
    layer = BatchNorm2d(3)
    state = {k: v for k, v in layer.state_dict().items() if k != "num_batches_tracked"}
    layer.load_state_dict(state)
    assert layer.num_batches_tracked.item() == 0


def test_changed_input_is_noticed():
    x = cnn.ones((3, 2), requires_grad=True) * 1
    y = batch_norm(x, None, None, training=True)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


ONE = r"Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 3"
ERRORS = [
    (lambda: BatchNorm1d(3)(cnn.zeros(1, 3)), ValueError, ONE),
    (lambda: BatchNorm2d(3)(cnn.zeros(1, 3, 1, 1)), ValueError, ONE),
    (lambda: BatchNorm2d(3)(cnn.zeros(2, 3)), ValueError, r"expected 4D input \(got 2D input"),
    (lambda: BatchNorm1d(3)(cnn.zeros(2, 3, 4, 4)), ValueError, r"expected 2D or 3D input \(got 4D input"),
    (lambda: BatchNorm2d(3)(cnn.zeros(2, 4, 3, 3)), RuntimeError, "running_mean should contain 4 elements not 3"),
    (lambda: BatchNorm1d(3)(cnn.zeros(4, 5)), RuntimeError, "running_mean should contain 5 elements not 3"),
    (
        lambda: BatchNorm2d(3)(cnn.zeros(2, 3, 4, 4).double()),
        TypeError,
        "batch_norm: running_mean must be float64, got float32",
    ),
    (lambda: batch_norm(cnn.zeros(2, 3), None, None), ValueError, "must be defined in evaluation mode"),
    (lambda: batch_norm(cnn.zeros(2, 3), cnn.zeros(3), None, training=True), ValueError, "must either both be None"),
    (
        lambda: batch_norm(cnn.zeros(2, 3), None, None, cnn.ones(2), training=True),
        ValueError,
        "weight should contain 3",
    ),
    (lambda: batch_norm(cnn.zeros(3), None, None, training=True), ValueError, "input must have at least 2 dimensions"),
    (
        lambda: batch_norm(cnn.zeros(2, 3), None, None, training=True, eps=0),
        ValueError,
        "eps must be positive during training",
    ),
    (
        lambda: batch_norm(cnn.zeros(2, 3).long(), None, None, training=True),
        TypeError,
        "input must be float32 or float64, got int64",
    ),
]


@pytest.mark.parametrize("f, error, message", ERRORS)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        f()


def test_what_comes_back_along_a_constant_and_along_the_normalised_input():
    """docs/layers/batch_norm.md: nothing, and g dgamma eps / (var + eps)."""
    eps, random = 0.5, np.random.default_rng(7)
    x = cnn.tensor(random.standard_normal((4, 3, 5, 5)), requires_grad=True)
    weight = cnn.tensor([0.5, 2.0, -1.0], dtype=cnn.float64, requires_grad=True)
    dy = random.standard_normal((4, 3, 5, 5))
    batch_norm(x, None, None, weight, training=True, eps=eps).backward(cnn.tensor(dy))
    a, dx = x.detach().numpy(), x.grad.numpy()
    mean, var = a.mean((0, 2, 3), keepdims=True), a.var((0, 2, 3), keepdims=True)
    normalised = (a - mean) / np.sqrt(var + eps)
    g = weight.detach().numpy() / np.sqrt(var + eps).ravel()
    np.testing.assert_allclose(dx.sum((0, 2, 3)), 0, atol=1e-12)
    expected = g * weight.grad.numpy() * eps / (var.ravel() + eps)
    np.testing.assert_allclose((dx * normalised).sum((0, 2, 3)), expected, rtol=1e-9)
