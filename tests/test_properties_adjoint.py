"""Backward of a linear layer is its adjoint: <A x, y> = <x, A'y>, exactly, for small integers and any shape.

A layer that is also linear in its weight has <A x, y> = <w, dw>; a bias adds <b, db> to both.
"""

import os

import numpy as np
import pytest
from harness import COUNTS, channels_last

import cnn
from cnn.backends import conv as settings
from cnn.nn import functional as F

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more


def integers(random, *shape):
    return random.integers(-3, 4, shape)


def some(random, low, high):
    return int(random.integers(low, high))


def image(random, channels=None):
    """(N, C, H, W), not empty."""
    return (some(random, 1, 4), channels or some(random, 1, 7), some(random, 1, 12), some(random, 1, 12))


# Each draws a case: (function, the array it is linear in, a weight it is linear in too or None, a bias or None)


def conv2d(random):
    groups = some(random, 1, 4)
    n, c, h, w = image(random, groups * some(random, 1, 9))
    kernel = [some(random, 1, 6), some(random, 1, 6)]
    dilation = [some(random, 1, 4), some(random, 1, 4)]
    padding = [some(random, 0, 5), some(random, 0, 5)]
    stride = [some(random, 1, 4), some(random, 1, 4)]
    short = [max(d * (k - 1) + 1 - 2 * p, 1) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    x = integers(random, n, c, max(h, short[0]), max(w, short[1]))
    weight = integers(random, groups * some(random, 1, 9), c // groups, *kernel)
    bias = integers(random, len(weight)) if random.random() < 0.5 else None

    def f(x, weight, bias=None):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    return f, x, weight, bias


def conv_transpose2d(random):
    groups = some(random, 1, 3)
    n, c, h, w = image(random, groups * some(random, 1, 6))
    stride = some(random, 1, 4)
    dilation = some(random, 1, 3)
    kernel = [some(random, 1, 5), some(random, 1, 5)]
    padding = [some(random, 0, (dilation * (k - 1)) // 2 + 1) for k in kernel]
    weight = integers(random, c, some(random, 1, 6), *kernel)

    def f(x, weight):
        return F.conv_transpose2d(x, weight, None, stride, padding, 0, groups, dilation)

    return f, integers(random, n, c, h, w), weight, None


def avg_pool2d(random):
    kernel = [some(random, 1, 6), some(random, 1, 6)]
    padding = [some(random, 0, k // 2 + 1) for k in kernel]
    n, c, h, w = image(random)
    x = integers(random, n, c, max(h, kernel[0]), max(w, kernel[1]))
    stride = [some(random, 1, 5), some(random, 1, 5)]
    ceil_mode = bool(random.integers(2))
    return lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode, divisor_override=1), x, None, None


def linear(random):
    n, c, oc = some(random, 1, 40), some(random, 1, 70), some(random, 1, 70)
    leading = (n,) if random.random() < 0.7 else (some(random, 1, 4), some(random, 1, 4))
    bias = integers(random, oc) if random.random() < 0.5 else None
    return F.linear, integers(random, *leading, c), integers(random, oc, c), bias


def matmul(random):
    m, k, n = (some(random, 1, 40) for _ in range(3))
    batch = (some(random, 1, 4),) if random.random() < 0.5 else ()
    return cnn.matmul, integers(random, *batch, m, k), integers(random, *batch, k, n), None


def pad(random):
    x = integers(random, *image(random))
    mode = ("constant", "reflect", "replicate", "circular")[some(random, 0, 4)]
    h, w = x.shape[2:]
    most = {"constant": (5, 5), "reflect": (h - 1, w - 1), "replicate": (5, 5), "circular": (h, w)}[mode]
    sides = [some(random, 0, most[1] + 1) for _ in range(2)] + [some(random, 0, most[0] + 1) for _ in range(2)]
    if mode == "constant" and random.random() < 0.5:
        sides[0], sides[3] = -some(random, 0, w), -some(random, 0, h)
    return lambda x: F.pad(x, sides, mode), x, None, None


def cat(random):
    x = integers(random, *image(random))
    dim = some(random, -4, 4)
    other = integers(random, *x.shape)
    return lambda x: cnn.cat([x, cnn.from_numpy(0 * other).to(x.dtype), x], dim), x, None, None


def split(random):
    x = integers(random, *image(random))
    dim = some(random, 0, 4)
    size = some(random, 1, x.shape[dim] + 1)

    def f(x):
        pieces = x.split(size, dim)
        return cnn.cat([(i + 1) * piece for i, piece in enumerate(pieces)][::-1], dim)

    return f, x, None, None


def interpolate(random):
    x = integers(random, *image(random))
    size = [some(random, 1, 20), some(random, 1, 20)]
    return lambda x: F.interpolate(x, size, mode="nearest"), x, None, None


def unfold(random):
    kernel = [some(random, 1, 4), some(random, 1, 4)]
    n, c, h, w = image(random)
    x = integers(random, n, c, max(h, kernel[0]), max(w, kernel[1]))
    stride, padding = some(random, 1, 3), some(random, 0, 3)
    return lambda x: F.unfold(x, kernel, 1, padding, stride), x, None, None


def pixel_shuffle(random):
    r = some(random, 1, 4)
    n, c, h, w = image(random)
    return lambda x: F.pixel_shuffle(x, r), integers(random, n, c * r * r, h, w), None, None


CASES = {
    conv2d: 400,
    conv_transpose2d: 60,
    avg_pool2d: 120,
    linear: 120,
    matmul: 60,
    pad: 80,
    cat: 40,
    split: 40,
    interpolate: 60,
    unfold: 40,
    pixel_shuffle: 20,
}
BATCHES = 20  # tests that a layer's cases are dealt out to


def dot(a, b):
    return int((np.asarray(a, np.float64) * np.asarray(b, np.float64)).sum())


def tensor(array, kind):
    return None if array is None else cnn.from_numpy(array.astype(kind)).requires_grad_(True)


def check(draw, seed):
    random = np.random.default_rng(seed)
    f, x, weight, bias = draw(random)
    kind = (np.float32, np.float64)[some(random, 0, 2)]
    arguments = [tensor(a, kind) for a in (x, weight, bias) if a is not None]
    if x.ndim == 4 and random.random() < 0.5:
        arguments[0] = cnn.from_numpy(channels_last(x.astype(kind))).requires_grad_(True)
    y = f(*arguments)
    dy = integers(random, *y.shape)
    dy = channels_last(dy) if dy.ndim == 4 and random.random() < 0.5 else dy
    y.backward(cnn.from_numpy(dy.astype(kind, order="K")))
    what = f"{draw.__name__}, seed {seed}: {[tuple(a.shape) for a in arguments]} {kind.__name__}"
    of_bias = 0 if bias is None else dot(bias, arguments[-1].grad._a)
    result = dot(y._a, dy) - of_bias
    assert result == dot(x, arguments[0].grad._a), what
    if weight is not None:
        assert result == dot(weight, arguments[1].grad._a), what
    COUNTS["exact"] += 1


@pytest.mark.parametrize("batch", range(max(int(BATCHES * TIMES), 1)))
@pytest.mark.parametrize("draw", CASES, ids=lambda draw: draw.__name__)
def test_adjoint(draw, batch):
    try:
        for number in range(CASES[draw] // BATCHES):
            if draw is conv2d:  # the ways that round nothing; Winograd's multiplies by fractions
                settings.algorithm = ("direct", "plain", "channels", "planes")[number % 4]
            check(draw, batch * 1000 + number)
    finally:
        settings.algorithm = "auto"
