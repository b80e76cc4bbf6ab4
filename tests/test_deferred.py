"""Results and gradients that wait for the ReLU beside them: nobody can tell, except by the clock."""

import gc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from child_processes import run_script
from harness import rng

import cnn
from cnn import nn
from cnn.backends import conv as settings
from cnn.nn import functional as F
from cnn.nn.fusion import PendingConvolution


@contextmanager
def conv_algorithm(name):
    threads, settings.algorithm = cnn.get_num_threads(), name
    yield
    settings.algorithm = "auto"
    cnn.set_num_threads(threads)


def images(*shape):
    return cnn.tensor(rng(0).standard_normal(shape).astype(np.float32))  # from_numpy's memory is not waited on


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
    "pool": lambda net, x: F.max_pool2d(net.relu(net.conv(x)), 2),
    "pool, conv": lambda net, x: net.second(F.max_pool2d(net.relu(net.conv(x)), 2)),
    "pool of relu in place": lambda net, x: F.max_pool2d(net.relu_(net.conv(x)), 2),
    "pool of relu of relu": lambda net, x: F.max_pool2d(net.relu(net.relu(net.conv(x))), 2),
    "pool and more": lambda net, x: (lambda y: F.max_pool2d(y, 2) * y.sum())(net.relu(net.conv(x))),
    "more and pool": lambda net, x: (lambda y: y.sum() * F.max_pool2d(y, 2))(net.relu(net.conv(x))),
    "pool twice": lambda net, x: (lambda y: F.max_pool2d(y, 2) * F.max_pool2d(y, 2))(net.relu(net.conv(x))),
    "other pool": lambda net, x: F.max_pool2d(net.relu(net.conv(x)), 3, 2, 1),
    "pool kept": lambda net, x: (lambda y: (y, F.max_pool2d(y, 2)))(net.relu(net.conv(x))),
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
        assert kept[0]._pending is not None
        return net.relu(kept[0])

    net = Net(f)
    net(images(1, 3, 8, 8))
    assert kept[0]._pending is None
    assert net.conv(images(1, 3, 8, 8))._pending is None  # and outside nothing waits at all


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
    assert net.kept._pending is None
    assert not cnn._cnn.may_wait()


@pytest.mark.parametrize("problem", [KeyboardInterrupt, MemoryError])
def test_what_was_interrupted_waits_on(problem):
    calls = []

    def f(net, x):
        net.kept = y = net.conv(x)
        compute = y._pending

        def pending(relu=False):
            calls.append(relu)
            if len(calls) == 1:
                raise problem
            return compute(relu)

        y._pending = pending
        return y.sum()

    net, x = Net(f), images(1, 3, 8, 8)
    with pytest.raises(problem):
        net(x)
    assert len(calls) == 1 and not cnn._cnn.may_wait()
    assert np.array_equal(net.kept.detach().numpy(), net.conv(x).detach().numpy())


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


POOLED = {
    "Winograd": (16, 17, 3, 1, 1, (9, 8)),
    "Winograd of whole vectors": (32, 32, 3, 1, 1, (8, 12)),
    "rows of vectors": (3, 6, 5, 2, 1, (32, 32)),
    "one long row": (6, 16, 5, 0, 1, (14, 14)),
    "odd": (5, 7, 3, 0, 1, (9, 11)),
    "groups": (4, 6, 3, 1, 2, (40, 21)),
    "one window": (3, 5, 3, 0, 1, (4, 5)),
    "strips": (12, 4, 7, 3, 1, (50, 120)),
}


@pytest.mark.parametrize("algorithm", range(7))
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", POOLED)
def test_convolution_relu_and_pool_in_one_pass(every_isa, name, kind, algorithm):
    c, oc, k, padding, groups, size = POOLED[name]
    random = rng(5)
    x = random.standard_normal((3, c, *size)).astype(kind)
    w = random.standard_normal((oc, c // groups, k, k)).astype(kind)
    b, scale = random.standard_normal((2, oc)).astype(kind)
    x[1, 0, 1, 1] = np.nan
    arguments = (x, w, b, 1, 1, padding, padding, padding, padding, 1, 1, groups, algorithm)
    result = cnn._cnn.conv2d_pool_forward(*arguments, scale, True)
    ways = cnn._cnn.conv2d_explain(x, w, *arguments[3:])[0]
    assert (result is not None) == (("Winograd" in ways or "pixels (" in ways) and cnn._cnn.isa() != "plain"), ways
    if result is not None:
        y, argmax, height, width = result
        full = cnn._cnn.conv2d_forward(*arguments, True, scale)
        expected, positions = cnn._cnn.max_pool2d_forward(full, 2, 2, 2, 2, 0, 0, 1, 1, False, True)
        assert full.shape[2:] == (height, width)
        assert np.array_equal(y, expected, equal_nan=True) and np.array_equal(argmax, positions)
        without = cnn._cnn.conv2d_pool_forward(*arguments, scale, False)
        assert np.array_equal(without[0], y, equal_nan=True) and without[1] is None


def test_what_is_pooled_is_not_stored():
    kept = []

    def f(net, x):
        y = net.relu(net.conv(x))
        z = F.max_pool2d(y, 2)
        kept.append(y._pending is not None)
        return z

    net = Net(f)
    z = net(images(2, 3, 32, 32).requires_grad_())
    assert kept == [cnn._cnn.isa() != "plain"]
    relu = z.grad_fn.next_functions[0][0]
    (z * z).sum().backward(retain_graph=True)
    assert relu.name() == "ReluBackward0" and relu.saved[0].array is None
    z.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()


def test_a_change_of_what_was_pooled_is_noticed():
    def f(net, x):
        y = net.relu(net.conv(x))
        z = F.max_pool2d(y, 2)
        y.add_(1)
        return z

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        Net(f)(images(2, 3, 8, 8)).sum().backward()


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
        "groups": (32, 64, 3, 1, 1, 8, (5, 3)),
        "groups of one channel": (32, 96, 3, 1, 1, 32, (17, 17)),
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
    y = cnn._cnn.conv2d_forward(x, w, None, *geometry, 0, None)
    dy = random.standard_normal(y.shape).astype(kind)
    plain, _, _ = cnn._cnn.conv2d_backward(dy, x, w, *geometry, True, False, False, False)
    got, _, _ = cnn._cnn.conv2d_backward(dy, x, w, *geometry, True, False, False, True)
    assert np.array_equal(got, np.where(x <= 0, 0, plain))


def through_groups(algorithm, seed):
    """The gradients of two convolutions with a ReLU between, the second with groups whose channels lie last."""
    with conv_algorithm(algorithm):
        cnn.manual_seed(seed)
        first, second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 96, 3, padding=1, groups=32)
        net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
        x = cnn.randn(1, 3, 17, 17, requires_grad=True)
        net(x).backward(cnn.randn(1, 96, 17, 17))
        return [t.grad.numpy() for t in (x, *net.parameters())]


def test_the_gradient_of_a_group_stays_in_the_group():
    """What is written behind the image is other memory: gradients that were computed before."""
    for seed in range(30):
        for got, want in zip(through_groups("auto", seed), through_groups("plain", seed), strict=True):
            assert np.abs(got - want).max() < 1e-5 * np.abs(want).max(), f"seed {seed}"


@pytest.mark.parametrize("watch", [{"CNN_GUARD": "1"}, {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}])
def test_groups_behind_a_relu_leave_the_heap_alone(watch):
    script = """
        import cnn
        from cnn import nn

        one = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1, groups=32), nn.ReLU()]
        groups = nn.Sequential(*one, nn.Conv2d(64, 64, 3, padding=1, groups=8))
        one = [nn.Conv2d(3, 33, 5, padding=2), nn.LeakyReLU(), nn.Conv2d(33, 24, 3, padding=1), nn.ReLU()]
        blocks = nn.Sequential(*one, nn.Conv2d(24, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1))
        for _ in range(20):
            for side in (1, 2, 3, 4, 7, 8, 16):
                groups(cnn.randn(4, 3, side, side)).sum().backward()
            blocks(cnn.randn(1, 3, 16, 16)).sum().backward()
        print("done")
    """
    assert run_script(script, **watch) == "done\n"


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd", "precise", "channels", "planes"])
def test_an_empty_batch_leaves_the_heap_alone(algorithm):
    script = f"""
        import cnn
        from cnn import nn

        cnn.backends.conv.algorithm = {algorithm!r}
        for kernel, groups, stride in ((3, 1, 1), (5, 1, 1), (3, 32, 1), (3, 8, 2), (1, 1, 1)):
            net = nn.Conv2d(32, 32, kernel, stride, kernel // 2, groups=groups)
            x = cnn.zeros(0, 32, 9, 9, requires_grad=True)
            net(x).sum().backward()
            assert not net.weight.grad.any() and not net.bias.grad.any() and x.grad.shape == x.shape
        print("done")
    """
    assert run_script(script, CNN_GUARD="1") == "done\n"


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


# ---- batch_norm in evaluation mode ----

LAYERS = {
    "winograd": ((2, 32, 9, 10), {"out_channels": 33, "kernel_size": 3, "padding": 1}, "winograd"),
    "winograd, precise": ((2, 32, 9, 10), {"out_channels": 33, "kernel_size": 3, "padding": 1}, "precise"),
    "vectors of channels": (
        (2, 5, 9, 10),
        {"out_channels": 40, "kernel_size": 3, "stride": 2, "padding": 1},
        "channels",
    ),
    "vectors of pixels": ((2, 3, 9, 10), {"out_channels": 7, "kernel_size": 5, "padding": 2}, "planes"),
    "groups": ((2, 6, 9, 10), {"out_channels": 9, "kernel_size": 3, "groups": 3}, "direct"),
    "groups, vectors of pixels": ((2, 6, 9, 10), {"out_channels": 9, "kernel_size": 3, "groups": 3}, "planes"),
    "groups, vectors of channels": ((2, 6, 9, 10), {"out_channels": 9, "kernel_size": 3, "groups": 3}, "channels"),
    "depthwise": ((2, 19, 9, 10), {"out_channels": 19, "kernel_size": 3, "padding": 1, "groups": 19}, "auto"),
    "few pixels": ((1, 64, 3, 3), {"out_channels": 13, "kernel_size": 3}, "auto"),
    "1x1": ((3, 40, 6, 5), {"out_channels": 37, "kernel_size": 1}, "auto"),
    "1x1, one image": ((1, 300, 3, 3), {"out_channels": 37, "kernel_size": 1}, "auto"),
    "1x1, strided": ((3, 40, 6, 5), {"out_channels": 37, "kernel_size": 1, "stride": 2}, "auto"),
    "plain": ((2, 5, 9, 10), {"out_channels": 7, "kernel_size": 3}, "plain"),
}


def conv_bn(name, dtype, bias=True, relu=True):
    """Convolution, batch_norm and ReLU with parameters and statistics of their own; a batch for them."""
    shape, settings, _ = LAYERS[name]
    cnn.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(shape[1], bias=bias, **settings), nn.BatchNorm2d(settings["out_channels"]))
    if relu:
        net.append(nn.ReLU())
    bn = net[1]
    for t, low, high in ((bn.weight, -2, 2), (bn.bias, -1, 1), (bn.running_mean, -1, 1), (bn.running_var, 0.1, 3)):
        nn.init.uniform_(t, low, high)
    return net.to(dtype).eval(), images(*shape).to(dtype)


def one_after_the_other(net, x):
    """Outside of a Module nothing waits."""
    for layer in net:
        x = layer(x)
    return x


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("bias", "relu"), [(True, True), (False, False)])
def test_batch_norm_goes_into_the_convolution(every_isa, name, dtype, bias, relu):
    net, x = conv_bn(name, getattr(cnn, dtype), bias, relu)
    with cnn.no_grad(), conv_algorithm(LAYERS[name][2]):
        expected = one_after_the_other(net, x).numpy()
        y = []
        for threads in (1, 3):
            cnn.set_num_threads(threads)
            y.append(net(x).numpy())
    assert np.array_equal(y[0], y[1])
    allowed = {"float32": 2e-6, "float64": 1e-14}[dtype] * (10 if "winograd" in name else 1)
    assert np.abs(y[0] - expected).max() <= allowed * np.abs(expected).max()


@pytest.mark.parametrize("name", LAYERS)
def test_conv_bn_relu_against_torch(every_isa, name):
    torch = pytest.importorskip("torch")
    shape, settings, algorithm = LAYERS[name]
    net, x = conv_bn(name, cnn.float64)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(shape[1], **settings), torch.nn.BatchNorm2d(settings["out_channels"]), torch.nn.ReLU()
    ).double()
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in net.state_dict().items()})
    theirs.eval()
    with cnn.no_grad(), torch.no_grad(), conv_algorithm(algorithm):
        np.testing.assert_allclose(net(x).numpy(), theirs(torch.from_numpy(x.numpy())).numpy(), 1e-11, 1e-11)


class Watched(nn.Module):
    """A convolution and its batch_norm, called with the given function of (self, x)."""

    def __init__(self, f, net):
        super().__init__()
        self.conv, self.bn, *_ = net
        self.f = f

    def forward(self, x):
        return self.f(self, x)


def test_what_is_folded_and_what_is_not():
    net, x = conv_bn("1x1", cnn.float32)
    waits = []

    def f(self, x):
        y = self.bn(self.conv(x))
        waits.append(isinstance(y._pending, PendingConvolution))
        return y

    watched = Watched(f, net).eval()
    with cnn.no_grad():
        watched(x)  # folded
        watched.train()
        watched(x)  # not: the statistics are the batch's
        watched.eval()
    watched(x)  # not: the parameters want gradients
    for p in watched.parameters():
        p.requires_grad_(False)
    watched(x)  # folded: nothing wants any
    watched(x.clone().requires_grad_())  # not
    assert waits == [True, False, False, True, False]


def test_gradients_in_evaluation_mode():
    net, x = conv_bn("1x1", cnn.float64)
    results = []
    for call in (net, lambda x: one_after_the_other(net, x)):
        x = x.detach().requires_grad_()
        net.zero_grad()
        call(x).square().sum().backward()
        results.append([x.grad.numpy(), *[p.grad.numpy().copy() for p in net.parameters()]])
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_the_convolution_in_front_keeps_its_own_values():
    net, x = conv_bn("1x1", cnn.float32)

    def f(self, x):
        y = self.conv(x)
        z = self.bn(y)
        return y, z

    with cnn.no_grad():
        y, z = Watched(f, net).eval()(x)
        assert np.array_equal(y.numpy(), net[0](x).numpy())
        np.testing.assert_allclose(z.numpy(), net[1](net[0](x)).numpy(), 1e-4, 1e-5)


def test_batch_norm_relu_and_pooling_go_into_the_convolution():
    for name in LAYERS:
        net, x = conv_bn(name, cnn.float64)
        net.append(nn.MaxPool2d(2, ceil_mode=True))
        with cnn.no_grad(), conv_algorithm(LAYERS[name][2]):
            np.testing.assert_allclose(net(x).numpy(), one_after_the_other(net, x).numpy(), 1e-9, 1e-10)


def test_statistics_changed_after_the_call_change_nothing():
    net, x = conv_bn("1x1", cnn.float32)

    def f(self, x):
        y = self.bn(self.conv(x))
        for array in (self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias):
            array.detach().numpy()[:] = 7
        return y

    with cnn.no_grad():
        expected = net[1](net[0](x)).numpy()
        np.testing.assert_allclose(Watched(f, net).eval()(x).numpy(), expected, 1e-4, 1e-5)


def test_two_batch_norms_and_one_with_infinite_scale():
    net, x = conv_bn("1x1", cnn.float32, relu=False)
    twice = nn.Sequential(*net, net[1]).eval()
    with cnn.no_grad():
        np.testing.assert_allclose(twice(x).numpy(), one_after_the_other(twice, x).numpy(), 1e-4, 1e-5)
        net[1].eps = 0.0
        net[1].running_var.zero_()
        np.testing.assert_array_equal(net(x).numpy(), one_after_the_other(net, x).numpy())


def test_errors_of_batch_norm_come_at_the_call():
    net, x = conv_bn("1x1", cnn.float32)
    channels = 37
    good = {"running_mean": cnn.zeros(channels), "running_var": cnn.ones(channels)}
    for change, message in (
        ({"running_mean": cnn.zeros(3)}, "running_mean should contain 37 elements not 3"),
        ({"running_var": None}, "must be defined in evaluation mode"),
        ({"weight": cnn.zeros(channels, dtype=cnn.float64)}, "weight"),
        ({"bias": cnn.zeros(channels, 1)}, "bias"),
        ({"eps": "small"}, "eps"),
        ({"momentum": None}, "None"),
    ):
        messages = []

        def f(self, x, arguments=good | change, messages=messages):
            y = self.conv(x)
            try:
                F.batch_norm(y, **arguments)
            except (ValueError, TypeError) as error:
                messages.append(str(error))
            return y

        with cnn.no_grad():
            watched = Watched(f, net)
            watched(x)
            watched.forward(x)
        assert len(messages) == 2, message
        assert messages[0] == messages[1]
        assert message in messages[0]


def test_relu_in_a_view_of_something():
    """What a node behind a view gives back must not wait: it is written into a region of a larger gradient."""
    x = images(2, 2, 3, 3).requires_grad_()
    y = x * 1
    y[0].relu_()
    (y * y).sum().backward()
    expected = 2 * x.detach().numpy()
    expected[0] = np.maximum(expected[0], 0)
    assert np.array_equal(x.grad.numpy(), expected)


def test_relu_in_a_view_of_a_batch_norm():
    x, dy = images(2, 2, 3, 3).requires_grad_(), images(2, 2, 3, 3)
    gradients = []
    for in_place in (True, False):
        y = nn.BatchNorm2d(2)(x)
        if in_place:
            y[0].relu_()
        else:
            y = cnn.stack([F.relu(y[0]), y[1]])
        x.grad = None
        y.backward(dy)
        gradients.append(x.grad.numpy())
    assert np.allclose(*gradients, atol=1e-6)


# ---- depthwise separable convolutions ----

SEPARABLE = {  # images, channels, size, the depthwise layer's kernel, stride, padding, dilation; channels behind it
    "3x3": (2, 32, (64, 64), (3, 3), 1, (1, 1), 1, 64),
    "stride": (9, 48, (45, 40), (3, 3), 2, (1, 1), 1, 96),
    "odd channels": (3, 37, (41, 47), (5, 3), 1, (2, 0), 1, 83),
    "dilation, no padding": (4, 64, (35, 34), (3, 3), 1, (0, 0), 2, 130),
    "strips of an image": (1, 32, (260, 33), (3, 3), 1, (1, 1), 1, 64),
}


@pytest.mark.parametrize("order", ["planes", "channels last"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", SEPARABLE)
def test_depthwise_and_pointwise_in_one_pass(every_isa, name, kind, order):
    n, c, size, kernel, stride, (top, left), dilation, oc = SEPARABLE[name]
    random = rng(6)
    x = random.standard_normal((n, c, *size)).astype(kind)
    if order == "channels last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    w, pointwise = random.standard_normal((c, 1, *kernel)).astype(kind), random.standard_normal((oc, c, 1, 1))
    b, scale = random.standard_normal((2, c)).astype(kind)
    behind = pointwise.astype(kind), *random.standard_normal((2, oc)).astype(kind)
    geometry = (stride, stride, top, top, left, left, dilation, dilation, c, 0)
    for bias, relu in ((b, True), (None, False)):
        first = (x, w, bias, *geometry)
        y = cnn._cnn.conv2d_separable_forward(*first, scale, relu, *behind, relu)
        assert (y is None) == (cnn._cnn.isa() == "plain")
        if y is not None:
            between = cnn._cnn.conv2d_forward(*first, relu, scale)
            one_by_one = (1, 1, 0, 0, 0, 0, 1, 1, 1, 0)
            assert np.array_equal(y, cnn._cnn.conv2d_forward(between, *behind[:2], *one_by_one, relu, behind[2]))


def separable(dtype=cnn.float32, relu=True):
    """One block of a MobileNet, and an input for it."""
    cnn.manual_seed(0)
    layers = [nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    net = nn.Sequential(*(layer for layer in layers if relu or not isinstance(layer, nn.ReLU))).to(dtype)
    for norm in (m for m in net if isinstance(m, nn.BatchNorm2d)):
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(values, 0.5, 1.5)
    return net.eval(), images(2, 32, 64, 64).to(dtype)


@pytest.fixture
def passes(monkeypatch):
    """How often two layers were one pass."""
    results, function = [], cnn._cnn.conv2d_separable_forward

    def counted(*arguments):
        results.append(function(*arguments))
        return results[-1]

    monkeypatch.setattr(cnn._cnn, "conv2d_separable_forward", counted)
    return lambda: sum(result is not None for result in results)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("dtype", [cnn.float32, cnn.float64])
def test_a_block_of_a_mobilenet(dtype, relu, passes):
    net, x = separable(dtype, relu)
    with cnn.no_grad():
        y = net(x)
        assert passes() == (cnn._cnn.isa() != "plain")
        np.testing.assert_allclose(y.numpy(), one_after_the_other(net, x).numpy(), 1e-3, 1e-4)


def test_what_lies_between_can_be_asked_for(passes):
    net, x = separable()

    def f(self, x):
        between = net[2](net[1](net[0](x)))
        y = net[3](between)
        return between, y, between.sum()

    with cnn.no_grad():
        between, y, total = Watched(f, net).eval()(x)
        expected = one_after_the_other(net[:3], x)
        assert total.item() == between.sum().item()
        np.testing.assert_allclose(between.numpy(), expected.numpy(), 1e-4, 1e-5)
        np.testing.assert_allclose(y.numpy(), net[3](expected).numpy(), 1e-3, 1e-4)


def test_a_weight_changed_behind_a_separable_convolution():
    net, x = separable()

    def f(self, x):
        y = net[3](net[2](net[1](net[0](x))))
        for layer in (net[0], net[3]):
            layer.weight.zero_()
        return y

    with cnn.no_grad():
        expected = one_after_the_other(net[:4], x).numpy()
        np.testing.assert_allclose(Watched(f, net).eval()(x).numpy(), expected, 1e-3, 1e-4)


def test_gradients_and_mistakes_behind_a_depthwise_layer(passes):
    net, x = separable()
    y = net(x)
    assert passes() == 0 and y.requires_grad  # somebody may want the gradients of what is between
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net[3] = nn.Conv2d(31, 64, 1)
    with cnn.no_grad(), pytest.raises(cnn.errors.ShapeError, match="to have 31 channels, but got 32"):
        net(x)
    net[3] = nn.Conv2d(32, 64, 1, dtype=cnn.float64)
    with cnn.no_grad(), pytest.raises(cnn.errors.DTypeError, match="same dtype"):
        net(x)


def test_bias_and_pooled_output_changed_before_backward():
    """What lies between is computed again, from the bias as it was."""
    gradients = []
    for between in (False, True):
        cnn.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        y = net(images(2, 3, 8, 8))
        if between:
            with cnn.no_grad():
                net[0].bias.sub_(100)
                y.mul_(2)
        y.backward(cnn.ones_like(y))
        gradients.append(net[0].weight.grad)
    np.testing.assert_allclose(*(g.numpy() for g in gradients), 1e-5, 1e-5)
