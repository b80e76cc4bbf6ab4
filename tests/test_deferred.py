"""Results and gradients that wait for the ReLU beside them: nobody can tell, except by the clock."""

import gc
import weakref

import numpy as np
import pytest
from harness import rng

import cnn
from cnn import nn
from cnn.nn import functional as F


def images(*shape):
    return cnn.from_numpy(rng(0).standard_normal(shape).astype(np.float32))


class Net(nn.Module):
    """A network whose forward is the given function of (self, x)."""

    def __init__(self, f):
        super().__init__()
        self.conv, self.relu, self.relu_ = nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(), nn.ReLU(inplace=True)
        self.second = nn.Conv2d(20, 5, 3)
        self.norm = nn.BatchNorm2d(20)
        nn.init.uniform_(self.norm.weight, -1, 1)
        nn.init.uniform_(self.norm.bias, -1, 1)
        self.f = f

    def forward(self, x):
        return self.f(self, x)


def keeps_both(net, x):
    y = net.conv(x)
    z = net.relu(y)
    return y, z


PROGRAMS = {
    "conv": lambda net, x: net.conv(x),
    "relu": lambda net, x: net.relu(net.conv(x)),
    "relu in place": lambda net, x: net.relu_(net.conv(x)),
    "F.relu": lambda net, x: F.relu(net.conv(x)),
    "clamp": lambda net, x: net.conv(x).clamp(min=0),
    "both": keeps_both,
    "conv of conv": lambda net, x: net.second(net.conv(x)),
    "two": lambda net, x: net.second(net.relu(net.conv(x))),
    "used twice": lambda net, x: (lambda y: net.relu(y) + y)(net.conv(x)),
    "shape first": lambda net, x: (lambda y: net.relu(y.view(y.size(0), -1)))(net.conv(x)),
    "norm": lambda net, x: net.norm(net.conv(x)),
    "norm, relu": lambda net, x: net.relu(net.norm(net.conv(x))),
    "norm, relu in place": lambda net, x: net.relu_(net.norm(net.conv(x))),
    "norm used twice": lambda net, x: (lambda y: net.relu(y) * y)(net.norm(net.conv(x))),
    "norm of a relu": lambda net, x: net.relu(net.norm(net.relu(net.conv(x)))),
    "norm without parameters": lambda net, x: F.relu(F.batch_norm(net.conv(x), None, None, training=True)),
    "norm in eval": lambda net, x: net.relu(net.norm.eval()(net.conv(x))),
    "unbatched": lambda net, x: net.relu(net.conv(x[0])),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_bits_as_one_after_the_other(every_isa, name):
    """Inside a Module convolutions wait; the same program outside of one does not."""
    cnn.manual_seed(1)
    net = Net(PROGRAMS[name])
    results = []
    state = {name: value.clone() for name, value in net.state_dict().items()}
    for call in (net, net.forward):
        net.load_state_dict(state)
        x = images(2, 3, 8, 8).requires_grad_()
        outs = call(x)
        outs = outs if isinstance(outs, tuple) else (outs,)
        for p in net.parameters():
            p.grad = None
        sum(o.sum() for o in outs).backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        results.append([t.detach().numpy().copy() for t in (*outs, x.grad, *gradients, *net.buffers())])
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_nothing_waits_after_the_call():
    kept = []

    def f(net, x):
        kept.append(net.conv(x))
        assert "_pending" in kept[0].__dict__
        return net.relu(kept[0])

    net = Net(f)
    net(images(1, 3, 8, 8))
    assert "_pending" not in kept[0].__dict__
    assert "_pending" not in net.conv(images(1, 3, 8, 8)).__dict__  # and outside nothing waits at all


def test_what_waits_is_computed_before_a_weight_changes():
    def f(net, x):
        y = net.conv(x)
        with cnn.no_grad():
            net.conv.weight.zero_()
            net.conv.bias.fill_(7)
        return y

    net = Net(f)
    x = images(1, 3, 8, 8)
    expected = net.conv(x).tolist()
    assert net(x).tolist() == expected


def test_a_changed_weight_is_noticed_by_backward():
    def f(net, x):
        y = net.relu(net.conv(x))
        with cnn.no_grad():
            net.conv.weight.mul_(2)
        return y

    x = images(1, 3, 8, 8).requires_grad_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        Net(f)(x).sum().backward()


def test_errors_come_at_the_call_and_name_the_layer():
    reached = []

    def f(net, x):
        y = net.conv(x)
        reached.append(y)
        return y

    with pytest.raises(
        ValueError, match=r"conv \(Conv2d\): conv2d: .*expected input \(1, 4, 8, 8\) to have 3 channels"
    ):
        Net(f)(images(1, 4, 8, 8))
    assert not reached


def test_an_error_in_forward_leaves_nothing_behind():
    def f(net, x):
        net.kept = net.conv(x)
        raise KeyError("mine")

    net = Net(f)
    with pytest.raises(KeyError, match="mine"):
        net(images(1, 3, 8, 8))
    assert "_pending" not in net.kept.__dict__
    assert cnn.autograd.deferred.state.depth == 0


def test_a_result_that_nobody_looks_at_is_not_computed_nor_kept():
    def f(net, x):
        y = net.conv(x)
        z = net.relu(y)
        references.append(weakref.ref(y))
        return z

    references = []
    with cnn.no_grad():
        Net(f)(images(1, 3, 8, 8))
    gc.collect()
    assert references[0]() is None


def test_hooks_see_the_result_before_the_relu():
    seen = []
    net = Net(lambda net, x: net.relu(net.conv(x)))
    net.conv.register_forward_hook(lambda module, args, out: seen.append(out))
    x = images(1, 3, 8, 8)
    net(x)
    assert np.array_equal(seen[0].detach().numpy(), net.conv(x).detach().numpy())


def test_statistics_move_at_the_call():
    seen = []

    def f(net, x):
        net.norm(x)
        seen.append(net.norm.running_mean.tolist())
        return x

    x = images(2, 20, 4, 4)
    Net(f)(x)
    assert np.allclose(seen[0], 0.1 * x.numpy().mean((0, 2, 3)), atol=1e-6)


def test_mistakes_in_a_norm_come_at_the_call():
    with pytest.raises(ValueError, match=r"norm \(BatchNorm2d\): batch_norm: .* 3 elements not 20"):
        Net(lambda net, x: net.relu(net.norm(x)))(images(2, 3, 4, 4))


# ---- gradients ----


def shapes_of_convolutions():
    """(channels in, out, kernel, stride, padding, groups, size): one for each way of the engine."""
    return {
        "Winograd": (16, 17, 3, 1, 1, 1, (9, 8)),
        "few channels": (5, 6, 5, 1, 2, 1, (9, 18)),
        "many channels": (32, 20, 5, 1, 0, 1, (7, 6)),
        "stride": (8, 6, 3, 2, 1, 2, (9, 7)),
        "depthwise": (8, 8, 3, 1, 1, 8, (6, 7)),
        "1x1": (40, 33, 1, 1, 0, 1, (5, 5)),
    }


@pytest.mark.parametrize("order", ["C", "channels last"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", shapes_of_convolutions())
def test_convolution_passes_its_gradient_through_a_relu(every_isa, name, kind, order):
    c, oc, k, stride, padding, groups, size = shapes_of_convolutions()[name]
    random = rng(3)
    x = np.maximum(random.standard_normal((3, c, *size)), 0).astype(kind)
    x[0, 0, 0, 0] = np.nan
    if order != "C":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    w = random.standard_normal((oc, c // groups, k, k)).astype(kind)
    geometry = (stride, stride, padding, padding, padding, padding, 1, 1, groups, 0)
    y = cnn._cnn.conv2d_forward(x, w, None, *geometry, 0)
    dy = random.standard_normal(y.shape).astype(kind)
    plain, _, _ = cnn._cnn.conv2d_backward(dy, x, w, *geometry, True, False, False, False)
    got, _, _ = cnn._cnn.conv2d_backward(dy, x, w, *geometry, True, False, False, True)
    assert np.array_equal(got, np.where(x <= 0, 0, plain))


def test_bias_changed_before_backward():
    """torch does not save the bias of a batch norm, so nobody may mind; but then the outputs cannot be told from it."""
    results = []
    for change in (False, True):
        cnn.manual_seed(4)
        net = Net(lambda net, x: net.relu(net.norm(net.conv(x))))
        y = net(images(2, 3, 6, 6))
        if change:
            net.norm.bias.data.sub_(5)
        (y * y).sum().backward()
        results.append([p.grad.numpy() for p in net.parameters() if p.grad is not None])
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_hook_between_norm_and_relu(every_isa):
    results, seen = [], []
    for hook in (False, True):

        def f(net, x, hook=hook):
            y = net.norm(net.conv(x))
            if hook:
                y.register_hook(lambda gradient: seen.append(gradient.numpy().copy()))
            return net.relu(y)

        cnn.manual_seed(4)
        net = Net(f)
        (net(images(2, 3, 6, 6)) ** 2).sum().backward()
        results.append([p.grad.numpy() for p in net.parameters() if p.grad is not None])
    assert len(seen) == 1
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


BACKWARDS = {
    "convolution": lambda net, y: net.second(y),
    "pool": lambda net, y: F.max_pool2d(y, 2),
    "overlapping pool": lambda net, y: F.max_pool2d(y, 3, 1, padding=1),
    "two uses": lambda net, y: net.second(y).sum() + F.max_pool2d(y, 2).sum() + (y * y).sum(),
    "pooled changed": lambda net, y: F.max_pool2d(y, 2).add_(1),
    "pooled scaled": lambda net, y: (lambda p: p * p.sum())(F.max_pool2d(y, 2)),
    "of a view": lambda net, y: F.max_pool2d(y.view(2, 20, 4, 16), 2),
    "indices": lambda net, y: F.max_pool2d(y, 2, return_indices=True)[0],
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_gradients_are_those_that_a_hook_sees(every_isa, name):
    """With a hook on the ReLU's output its gradient is computed as it is; without one it may never be."""
    cnn.manual_seed(2)
    seen = []
    results = []
    for hook in (False, True):

        def f(net, x, hook=hook):
            y = net.relu(net.conv(x))
            if hook:
                y.register_hook(lambda gradient: seen.append(gradient.numpy().copy()))
            return (BACKWARDS[name](net, y) ** 2).sum()

        cnn.manual_seed(2)
        net, x = Net(f), images(2, 3, 8, 8).requires_grad_()
        net(x).backward()
        gradients = [x.grad, *(p.grad for p in net.parameters() if p.grad is not None)]
        results.append([g.numpy() for g in gradients])
    assert len(seen) == 1
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_the_gradient_between_pool_and_relu_can_be_asked_for():
    x = images(1, 2, 4, 4).requires_grad_()
    y = F.relu(x)
    z = F.max_pool2d(y, 2)
    (asked,) = cnn.autograd.grad(z.sum(), y, retain_graph=True)
    y.retain_grad()
    z.sum().backward()
    expected = np.zeros((1, 2, 4, 4), np.float32)
    for c in range(2):
        for i in range(2):
            for j in range(2):
                window = y.detach().numpy()[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                h, w = np.unravel_index(window.argmax(), (2, 2))
                expected[0, c, 2 * i + h, 2 * j + w] = 1
    assert np.array_equal(asked.numpy(), expected)
    assert np.array_equal(y.grad.numpy(), expected)
    assert np.array_equal(x.grad.numpy(), np.where(x.detach().numpy() > 0, expected, 0))


def test_node_hooks_get_arrays():
    x = images(1, 20, 8, 8).requires_grad_()
    second = nn.Conv2d(20, 5, 3)
    y = F.relu(x)
    z = second(y)
    seen = []
    z.grad_fn.register_hook(lambda grad_inputs, grad_outputs: seen.append(grad_inputs))
    y.grad_fn.register_hook(lambda grad_inputs, grad_outputs: seen.append(grad_outputs))
    z.sum().backward()
    assert np.array_equal(seen[0][0].numpy(), seen[1][0].numpy())
    assert seen[0][0].shape == (1, 20, 8, 8)
