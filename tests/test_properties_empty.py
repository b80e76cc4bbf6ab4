"""Batches of nothing: right shapes, gradients of weights that are exactly zero, running statistics left alone. And
images without channels, rows or columns: what torch makes of them, or an error that says so.

A function of nn.functional that is missing in tests/layer_calls.py fails here.
"""

import numpy as np
import pytest
from harness import needs_torch, torch
from layer_calls import LAYERS, LOSSES, arrays, call, shapes

import cnn
from cnn import nn
from cnn.nn import functional as F


def test_the_table_is_complete():
    functions = {name for name in F.__all__ if callable(getattr(F, name)) and not isinstance(getattr(F, name), type)}
    assert set(LAYERS) == functions


@pytest.fixture(params=[1, 4])
def threads(request):
    before = cnn.get_num_threads()
    cnn.set_num_threads(request.param)
    yield request.param
    cnn.set_num_threads(before)


def tensors(name, batch, module=cnn):
    made = []
    for array, (letter, _, _) in zip(arrays(name, batch), shapes(name, batch), strict=True):
        t = module.from_numpy(array)
        made.append(t.requires_grad_(True) if letter in "fu" else t)
    return made


@pytest.mark.parametrize("name", LAYERS)
def test_no_images(name, threads):
    empty, full = tensors(name, 0), tensors(name, 2)
    before = [t._a.tobytes() for t in empty]
    y, expected = call(name, F, *empty), call(name, F, *full)
    assert y.dtype == expected.dtype and y.requires_grad == expected.requires_grad
    assert tuple(y.shape) == (() if name in LOSSES else (0, *expected.shape[1:]))
    if y.requires_grad:
        y.backward(cnn.ones_like(y))
    for t, (letter, shape, batched), old in zip(empty, shapes(name, 0), before, strict=True):
        assert t._a.tobytes() == old  # running statistics above all
        if letter in "fu":
            assert t.grad is not None and tuple(t.grad.shape) == shape
            assert batched or not t.grad._a.any(), f"a gradient of nothing: {t.grad}"


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_nothing(name):
    """The mean of nothing is not a number, their sum is 0, their list is empty."""
    for reduction, expected in (("mean", np.nan), ("sum", 0.0)):
        y = call(name, F, *tensors(name, 0), reduction=reduction)
        assert y.shape == () and np.array_equal(y._a, np.float32(expected), equal_nan=True)
    y = call(name, F, *tensors(name, 0), reduction="none")
    assert y.shape[0] == 0 and y.ndim == call(name, F, *tensors(name, 2), reduction="none").ndim


@needs_torch
@pytest.mark.parametrize("name", LAYERS)
def test_no_images_as_torch(name):
    try:
        expected = call(name, torch.nn.functional, *tensors(name, 0, torch))
    except RuntimeError:
        pytest.skip("torch refuses an empty batch here")
    y = call(name, F, *tensors(name, 0))
    if name == "pixel_unshuffle":  # torch gives an empty input back as it is
        assert tuple(y.shape) == (0, 16, 3, 2)
        return
    assert tuple(y.shape) == tuple(expected.shape)
    assert np.array_equal(y._a, expected.detach().numpy(), equal_nan=True)


def without(name, axis):
    """The arrays of a layer, those shaped like the first with nothing along one axis."""
    made = arrays(name, 2)
    first = made[0].shape
    return [a[(slice(None),) * axis + (slice(0, 0),)] if a.shape == first else a for a in made]


@pytest.mark.parametrize(("name", "axis"), [(n, axis) for n in LAYERS for axis in range(1, len(next(shapes(n, 2))[1]))])
def test_nothing_along_another_axis(name, axis):
    given = without(name, axis)
    try:
        y = call(name, F, *[cnn.from_numpy(a.copy()) for a in given])
    except (ValueError, RuntimeError, IndexError) as error:
        assert len(str(error)) > 20, error
        return
    if torch is None:
        return
    try:
        expected = call(name, torch.nn.functional, *[torch.from_numpy(a.copy()) for a in given])
    except (RuntimeError, ValueError, IndexError) as error:
        # torch checks some of these sizes and not others; a result of nothing is no worse than an error.
        assert y.numel() == 0 or np.isnan(y._a).all(), f"torch: {error}"
        return
    assert tuple(y.shape) == tuple(expected.shape)
    if not name.startswith("dropout"):
        np.testing.assert_allclose(y._a, expected.numpy(), rtol=1e-5, atol=1e-6)


# ---- a network, as a whole ----


def test_a_training_step_on_nothing(threads):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )  # fmt: skip
    before = {name: t._a.tobytes() for name, t in net.state_dict().items()}
    loss = F.cross_entropy(net(cnn.zeros(0, 3, 8, 8)), cnn.zeros(0, dtype=cnn.int64), reduction="sum")
    loss.backward()
    assert loss.item() == 0
    for name, p in net.named_parameters():
        assert p.grad.shape == p.shape and not p.grad._a.any(), name
    after = {name: t._a.tobytes() for name, t in net.state_dict().items()}
    assert [name for name in before if before[name] != after[name]] == ["1.num_batches_tracked"]
