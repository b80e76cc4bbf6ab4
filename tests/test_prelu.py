"""prelu beside its formula and torch's."""

import activations
import numpy as np
import pytest
from harness import (
    channels_last,
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
from cnn.nn.functional import prelu

SHAPES = [(5,), (), (3, 4), (2, 3, 4, 5), (300, 3, 2), (2, 3, 150, 140), (0, 3, 4)]


def slopes(shape):
    yield 1
    if len(shape) > 1:
        yield shape[1]


@pytest.mark.parametrize("shape", SHAPES)
def test_exact(every_isa, shape):
    x, dy = (np.asarray(rng(i).integers(-5, 6, shape)) for i in range(2))
    for n in slopes(shape):
        w = rng(2).integers(-3, 4, n)
        each = w.reshape(-1, *[1] * (len(shape) - 2)) if n > 1 else w.reshape([1] * len(shape))
        dw = np.where(x > 0, 0, x * dy)
        dw = dw.sum(axis=tuple(i for i in range(len(shape)) if i != 1)) if n > 1 else dw.sum().reshape(1)
        dx = np.asarray(np.where(x > 0, dy, each * dy))
        y = np.asarray(np.where(x > 0, x, each * x))
        check_exact(_cnn.prelu_forward, y, x, w)
        check_exact(_cnn.prelu_backward, [dx, dw], dy, x, w)
        if x.ndim == 4:
            check_exact(lambda x, w: _cnn.prelu_forward(channels_last(x), w), y, x, w)
            check_exact(lambda dy, x, w: _cnn.prelu_backward(dy, channels_last(x), w), [dx, dw], dy, x, w)


@pytest.mark.parametrize("shape", SHAPES[:5])
def test_gradients(shape):
    x = np.asarray(rng(3).standard_normal(shape))
    x = np.asarray(np.where(np.abs(x) < 0.01, 0.5, x))
    for n in slopes(shape):
        check_gradients(prelu, x, rng(4).standard_normal(n))


@needs_torch
@pytest.mark.parametrize("shape", SHAPES)
def test_torch(shape):
    x = np.asarray(rng(5).standard_normal(shape))
    for n in slopes(shape):
        check_against_torch(prelu, torch.nn.functional.prelu, x, rng(6).standard_normal(n), terms=x.size)


def test_memory_and_threads(every_isa):
    x, w = rng(7).standard_normal((4, 3, 60, 70)), rng(8).standard_normal(3)
    for index in (0, 1):
        check_memory_variants(_cnn.prelu_forward, x[:, :, :5, :5].copy(), w, index=index)
    check_memory_variants(lambda dy: _cnn.prelu_backward(dy, x, w), x.copy())
    assert _cnn.prelu_forward(channels_last(x), w).strides == channels_last(x).strides
    check_threads(lambda: [_cnn.prelu_forward(x, w), *_cnn.prelu_backward(x, x, w)])
    check_threads(lambda: [*_cnn.prelu_backward(x, channels_last(x), w), *_cnn.prelu_backward(x, x, w[:1])])


@needs_torch
def test_module():
    for args in ((), (3, 0.1)):
        ours, theirs = nn.PReLU(*args), torch.nn.PReLU(*args)
        assert repr(ours) == repr(theirs)
        x = rng(9).standard_normal((2, 3, 4)).astype(np.float32)
        np.testing.assert_array_equal(ours(cnn.from_numpy(x)).detach()._a, theirs(torch.from_numpy(x)).detach().numpy())
        assert list(ours.state_dict()) == ["weight"]
    activations.assert_signature(nn.PReLU.__init__, torch.nn.PReLU.__init__)


def test_errors():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"prelu: expected a weight of 1 or 3 \(the channels of the input\), got 2"):
        _cnn.prelu_forward(x, np.zeros(2))
    with pytest.raises(TypeError, match="prelu: weight must be float64, got float32"):
        _cnn.prelu_forward(x, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"weight to have at most 1 dimension, got shape \(1, 3\)"):
        prelu(cnn.ones(2, 3), cnn.ones(1, 3))
