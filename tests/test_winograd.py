"""Winograd's convolutions beside the plain layer in float64: all three passes, both orders of memory.

Errors are relative to the largest value. F(4x4,3x3) may take 2e-5, F(2x2,3x3) 2e-6; float64 rounds 1e-9 of that.
"""

import itertools

import numpy as np
import pytest
from harness import channels_last, check_gradients, check_threads, isas, rng

import cnn
import cnn.nn.functional as F
from cnn import _cnn
from cnn.backends import conv as settings

CODE = {name: number for number, name in enumerate(settings.ALGORITHMS)}
BOUND = {"winograd": 2e-5, "precise": 2e-6}
CHANNELS = [1, 3, 17, 32, 33, 64]

fast_isas = pytest.mark.parametrize("isa", [name for name in isas() if name != "plain"])
both = pytest.mark.parametrize("algorithm", ["winograd", "precise"])


@pytest.fixture
def isa_set(isa):
    _cnn.set_isa(isa)
    yield
    _cnn.set_isa(None)


def passes(x, w, b, dy, padding, algorithm):
    """y, dx, dw, db; padding is top, bottom, left, right."""
    geometry = (1, 1, *padding, 1, 1, 1, CODE[algorithm])
    y = _cnn.conv2d_forward(x, w, b, *geometry, 0, None)
    return y, *_cnn.conv2d_backward(dy, x, w, *geometry, True, True, True, False)


def case(seed, n, c, oc, h, w, padding=(1, 1, 1, 1)):
    random = rng(seed)
    top, bottom, left, right = padding
    shapes = (n, c, h, w), (oc, c, 3, 3), (oc,), (n, oc, h + top + bottom - 2, w + left + right - 2)
    return [random.uniform(-1, 1, s) for s in shapes], padding


def check(arrays, padding, algorithm, orders=((0, 0),), types=(np.float32, np.float64)):
    plain = passes(*arrays, padding, "plain")
    largest = [np.abs(p).max(initial=1e-30) for p in plain]
    # db is a sum of terms that may cancel: its error counts against what was added up.
    largest[3] = max(np.abs(arrays[3]).sum((0, 2, 3)).max(initial=1e-30), 1e-30)
    for kind, (x_last, dy_last) in itertools.product(types, orders):
        x, w, b, dy = (a.astype(kind) for a in arrays)
        x, dy = channels_last(x) if x_last else x, channels_last(dy) if dy_last else dy
        limit = BOUND[algorithm] * (1 if kind == np.float32 else 1e-8)
        results = passes(x, w, b, dy, padding, algorithm)
        for name, got, want, top in zip(("y", "dx", "dw", "db"), results, plain, largest, strict=True):
            assert got.shape == want.shape and got.dtype == kind
            error = np.abs(got - want).max(initial=0) / top
            assert error < limit, f"{name}, {kind.__name__}, x {x_last}, dy {dy_last}: error {error:.2e}"
    return plain


ORDERS = list(itertools.product((0, 1), (0, 1)))


@fast_isas
@both
@pytest.mark.parametrize("c", CHANNELS)
def test_channels(isa_set, isa, algorithm, c):
    for number, oc in enumerate(CHANNELS):
        check(*case(number, 2, c, oc, 7, 10), algorithm, orders=[ORDERS[number % 4]])


@fast_isas
@both
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_batches_and_orders(isa_set, isa, algorithm, n):
    check(*case(1, n, 33, 17, 9, 6), algorithm, orders=ORDERS)
    check(*case(2, n, 32, 64, 8, 8), algorithm, orders=ORDERS)


@fast_isas
@both
def test_sizes_and_padding(isa_set, isa, algorithm):
    """Every size from 1 up to three tiles, every padding, also uneven."""
    random = rng(3)
    for h, w in [(1, 1), (1, 9), (2, 3), (3, 2), (4, 4), (5, 7), (6, 13), (11, 8), (13, 5)]:
        for _ in range(3):
            padding = tuple(int(p) for p in random.integers(0, 3, 4))
            if h + padding[0] + padding[1] >= 3 and w + padding[2] + padding[3] >= 3:
                check(*case(4, 2, 5, 18, h, w, padding), algorithm, orders=[ORDERS[(h + w) % 4]])
        check(*case(5, 1, 16, 16, h, w, (2, 2, 2, 2)), algorithm, orders=[ORDERS[(h * w) % 4]])


@fast_isas
@both
@pytest.mark.parametrize(
    ("n", "c", "oc", "h"),
    [
        (3, 32, 32, 32),  # fused, several chunks
        (1, 64, 64, 16),  # one image: staged
        (2, 150, 130, 14),  # staged: too many channels for a second-level cache
        (40, 16, 16, 4),  # a tile an image
        (1, 16, 24, 70),  # long strips
    ],
)
def test_ways(isa_set, isa, algorithm, n, c, oc, h):
    check(*case(6, n, c, oc, h, h), algorithm, orders=[(1, 1)], types=[np.float32])


@fast_isas
@both
def test_few_tiles(isa_set, isa, algorithm):
    """Panels of output channels, from the filters to the pixels; channels that fill no vectors, whole and cut tiles."""
    check(*case(12, 1, 70, 61, 7, 6), algorithm, orders=ORDERS)
    check(*case(13, 2, 96, 64, 8, 4), algorithm, orders=ORDERS)
    (x, w, b, _), _ = case(14, 1, 70, 61, 7, 6)
    scale = rng(15).uniform(-2, 2, 61)
    y = _cnn.conv2d_forward(x, w, b, 1, 1, 1, 1, 1, 1, 1, 1, 1, CODE[algorithm], 1, scale)
    want = passes(x, w, np.zeros(61), np.zeros_like(y), (1, 1, 1, 1), "plain")[0] * scale[:, None, None]
    want = np.maximum(want + b[:, None, None], 0)
    assert np.abs(y - want).max() < 1e-9 * want.max()


@both
def test_several_staged_batches(algorithm):
    """More tiles than one batch of the staged way holds."""
    check(*case(7, 3, 128, 256, 40, 44), algorithm, orders=[(1, 1), (0, 1)], types=[np.float32])


@both
@pytest.mark.parametrize(
    ("n", "c", "oc", "h"),
    [(4, 32, 32, 32), (9, 17, 33, 13), (1, 64, 64, 16), (2, 150, 130, 14), (3, 128, 256, 40), (1, 70, 130, 7)],
)
def test_threads(algorithm, n, c, oc, h):
    arrays, padding = case(8, n, c, oc, h, h)
    x, w, b, dy = (a.astype(np.float32) for a in arrays)
    check_threads(lambda: passes(channels_last(x), w, b, channels_last(dy), padding, algorithm))


@both
def test_gradients(algorithm):
    settings.algorithm = algorithm
    try:
        random = rng(9)
        for c, oc, h, padding in [(3, 5, 6, 1), (17, 16, 9, 0), (16, 33, 5, 2), (32, 32, 8, 1)]:
            x, w = random.standard_normal((2, c, h, h + 1)), random.standard_normal((oc, c, 3, 3))
            check_gradients(lambda x, w, b, p=padding: F.conv2d(x, w, b, padding=p), x, w, random.standard_normal(oc))
    finally:
        settings.algorithm = "auto"


@fast_isas
def test_it_is_taken(isa_set, isa):
    """auto takes Winograd for a layer it suits, in float32 only; direct never does. The roundings tell."""
    for kind, taken in ((np.float32, True), (np.float64, False)):
        x, w, b, dy = (a.astype(kind) for a in case(10, 4, 32, 32, 16, 16)[0])
        results = {
            name: passes(x, w, b, dy, (1, 1, 1, 1), name)[0] for name in ("auto", "winograd", "direct", "precise")
        }
        assert np.array_equal(results["auto"], results["winograd" if taken else "direct"])
        assert not np.array_equal(results["winograd"], results["direct"])
        assert not np.array_equal(results["precise"], results["direct"])
        assert not np.array_equal(results["precise"], results["winograd"])


def patch_maxima(a, m):
    """For every pixel the largest value, over all channels, of the patch that its tile of m x m is computed from."""
    n, _, h, w = a.shape
    padded = np.pad(np.abs(a).max(1), ((0, 0), (1, m + 1), (1, m + 1)))
    result = np.zeros((n, 1, h, w))
    for i, j in itertools.product(range(0, h, m), range(0, w, m)):
        result[:, 0, i : i + m, j : j + m] = padded[:, i : i + m + 2, j : j + m + 2].max((1, 2))[:, None, None]
    return result


@fast_isas
@both
@pytest.mark.parametrize("kind", ["uniform", "positive", "one large pixel", "some large pixels"])
def test_the_bound_that_is_promised(isa_set, isa, algorithm, kind):
    """docs/engine.md: errors in units of u times the largest value of the patch times the sum of the weights."""
    m = 4 if algorithm == "winograd" else 2
    for c in (16, 96, 256):
        random = rng(c)
        low = 0 if kind == "positive" else -1
        x, w, dy = (random.uniform(low, 1, s) for s in ((2, c, 13, 12), (32, c, 3, 3), (2, 32, 13, 12)))
        if kind == "one large pixel":
            x[:, 1, 5, 6] = dy[:, 1, 5, 6] = 1e4
        elif kind == "some large pixels":
            x[random.random(x.shape) < 0.05] *= 1e4
            dy[random.random(dy.shape) < 0.05] *= 1e4
        x, w, dy = (a.astype(np.float32) for a in (x, w, dy))
        zeros = np.zeros(32, np.float32)
        got = passes(x, w, zeros, dy, (1, 1, 1, 1), algorithm)
        x, w, dy = (a.astype(np.float64) for a in (x, w, dy))
        want = passes(x, w, zeros.astype(np.float64), dy, (1, 1, 1, 1), "plain")
        bounds = {
            "y": patch_maxima(x, m) * np.abs(w).sum((1, 2, 3))[:, None, None],
            "dx": patch_maxima(dy, m) * np.abs(w).sum((0, 2, 3))[:, None, None],
            "dw": np.abs(x).max((0, 2, 3))[:, None, None] * np.abs(dy).sum((0, 2, 3))[:, None, None, None],
        }
        for number, (name, size) in enumerate(bounds.items()):
            error = (np.abs(got[number] - want[number]) / (2.0**-24 * size)).max()
            assert error <= (32 if name == "dw" else 16), f"{name}, {c} channels: {error:.1f} u"


def test_training_with_it_follows_the_direct_sum():
    """Thirty steps of a small net: the losses stay together."""

    def losses(algorithm):
        settings.algorithm = algorithm
        try:
            cnn.manual_seed(1)
            net = cnn.nn.Sequential(
                cnn.nn.Conv2d(3, 16, 3, padding=1), cnn.nn.ReLU(), cnn.nn.Conv2d(16, 32, 3, padding=1), cnn.nn.ReLU()
            )
            x, t = cnn.randn(8, 3, 16, 16), cnn.randn(8, 32, 16, 16)
            result = []
            for _ in range(30):
                loss = ((net(x) - t) ** 2).mean()
                net.zero_grad()
                loss.backward()
                with cnn.no_grad():
                    for p in net.parameters():
                        p -= 0.5 * p.grad
                result.append(float(loss))
            return np.array(result)
        finally:
            settings.algorithm = "auto"

    direct = losses("direct")
    assert direct[-1] < 0.99 * direct[0]
    for algorithm in ("winograd", "precise"):
        np.testing.assert_allclose(losses(algorithm), direct, rtol=1e-5)
