"""dropout and its channel forms beside torch's: the same masks for the same seed."""

import activations
import numpy as np
import pytest
from harness import (
    COUNTS,
    channels_last,
    check_exact,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import _cnn, nn
from cnn.nn import functional as F


def seeded(seed, f, x, **options):
    cnn.manual_seed(seed)
    return f(cnn.from_numpy(x), **options)


@needs_torch
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.5, 0.1, 0.9, 1 / 3, 1e-9, 0.0, 1.0])
@pytest.mark.parametrize("shape", [(7,), (), (2, 3, 4, 5), (100003,), (0, 3)])
def test_torchs_mask_and_gradient(shape, p, kind):
    x = np.asarray(rng(1).standard_normal(shape)).astype(kind)
    ours, theirs = cnn.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
    cnn.manual_seed(5)
    torch.manual_seed(5)
    for _ in range(2):  # twice, so that the generators must stand at the same place afterwards
        y, z = F.dropout(ours, p), torch.nn.functional.dropout(theirs, p)
        assert y._a.tobytes() == z.detach().numpy().tobytes()
    y.sum().backward()
    z.sum().backward()
    assert ours.grad._a.tobytes() == theirs.grad.numpy().tobytes()
    assert cnn.rand(3).tolist() == torch.rand(3).tolist()
    COUNTS["torch"] += 1


@needs_torch
@pytest.mark.parametrize(("name", "shape"), [
    ("dropout1d", (4, 6, 5)), ("dropout1d", (6, 5)), ("dropout2d", (4, 6, 3, 2)), ("dropout2d", (300, 64, 2, 2)),
    ("dropout3d", (2, 3, 2, 2, 2)), ("dropout3d", (6, 2, 2, 2)),
])  # fmt: skip
def test_channels(name, shape):
    x = rng(2).standard_normal(shape).astype(np.float32)
    theirs = getattr(torch.nn.functional, name)
    torch.manual_seed(6)
    want = theirs(torch.from_numpy(x), 0.4).numpy()
    for layout in (x, channels_last(x)) if x.ndim == 4 else (x,):
        got = seeded(6, getattr(F, name), layout, p=0.4)
        assert np.array_equal(got._a, want)
        assert got._a.strides == layout.strides or got._a.flags.c_contiguous
    assert cnn.rand(3).tolist() == torch.rand(3).tolist()
    COUNTS["torch"] += 1


def test_the_mask_does_not_depend_on_the_memory_order_of_an_activation():
    x = rng(3).standard_normal((3, 4, 5, 6))
    want = seeded(7, F.dropout, x)
    cnn.manual_seed(7)
    got = F.dropout(cnn.Tensor._wrap(channels_last(x).copy(order="K")))  # as a layer leaves it
    np.testing.assert_array_equal(got._a, want._a)
    assert got._a.strides == channels_last(x).strides


@needs_torch
@pytest.mark.parametrize("layout", [channels_last, np.asfortranarray])
def test_the_mask_of_what_was_turned_is_torchs(layout):
    x = layout(rng(3).standard_normal((3, 4, 5, 6)))
    torch.manual_seed(7)
    want = torch.nn.functional.dropout(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(seeded(7, F.dropout, x)._a, want)


def test_gradients_go_where_values_went():
    for f in (F.dropout, F.dropout2d):
        x = cnn.from_numpy(rng(4).uniform(1, 2, (3, 4, 5, 6))).requires_grad_()
        y = f(x, 0.3)
        dy = rng(5).standard_normal(x.shape)
        y.backward(cnn.from_numpy(channels_last(dy)))
        np.testing.assert_allclose(x.grad._a, dy * (y._a / x._a), rtol=1e-12)
        assert repr(y.grad_fn).startswith("<MulBackward0")


def test_exact_kernels(every_isa):
    x, mask = rng(6).integers(-9, 10, (3, 5, 2, 4)), rng(7).integers(0, 2, (3, 5, 2, 4)).astype(np.uint8)
    check_exact(lambda x: _cnn.dropout(x, mask, 0.5), 2 * x * mask, x)
    check_exact(lambda x: _cnn.dropout(channels_last(x), mask, 0.75), 4 * x * mask, x)
    channels = mask[:, :, 0, 0]
    want = 2 * x * channels[:, :, None, None]
    check_exact(lambda x: _cnn.feature_dropout(x, channels, 0.5), want, x)
    check_exact(lambda x: _cnn.feature_dropout(channels_last(x), channels, 0.5), want, x)
    check_exact(lambda x: _cnn.feature_dropout(x[:0], channels[:0], 0.5), want[:0], x)


def test_memory_variants(every_isa):
    x, mask = rng(8).standard_normal((3, 5, 2, 4)), rng(9).integers(0, 2, (3, 5, 2, 4)).astype(np.uint8)
    for index in (0, 1):
        check_memory_variants(lambda x, mask: _cnn.dropout(x, mask, 0.3), x, mask, index=index)
        check_memory_variants(
            lambda x, mask: _cnn.feature_dropout(x, mask, 0.3), x, np.ascontiguousarray(mask[:, :, 0, 0]), index=index
        )


def test_threads():
    x = rng(10).standard_normal((40, 50, 10, 10)).astype(np.float32)
    check_threads(lambda: [seeded(8, F.dropout, x), seeded(8, F.dropout2d, channels_last(x))])


def test_nan_shows():
    x = cnn.full((1000,), float("nan"))
    assert cnn.isnan(F.dropout(x, 0.5)).all()
    assert cnn.isnan(F.dropout(x, 1.0)).all()


def test_evaluation_is_the_identity():
    x = cnn.ones(3)
    state = cnn.get_rng_state()
    for layer, input in [
        (nn.Dropout(0.7), x),
        (nn.Dropout1d(), cnn.ones(2, 3, 4)),
        (nn.Dropout2d(), cnn.ones(2, 3, 4, 5)),
        (nn.Dropout3d(), cnn.ones(2, 3, 4, 5, 6)),
    ]:
        assert layer.eval()(input) is input
    assert F.dropout(x, 0.5, training=False) is x
    assert nn.Dropout(0.0)(x) is x
    assert (cnn.get_rng_state() == state).all()


def test_inplace():
    x = rng(11).uniform(1, 2, (3, 4, 5, 6))
    for layout in (x.copy(), channels_last(x), np.asfortranarray(x)):
        want = seeded(9, F.dropout, layout, p=0.3)
        t = cnn.from_numpy(layout)
        cnn.manual_seed(9)
        assert F.dropout(t, 0.3, inplace=True) is t
        np.testing.assert_array_equal(layout, want._a)
    leaf = cnn.from_numpy(x).requires_grad_()
    y = F.dropout2d(leaf * 1, 0.5, inplace=True)
    y.sum().backward()
    np.testing.assert_array_equal(leaf.grad._a, np.where(y._a == 0, 0, 2))
    flat = cnn.ones(6, 50)
    assert F.dropout1d(flat, 0.5, inplace=True) is flat
    assert set(flat.view(-1).tolist()) == {0.0, 2.0}


@needs_torch
def test_modules():
    for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d"):
        for args in ((), (0.25, True)):
            assert repr(getattr(nn, name)(*args)) == repr(getattr(torch.nn, name)(*args))
        activations.assert_signature(getattr(nn, name).__init__, getattr(torch.nn, name).__init__)
        activations.assert_signature(getattr(F, name.lower()), getattr(torch.nn.functional, name.lower()))
    cnn.manual_seed(3)
    torch.manual_seed(3)
    x = np.ones((4, 50), np.float32)
    assert nn.Dropout(0.3)(cnn.from_numpy(x)).tolist() == torch.nn.Dropout(0.3)(torch.from_numpy(x)).tolist()


def test_errors():
    x, mask = np.zeros((2, 3)), np.zeros((2, 3), np.uint8)
    cases = [
        (ValueError, r"dropout probability has to be between 0 and 1, but got 1.5",
         lambda: F.dropout(cnn.ones(1), 1.5)),
        (ValueError, r"dropout probability has to be between 0 and 1, but got -0.5", lambda: nn.Dropout(-0.5)),
        (RuntimeError, "dropout1d: Expected 2D or 3D input, but received a 4D",
         lambda: F.dropout1d(cnn.ones(1, 1, 1, 1))),
        (ValueError, r"dropout: mask must have shape \(2, 3\), got \(3, 2\)", lambda: _cnn.dropout(x, mask.T, 0.5)),
        (TypeError, "dropout: mask must be uint8, got float64", lambda: _cnn.dropout(x, x, 0.5)),
        (TypeError, "dropout: input must be float32 or float64, got uint8",
         lambda: _cnn.dropout(mask, mask, 0.5)),
        (TypeError, "dropout: p must be a number, got str", lambda: _cnn.dropout(x, mask, "x")),
        (ValueError, r"feature_dropout: mask must have the first two sizes of the input \(2, 3\), got \(3, 2\)",
         lambda: _cnn.feature_dropout(x, mask.T, 0.5)),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
    with pytest.warns(UserWarning, match="Received a 3D input to dropout2d"):
        F.dropout2d(cnn.ones(2, 3, 4))
    with pytest.warns(UserWarning, match="Received a 2-D input to dropout2d"):
        F.dropout2d(cnn.ones(2, 3))
    with (
        pytest.raises(RuntimeError, match="Feature dropout requires at least 2 dimensions"),
        pytest.warns(UserWarning, match="1-D input"),
    ):
        F.dropout2d(cnn.ones(2))
