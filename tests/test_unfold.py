"""unfold and fold: the definition, torch, and each the other's adjoint."""

import numpy as np
import pytest
from harness import check_against_torch, check_exact, check_gradients, needs_torch, rng, torch

import cnn
from cnn import nn
from cnn.nn.functional import fold, unfold

CASES = [
    ((2, 3, 5, 6), {"kernel_size": 3}),
    ((2, 3, 5, 6), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
    ((1, 2, 7, 7), {"kernel_size": 3, "dilation": 2, "padding": 2, "stride": 2}),
    ((2, 2, 3, 4), {"kernel_size": (3, 4)}),
    ((0, 3, 5, 6), {"kernel_size": 2}),
]


def columns(x, kernel_size, dilation=1, padding=0, stride=1):
    """Window by window, as the formula says."""
    two = lambda v: (v, v) if isinstance(v, int) else v  # noqa: E731
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = map(two, (kernel_size, dilation, padding, stride))
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows = range(0, padded.shape[2] - dh * (kh - 1), sh)
    cols = range(0, padded.shape[3] - dw * (kw - 1), sw)
    windows = [
        padded[:, :, i : i + dh * (kh - 1) + 1 : dh, j : j + dw * (kw - 1) + 1 : dw].reshape(
            len(x), x.shape[1] * kh * kw
        )
        for i in rows
        for j in cols
    ]
    return np.stack(windows, 2)


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_exact(shape, options):
    x = rng(1).integers(-9, 10, shape)
    check_exact(lambda x: unfold(cnn.from_numpy(x), **options), columns(x, **options), x)


@pytest.mark.parametrize(("shape", "options"), CASES[:-1])
def test_gradients(shape, options):
    x = rng(2).standard_normal(shape)
    y = columns(x, **options)
    check_gradients(lambda x: unfold(x, **options), x)
    check_gradients(lambda y: fold(y, shape[2:], **options), y)


@needs_torch
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_torch(shape, options):
    x = rng(3).standard_normal(shape)
    ours, theirs = nn.Unfold(**options), torch.nn.Unfold(**options)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, x)
    ours, theirs = nn.Fold(shape[2:], **options), torch.nn.Fold(shape[2:], **options)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, columns(x, **options), terms=9)


@needs_torch
def test_without_batch():
    x = rng(4).standard_normal((3, 5, 6))
    check_against_torch(lambda x: unfold(x, 3), lambda x: torch.nn.functional.unfold(x, 3), x)
    y = columns(x[None], 3)[0]
    check_against_torch(lambda y: fold(y, (5, 6), 3), lambda y: torch.nn.functional.fold(y, (5, 6), 3), y, terms=9)


def test_adjoint():
    generator = rng(5)
    for _ in range(100):
        n, c, kh, kw, s, d, p = (int(k) for k in generator.integers(1, 4, 7))
        h, w = (int(k) for k in generator.integers(6, 10, 2))
        x = cnn.from_numpy(generator.integers(-9, 10, (n, c, h, w)).astype(np.float64))
        y = unfold(x, (kh, kw), d, p, s)
        z = cnn.from_numpy(generator.integers(-9, 10, tuple(y.shape)).astype(np.float64))
        assert (y * z).sum().item() == (x * fold(z, (h, w), (kh, kw), d, p, s)).sum().item()


def test_unfold_is_a_convolution():
    """The formula behind im2col: conv2d = weight matrix times columns."""
    x, w = (cnn.from_numpy(rng(6).integers(-5, 6, shape).astype(np.float32)) for shape in ((2, 3, 6, 7), (4, 3, 3, 2)))
    product = w.reshape(4, -1) @ unfold(x, (3, 2), padding=1, stride=2)
    assert cnn.equal(product.reshape(2, 4, 3, 4), nn.functional.conv2d(x, w, stride=2, padding=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: unfold(x, 4), "at least one"),
        (lambda x: unfold(x[0, 0], 2), "expected 3D or 4D"),
        (lambda x: unfold(x, 0), "kernel_size must be at least 1"),
        (lambda x: unfold(x, 2, stride=0), "stride must be at least 1"),
        (lambda x: unfold(x, (1, 2, 3)), "kernel_size must either be a single int, or a tuple of two"),
        (lambda x: fold(cnn.zeros(1, 5, 4), 3, 2), "divisible by the product of kernel_size"),
        (lambda x: fold(cnn.zeros(1, 4, 5), 3, 2), r"sliding blocks 2 \* 2 = 4"),
        (lambda x: fold(cnn.zeros(4), 3, 2), "expected 2D or 3D"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        call(cnn.zeros(1, 1, 3, 3))
