"""Memory that several tensors see, or NumPy: nobody is cut off, and what waits is not computed from what came later.

An activation of more than a few channels lies channels-last while its shape is (N, C, H, W); `view` has to lay it out
anew, for all who see it. Inside a Module a convolution waits for its ReLU (cnn/nn/fusion.py).
"""

import gc
import weakref

import numpy as np
import pytest
from harness import needs_torch, rng, torch

import cnn
from cnn import _cnn, aliases, nn
from cnn.tensor import Tensor

windows = np.lib.stride_tricks.sliding_window_view
VALUES = rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def activation(channels=16, size=6):
    """A tensor such as a layer may leave it, with the values 0, 1, 2, ... in the order of the indices."""
    array = np.arange(2 * channels * size * size, dtype=np.float32).reshape(2, channels, size, size)
    h = Tensor._wrap(array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2).copy(order="K"))
    assert aliases.lies_turned(h._a)
    return h


def like(h):
    return np.arange(h.numel(), dtype=np.float32).reshape(h.shape)


# Other ways to the same memory, and what they must see of the values in row order.
WAYS = {
    "detach": (lambda h: h.detach(), lambda a: a),
    "data": (lambda h: h.data, lambda a: a),
    "slice": (lambda h: h[1], lambda a: a[1]),
    "slice of data": (lambda h: h.data[1], lambda a: a[1]),
    "channels": (lambda h: h[:, 2:5], lambda a: a[:, 2:5]),
    "view of a view": (lambda h: h[1].narrow(0, 1, 3)[::2], lambda a: a[1][1:4][::2]),
    "view of what was detached": (lambda h: h[:1].detach()[0], lambda a: a[0]),
    "detached view": (lambda h: h[1][2:].detach(), lambda a: a[1][2:]),
    "transpose": (lambda h: h.transpose(1, 3), lambda a: a.swapaxes(1, 3)),
    "permute": (lambda h: h.permute(0, 2, 3, 1), lambda a: a.transpose(0, 2, 3, 1)),
    "channels in two": (lambda h: h.permute(0, 2, 3, 1).unflatten(3, (4, 4)), lambda a: a.transpose(0, 2, 3, 1)
                        .reshape(2, 6, 6, 4, 4)),
    "chunk": (lambda h: h.chunk(2, 1)[1], lambda a: np.split(a, 2, 1)[1]),
    "unbind": (lambda h: h.unbind(1)[3], lambda a: a[:, 3]),
    "expand": (lambda h: h.unsqueeze(0).expand(3, -1, -1, -1, -1), lambda a: np.broadcast_to(a, (3, *a.shape))),
    "windows": (lambda h: h.unfold(2, 3, 2), lambda a: windows(a, 3, 2, writeable=True)[:, :, ::2]),
    "nothing taken away": (lambda h: h.squeeze(), lambda a: a),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_view_cuts_no_alias_off(way):
    see, expected = WAYS[way]
    h = activation()
    alias = see(h)
    assert np.array_equal(alias.tolist(), expected(like(h)))
    flat = h.view(2, -1)
    assert flat._is_view() and np.array_equal(flat.tolist(), like(h).reshape(2, -1))
    assert np.array_equal(h.tolist(), like(h)) and np.array_equal(alias.tolist(), expected(like(h)))
    flat.mul_(2)
    assert np.array_equal(h.tolist(), 2 * like(h)) and np.array_equal(alias.tolist(), expected(2 * like(h)))
    if way != "expand":
        alias.zero_()
        left = like(h)
        expected(left)[...] = 0  # in this reference: through NumPy's own view
        changed = way not in ("windows", "channels in two")
        assert not changed or np.array_equal(flat.tolist(), 2 * left.reshape(2, -1))
        assert not changed or np.array_equal(h.tolist(), 2 * left)


def test_an_alias_sees_what_is_written_through_a_view_of_a_convolution():
    h = nn.Conv2d(3, 16, 3)(cnn.tensor(VALUES))
    q = h.detach()
    h.view(2, -1).mul_(0)
    assert (q == 0).all() and h.grad_fn.name() == "CopySlices"


def test_the_gradient_passes_a_view_whose_memory_was_laid_out_anew():
    x = cnn.tensor(VALUES, requires_grad=True)
    conv = nn.Conv2d(3, 16, 3)
    h = conv(x).relu()
    part = h[:, :8]
    y = (h.view(2, -1) * 2).sum() + (part * 3).sum()
    y.backward()
    got = x.grad.clone(), conv.weight.grad.clone()
    x.grad = conv.weight.grad = None
    h = conv(x).relu().contiguous().clone()
    ((h * 2).sum() + (h[:, :8] * 3).sum()).backward()
    for a, b in zip(got, (x.grad, conv.weight.grad), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-5, 1e-4)


@needs_torch
@pytest.mark.parametrize("part", [
    lambda h: h, lambda h: h[:1], lambda h: h[1], lambda h: h[:, 2], lambda h: h[:1].detach(), lambda h: h[..., 1:],
    lambda h: h.permute(0, 2, 3, 1), lambda h: h.detach().permute(0, 2, 3, 1).detach(), lambda h: h.unsqueeze(1),
])  # fmt: skip
def test_strides_are_those_of_row_order(part):
    h = activation()
    t = torch.arange(h.numel(), dtype=torch.float32).reshape(h.shape)
    ours, theirs = part(h), part(t)
    assert ours.stride() == theirs.stride() and ours.storage_offset() == theirs.storage_offset()
    assert ours.is_contiguous() == theirs.is_contiguous()
    shape = (theirs.shape[0], -1)
    try:
        expected = theirs.view(shape)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match="view size is not compatible"):
            ours.view(shape)
        assert "view size is not compatible" in str(error)
        return
    assert np.array_equal(ours.view(shape).tolist(), expected.tolist())
    ours.reshape(shape).fill_(-1)
    assert (ours == -1).all() and (h == -1).sum() == ours.numel()


@pytest.mark.parametrize("copy", [
    lambda t: t.reshape(-1, 16), lambda t: t.contiguous(), lambda t: t.contiguous().view(-1, 16), lambda t: t.flatten(),
])  # fmt: skip
def test_a_copy_of_turned_memory_is_no_alias(copy):
    h = activation()
    pixels = copy(h.permute(0, 2, 3, 1))
    assert np.array_equal(pixels.tolist(), like(h).transpose(0, 2, 3, 1).reshape(pixels.shape))
    pixels.zero_()
    assert np.array_equal(h.tolist(), like(h))
    pixels = copy(h.permute(0, 2, 3, 1))
    h.view(2, -1).zero_()
    assert np.array_equal(pixels.tolist(), like(h).transpose(0, 2, 3, 1).reshape(pixels.shape))


def test_memory_of_numpy_is_never_laid_out_anew():
    array = np.zeros((2, 4, 5, 8), np.float32).transpose(0, 3, 1, 2)
    x = cnn.from_numpy(array)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.view(2, -1)
    assert x.reshape(2, -1).shape == (2, 160)
    x.fill_(1)
    assert (array == 1).all()


def test_numpy_gets_row_order_and_keeps_seeing_the_tensor():
    h = activation()
    array, address = h.numpy(), h.data_ptr()
    assert array.flags.c_contiguous and np.array_equal(array, like(h))
    h.view(2, -1).mul_(2)
    assert np.array_equal(array, 2 * like(h)) and h.data_ptr() == address == h.view(-1).data_ptr()
    array[...] = 3
    assert (h == 3).all()


def test_memory_that_was_laid_out_anew_is_freed():
    h = activation()
    part = h[0]
    owner = weakref.ref(h._a)
    h.view(2, -1)
    del h, part
    gc.collect()
    assert owner() is None and not aliases.turned


def test_arrays_that_cannot_be_traded():
    a = np.zeros((2, 3), np.float32)
    for b in (np.zeros((3, 2), np.float32), np.zeros((2, 3)), [0.0]):
        with pytest.raises(TypeError, match="one shape and type"):
            _cnn.trade(a, b)
    for refused in ((1, a), (a, 1), (1, 1)):
        with pytest.raises(TypeError, match="trade"):
            _cnn.trade(*refused)
    for refused in ((a, a), (1, 1), (1, a)):
        with pytest.raises(TypeError, match="lend"):
            _cnn.lend(*refused)
    for refused in ((), (a,), (1, a), ({}, *[a] * 32)):
        with pytest.raises(TypeError, match="owners_in"):
            _cnn.owners_in(*refused)
    assert _cnn.owners_in({id(a): None}, *[None] * 30, a[0]) == 1 << 30
    for function in (_cnn.owner_of, _cnn.lies, _cnn.lies_channels_last):
        with pytest.raises(TypeError, match=f"{function.__name__}: expected an array"):
            function(1)
        with pytest.raises(TypeError, match=function.__name__):
            function(a, a)


# ---- What waits ----------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A convolution, then what a test does, then the look at the result."""

    def __init__(self, between=None, channels=16, norm=False):
        super().__init__()
        cnn.manual_seed(0)
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.between = between

    def forward(self, x):
        h = self.norm(self.conv(x))
        if self.between is not None:
            self.between(self, x)
        return h


def through_address(tensor):
    np.ctypeslib.as_array((np.ctypeslib.ctypes.c_float * tensor.numel()).from_address(tensor.data_ptr()))[...] = 0


WRITES = {
    "numpy": lambda t: t.detach().numpy().fill(0),
    "data.numpy": lambda t: t.data.numpy().fill(0),
    "numpy of a view": lambda t: t.detach()[:].numpy().fill(0),
    "asarray": lambda t: np.asarray(t.detach()).fill(0),
    "dlpack": lambda t: cnn.from_dlpack(t.detach()).zero_(),
    "data_ptr": through_address,
    "in place": lambda t: t.detach().zero_(),
    "data, in place": lambda t: t.data.zero_(),
    "from_numpy of numpy": lambda t: cnn.from_numpy(t.detach().numpy()).zero_(),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("what", ["weight", "bias", "input", "norm"])
def test_what_waits_is_computed_before_memory_is_handed_out(write, what):
    expected = Net(norm=what == "norm")(cnn.tensor(VALUES))

    def between(net, x):
        tensors = {"weight": net.conv.weight, "bias": net.conv.bias, "input": x}
        WRITES[write](net.norm.weight if what == "norm" else tensors[what])

    y = Net(between, norm=what == "norm")(cnn.tensor(VALUES))
    assert np.array_equal(y.tolist(), expected.tolist())


@pytest.mark.parametrize("channels", [8, 16])
def test_nothing_waits_on_memory_that_somebody_outside_has(channels):
    expected = Net(channels=channels)(cnn.tensor(VALUES)).tolist()
    buffer = VALUES.copy()
    net = Net(lambda net, x: buffer.fill(0), channels)
    assert np.array_equal(net(cnn.from_numpy(buffer)).tolist(), expected)
    for tensor in (net.conv.weight, net.conv.bias):
        array = tensor.detach().numpy()[...]
        values = array.copy()
        net.between = lambda net, x, array=array: array.fill(0)
        assert np.array_equal(net(cnn.tensor(VALUES)).tolist(), expected)
        array[...] = values


def test_memory_that_nobody_outside_has_any_more_is_waited_on_again():
    net, waits = Net(), []
    net.conv.register_forward_hook(lambda module, args, output: waits.append(output._pending is not None))
    x = cnn.tensor(VALUES)
    net(x)
    array = net.conv.weight.detach().numpy()[1:]
    net(x)
    del array
    net(x)
    net(cnn.from_numpy(VALUES))  # few channels: a copy is cheaper than not to wait
    assert waits == [True, False, True, True]


def test_a_step_inside_of_forward_changes_nothing_before():
    def between(net, x):
        net.conv.weight.grad = cnn.ones_like(net.conv.weight)
        cnn.optim.SGD([net.conv.weight], lr=1.0).step()

    assert np.array_equal(Net(between)(cnn.tensor(VALUES)).tolist(), Net()(cnn.tensor(VALUES)).tolist())


def test_a_lent_array():
    t = cnn.zeros(3)
    known = set(aliases.exposed)
    a, b = t.numpy(), t.numpy()
    a[0] = 1
    assert b[0] == 1 and t[0].item() == 1 and a.flags.writeable
    (key,) = set(aliases.exposed) - known
    part = a[1:]
    del a, b
    assert key in aliases.exposed
    t_reference = weakref.ref(t._a)
    del t
    part[0] = 7
    assert t_reference() is not None  # the memory lives on
    del part
    assert key not in aliases.exposed and t_reference() is None
