"""NaN and infinities in a convolution reach exactly the outputs and gradients that depend on them.

The reference is a sum over taps in float64 NumPy in which what lies outside of the image takes no part. Every way of
the engine must agree with it as to what is NaN, what is which infinity, and the finite values.
"""

import functools
import itertools

import numpy as np
import pytest
from harness import COUNTS, channels_last, check_threads, rng
from references import conv2d_passes

import cnn
import cnn.nn.functional as F
from cnn import _cnn
from cnn.backends import conv as settings

CODE = {name: number for number, name in enumerate(settings.ALGORITHMS)}
SPECIALS = (np.nan, np.inf, -np.inf)

# (name, N, C, OC, H, W, kernel, stride, padding, dilation, groups)
LAYERS = [
    ("3x3, many channels", 2, 32, 48, 12, 12, 3, 1, 1, 1, 1),
    ("3x3, odd sizes", 2, 17, 19, 9, 11, 3, 1, 1, 1, 1),
    ("3x3, no padding", 1, 16, 16, 10, 10, 3, 1, 0, 1, 1),
    ("3x3, padding 2", 1, 16, 20, 7, 6, 3, 1, 2, 1, 1),
    ("3x3, few channels", 2, 3, 6, 16, 16, 3, 1, 1, 1, 1),
    ("3x3, few tiles", 1, 96, 64, 4, 4, 3, 1, 1, 1, 1),
    ("5x5", 2, 3, 6, 10, 10, 5, 1, 2, 1, 1),
    ("5x5, many channels", 1, 16, 33, 10, 10, 5, 1, 2, 1, 1),
    ("7x7, larger than the image", 1, 3, 4, 4, 5, 7, 1, 3, 1, 1),
    ("3x3, stride 2", 2, 8, 12, 11, 10, 3, 2, 1, 1, 1),
    ("5x5, stride 3", 1, 3, 16, 13, 14, 5, 3, 2, 1, 1),
    ("3x3, dilation 2", 1, 6, 8, 11, 12, 3, 1, 2, 2, 1),
    ("1x1", 2, 17, 16, 6, 7, 1, 1, 0, 1, 1),
    ("1x1, stride 2", 1, 16, 8, 7, 7, 1, 2, 0, 1, 1),
    ("1x1 with padding", 1, 4, 6, 5, 5, 1, 1, 1, 1, 1),
    ("depthwise", 2, 16, 16, 9, 8, 3, 1, 1, 1, 16),
    ("depthwise, 5 channels, stride 2", 1, 5, 5, 9, 9, 3, 2, 1, 1, 5),
    ("depthwise, 5x5", 1, 17, 17, 8, 9, 5, 1, 2, 1, 17),
    ("groups of 4", 1, 32, 32, 8, 8, 3, 1, 1, 1, 8),
    ("groups of 3 to 5", 2, 6, 10, 8, 9, 3, 1, 1, 1, 2),
    ("few pixels", 1, 64, 128, 2, 2, 3, 1, 1, 1, 1),
]
NAMES = [layer[0] for layer in LAYERS]


def sizes(layer):
    _, n, c, oc, h, w, k, stride, padding, dilation, groups = layer
    oh, ow = ((s + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for s in (h, w))
    return (n, c, h, w), (oc, c // groups, k, k), (n, oc, oh, ow)


def reference(layer, x, w, b, dy):
    *_, stride, padding, dilation, groups = layer
    return conv2d_passes(x, w, b, dy, stride, padding, dilation, groups)


def places(shape):
    """Corners, edges, the last column and the inside of the last two axes, of different images and channels."""
    h, w = shape[2:]
    spots = {(0, 0), (0, w - 1), (h - 1, 0), (h - 1, w - 1), (h // 2, w - 1), (h - 1, w // 2), (h // 2, w // 2)}
    for number, (i, j) in enumerate(sorted(spots)):
        yield (number % shape[0], number * 5 % shape[1], i, j), SPECIALS[number % 3]


def spoilt(arrays):
    """The arrays with what is not finite in one of them: one value, an image, a channel, a filter, everything."""
    x, w, _, dy = arrays
    for number, array in ((0, x), (1, w), (3, dy)):
        cases = [(at, special) for at, special in places(array.shape)]
        cases += [((slice(0, 1),), np.nan), ((slice(None), slice(-1, None)), np.inf), ((...,), np.nan)]
        for at, special in cases:
            changed = list(arrays)
            changed[number] = array.copy()
            changed[number][at] = special
            yield (number, at, special), changed
    # several at once, of both signs
    changed = [a.copy() for a in arrays]
    changed[0][0, 0, 0, :] = (np.inf, -np.inf, *[1.0] * (x.shape[3] - 2))
    changed[1][0, 0, 0, 0] = np.inf
    changed[3][-1, -1, -1, -1] = -np.inf
    yield ("several",), changed


@functools.cache
def cases_of(name):
    layer = LAYERS[NAMES.index(name)]
    random = rng(NAMES.index(name))
    x, w, y = sizes(layer)
    arrays = [random.uniform(0.5, 1.5, s) * random.choice([-1, 1], s) for s in (x, w, (w[0],), y)]
    arrays = [a.astype(np.float32) for a in arrays]
    return [(what, changed, reference(layer, *changed)) for what, changed in spoilt(arrays)]


def same_kind(got, want, what, tolerance=1e-4):
    """Where want is finite got is as well, and close; elsewhere it is the same."""
    assert got.shape == want.shape
    finite = np.isfinite(want)
    wrong = (np.isfinite(got) != finite) | ~(finite | (got == want) | (np.isnan(got) & np.isnan(want)))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(f"{what}: {wrong.sum()} of {wrong.size}, first {at}: {got[at]}, reference {want[at]}")
    scale = np.abs(want[finite]).max(initial=1)
    error = np.abs(got[finite] - want[finite]).max(initial=0)
    assert error <= tolerance * scale, f"{what}: {error:.2e} of {scale:.2e}"


def geometry_of(layer, algorithm):
    _, *_, stride, padding, dilation, groups = layer
    return stride, stride, padding, padding, padding, padding, dilation, dilation, groups, CODE[algorithm]


def algorithms_of(layer):
    _, _, _, _, _, _, k, stride, _, dilation, groups = layer
    ways = ["auto", "direct", "channels", "planes"] if groups == 1 else ["auto", "channels", "planes"]
    return ways + (["winograd", "precise"] if (k, stride, dilation, groups) == (3, 1, 1, 1) else [])


@pytest.mark.parametrize("name", NAMES)
def test_reaches_what_depends_on_it(every_isa, name):
    layer = LAYERS[NAMES.index(name)]
    for number, (what, (x, w, b, dy), want) in enumerate(cases_of(name)):
        x_order, dy_order = ((channels_last if number >> i & 1 else np.copy) for i in (0, 1))
        for algorithm in algorithms_of(layer) if every_isa != "plain" else ["plain"]:
            geometry = geometry_of(layer, algorithm)
            y = _cnn.conv2d_forward(x_order(x), w, b, *geometry, 0, None)
            results = y, *_cnn.conv2d_backward(dy_order(dy), x_order(x), w, *geometry, True, True, True, False)
            for title, got, expected in zip(("y", "dx", "dw", "db"), results, want, strict=True):
                same_kind(got, expected, f"{algorithm}, {what}: {title}")
            COUNTS["exact"] += 1


POOLED = [n for n, layer in zip(NAMES, LAYERS, strict=True) if layer[10] == 1 and sizes(layer)[2][2] >= 2]


@pytest.mark.parametrize("name", POOLED)
def test_together_with_what_follows(every_isa, name):
    """With a scale, a ReLU and a pooling of 2x2 done in the same pass."""
    layer = LAYERS[NAMES.index(name)]
    n, oc, oh, ow = sizes(layer)[2]
    scale = rng(7).uniform(0.5, 2, oc).astype(np.float32) * rng(8).choice([-1, 1], oc).astype(np.float32)
    for what, (x, w, b, _), (y, *_) in cases_of(name):
        with np.errstate(all="ignore"):
            want = (y - b[:, None, None]) * np.float64(scale)[:, None, None] + b[:, None, None]
        want = np.where(want <= 0, 0, want)
        pooled = want[:, :, : oh // 2 * 2, : ow // 2 * 2].reshape(n, oc, oh // 2, 2, ow // 2, 2).max((3, 5))
        for algorithm in algorithms_of(layer) if every_isa != "plain" else ["plain"]:
            geometry = geometry_of(layer, algorithm)
            y = _cnn.conv2d_forward(x, w, b, *geometry, 1, scale)
            same_kind(y, want, f"{algorithm}, {what}")
            result = _cnn.conv2d_pool_forward(x, w, b, *geometry, scale, 1)
            if result is not None:
                y, argmax = result[:2]
                same_kind(y, pooled, f"{algorithm}, {what}: pooled")
                at = np.take_along_axis(want.reshape(n, oc, -1), argmax.reshape(n, oc, -1).astype(int), 2)
                same_kind(at.reshape(y.shape), pooled, f"{algorithm}, {what}: where the largest is")
            COUNTS["exact"] += 1


@pytest.mark.parametrize("name", NAMES)
def test_behind_a_relu(every_isa, name):
    """dx as the ReLU before the layer wants it: 0 where its output is, whatever comes there."""
    layer = LAYERS[NAMES.index(name)]
    for what, (x, w, _, dy), (_, dx, *_) in cases_of(name):
        x = np.where(x <= 0, 0, x)
        want = np.where(x <= 0, 0, dx)
        for algorithm in algorithms_of(layer) if every_isa != "plain" else ["plain"]:
            got = _cnn.conv2d_backward(dy, x, w, *geometry_of(layer, algorithm), True, False, False, True)[0]
            same_kind(got, want, f"{algorithm}, {what}")


@pytest.mark.parametrize("name", NAMES)
def test_threads(name):
    """What is computed anew has the same bits for any number of threads."""
    layer = LAYERS[NAMES.index(name)]
    for _, (x, w, b, dy), _ in cases_of(name)[::4]:
        for algorithm in algorithms_of(layer):
            geometry = geometry_of(layer, algorithm)
            check_threads(
                lambda x=x, w=w, b=b, dy=dy, g=geometry: (
                    _cnn.conv2d_forward(x, w, b, *g, 0, None),
                    *_cnn.conv2d_backward(dy, x, w, *g, True, True, True, False),
                ),
                threads=(1, 2, 7),
            )


@pytest.mark.parametrize("algorithm", ["winograd", "precise"])
def test_finite_numbers_that_overflow_in_a_transform(every_isa, algorithm):
    """Sums that a float32 holds are right, also where Winograd's tile of them does not fit one."""
    layer = ("", 2, 16, 16, 13, 13, 3, 1, 1, 1, 1)
    random = rng(11)
    x, w, y = sizes(layer)
    x, w, dy = (random.uniform(-1, 1, s).astype(np.float32) for s in (x, w, y))
    b = np.zeros(16, np.float32)
    x[0, :, 4, 4] *= np.float32(2.5e38)  # three of these and a transform are infinite
    x[1, :, 5:8, 5:8] *= np.float32(2.5e37)
    dy[0, :, 8, 8] *= np.float32(2.5e38)
    w *= np.float32(0.1)
    geometry = geometry_of(layer, algorithm)
    dw_scale = np.float32(1e-6)  # so that the products of the two fit as well
    y, dx = (
        _cnn.conv2d_forward(x, w, b, *geometry, 0, None),
        _cnn.conv2d_backward(dy, x, w, *geometry, True, False, False, False)[0],
    )
    want = reference(layer, x, w, b, dy)
    for title, got, expected in (("y", y, want[0]), ("dx", dx, want[1])):
        assert np.isfinite(got).all() and np.isfinite(expected).all(), title
        error, size = np.abs(got - expected), np.abs(expected).max()
        assert error.max() < 1e-4 * size, title
    dw = _cnn.conv2d_backward(np.ones_like(dy) * dw_scale, x, w, *geometry, False, True, False, False)[1]
    expected = reference(layer, x, w, b, np.ones_like(dy) * dw_scale)[2]
    assert np.isfinite(dw).all() and np.abs(dw - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_pixel_among_many():
    """One infinite pixel reaches the nine outputs around it, in every channel."""
    settings.algorithm = "auto"
    for special in SPECIALS:
        x = np.ones((1, 64, 16, 16), np.float32)
        x[0, 0, 8, 8] = special
        w = rng(1).standard_normal((64, 64, 3, 3)).astype(np.float32)
        y = F.conv2d(cnn.from_numpy(x), cnn.from_numpy(w), padding=1).numpy()
        bad = ~np.isfinite(y)
        assert (bad.sum((0, 2, 3)) == 9).all() and bad[0, :, 7:10, 7:10].all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 33, 17), (13, 64, 40), (70, 300, 65)])
def test_matrices(every_isa, kind, shape):
    """linear and matmul: a row of the input reaches its row of the result, a row of the weight its column."""
    rows, inner, columns = shape
    random = rng(12)
    x, w, b, dy = (
        random.uniform(0.5, 1.5, s).astype(kind) for s in ((rows, inner), (columns, inner), columns, (rows, columns))
    )
    for number, special in itertools.product((0, 1, 2), SPECIALS):
        for at in ((0, 0), (-1, -1), (0, -1), (-1, 0)):
            arrays = [x.copy(), w.copy(), dy.copy()]
            arrays[number][at] = special
            tensors = [cnn.from_numpy(a) for a in (*arrays, b)]
            a, c, _, bias = (t.requires_grad_(True) for t in tensors)
            y = F.linear(a, c, bias)
            y.backward(tensors[2])
            with np.errstate(all="ignore"):
                ax, aw, ady = (np.float64(v) for v in arrays)
                # einsum, not @: what multiplies blocks may itself mix rows
                want = [
                    np.einsum("ri,ci->rc", ax, aw) + b,
                    np.einsum("rc,ci->ri", ady, aw),
                    np.einsum("rc,ri->ci", ady, ax),
                    ady.sum(0),
                ]
                product = np.einsum("ri,ci->rc", ax, aw)
            for title, got, expected in zip("y dx dw db".split(), (y, a.grad, c.grad, bias.grad), want, strict=True):
                same_kind(got.detach().numpy(), expected, f"linear {title}, {number} {at} {special}")
            same_kind((a.detach() @ c.detach().T).numpy(), product, f"matmul, {number} {at} {special}")


def test_a_depthwise_and_a_pointwise_layer_in_one_pass(every_isa):
    """What is not finite between the two reaches the pixel's outputs, and no neighbour."""
    if every_isa == "plain":
        pytest.skip("the plain layer does one at a time")
    random = rng(13)
    x, w1, b1 = random.uniform(0.5, 1.5, (1, 64, 64, 65)), random.uniform(0.5, 1, (64, 1, 3, 3)), np.ones(64)
    w2, b2 = random.uniform(0.5, 1, (64, 64, 1, 1)) * random.choice([-1, 1], (64, 64, 1, 1)), np.ones(64)
    arrays = [a.astype(np.float32) for a in (x, w1, b1, w2, b2)]
    cases = [(0, at, special) for at, special in places(x.shape)]
    cases += [(1, (3, 0, 0, 0), np.nan), (1, (5, 0, 2, 2), np.inf), (3, (0, 7, 0, 0), -np.inf)]
    for number, at, special in cases:
        x, w1, b1, w2, b2 = (a.copy() for a in arrays)
        (x, w1, b1, w2, b2)[number][at] = special
        middle = conv2d_passes(x, w1, b1, np.zeros_like(x), padding=1, groups=64)[0]
        want = conv2d_passes(middle, w2, b2, np.zeros((1, 64, 64, 65)))[0]
        geometry = (1, 1, 1, 1, 1, 1, 1, 1, 64, CODE["auto"])
        y = _cnn.conv2d_separable_forward(channels_last(x), w1, b1, *geometry, None, 0, w2, b2, None, 0)
        assert y is not None, "not done in one pass"
        same_kind(y, want, f"{number}, {at}, {special}")


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": 1, "output_padding": 1}])
@pytest.mark.parametrize("channels", [(3, 5), (32, 32)])
def test_a_transposed_convolution(every_isa, channels, options):
    """It is a convolution's gradient, and its gradient a convolution."""
    random = rng(14)
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    for number, special in itertools.product((0, 1), SPECIALS):
        x, w = random.uniform(0.5, 1.5, (2, channels[0], 8, 9)), random.uniform(0.5, 1.5, (*channels, 3, 3))
        x, w = x.astype(np.float32), w.astype(np.float32)
        (x, w)[number][(1, 2, 7, 8) if number == 0 else (2, 3, 0, 0)] = special
        a, b = (cnn.from_numpy(v).requires_grad_(True) for v in (x, w))
        y = F.conv_transpose2d(a, b, **options)
        dy = random.uniform(0.5, 1.5, y.shape).astype(np.float32)
        y.backward(cnn.from_numpy(dy))
        zeros = np.zeros(channels[0])
        forward = conv2d_passes(np.zeros(y.shape), w, zeros, x, stride, padding)[1]
        dx, _, dw, _ = conv2d_passes(dy, w, zeros, x, stride, padding)
        for title, got, want in (("y", y.detach(), forward), ("dx", a.grad, dx), ("dw", b.grad, dw)):
            same_kind(got.numpy(), want, f"{title}, {number}, {special}")
