"""nn.Module beside torch's: the same script is run with both libraries, and what it prints and raises must agree."""

import collections
import contextlib
import copy
import pickle
import re
import timeit
import warnings

import numpy as np
import pytest
from harness import needs_torch, rng, torch

import cnn
from cnn import nn


def network(lib):
    """A net with everything: nested, shared and absent modules, shared parameters, buffers of both kinds."""

    class Block(lib.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.relu = lib.nn.ReLU(inplace=True)
            self.fc = lib.nn.Linear(n, n)
            self.skip = None
            self.register_parameter("scale", None)

        def forward(self, x):
            return self.relu(self.fc(x)) + x

    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Block(4)
            self.second = lib.nn.Sequential(Block(4), lib.nn.Identity(), lib.nn.Sequential())
            self.again = self.first
            self.gain = lib.nn.Parameter(lib.ones(4))
            self.tied = self.second[0].fc
            self.register_buffer("mean", lib.zeros(4))
            self.register_buffer("cache", lib.zeros(2), persistent=False)
            self.register_buffer("nothing", None)
            self.buffer = lib.nn.Buffer(lib.ones(1))
            self.number = 3

        def forward(self, x):
            return self.second(self.first(x)) * self.gain + self.mean

        def extra_repr(self):
            return "first line\nsecond line"

    lib.manual_seed(0)
    return Net()


def text(value):
    """What a value looks like, without what may differ: addresses, and which library it comes from."""
    value = re.sub(r"0x[0-9a-f]+", "0x", str(value)).replace("cnn.", "torch.")
    return re.sub(r"torch\.nn\.(modules\.)?[a-z0-9_]+\.(?=[A-Z])", "torch.nn.", value)


def outcome(script, lib):
    """What `script(lib)` returns, or the type and text of the error that it raises."""
    try:
        return text(script(lib))
    except Exception as error:
        return type(error).__name__, text(error)


def arrays(tensors):
    return [t.detach().numpy().tolist() for t in tensors]


class OneOf:
    """Namespace of scripts: every function takes the library."""

    def repr_of_the_net(lib):
        return repr(network(lib))

    def named_parameters(lib):
        return [(name, arrays([p])) for name, p in network(lib).named_parameters()]

    def parameters_with_duplicates(lib):
        return [name for name, _ in network(lib).named_parameters(remove_duplicate=False)]

    def parameters_of_one(lib):
        return [name for name, _ in network(lib).named_parameters(prefix="net", recurse=False)]

    def named_buffers(lib):
        return [(name, b.tolist()) for name, b in network(lib).named_buffers()]

    def named_modules(lib):
        return [(name, type(m).__name__) for name, m in network(lib).named_modules(prefix="p")]

    def modules_with_duplicates(lib):
        return [name for name, _ in network(lib).named_modules(remove_duplicate=False)]

    def named_children(lib):
        return [name for name, _ in network(lib).named_children()]

    def counts(lib):
        net = network(lib)
        return [len(list(x)) for x in (net.parameters(), net.buffers(), net.children(), net.modules())]

    def state_dict(lib):
        return [(k, v.tolist(), v.requires_grad) for k, v in network(lib).state_dict().items()]

    def state_dict_metadata(lib):
        return network(lib).state_dict()._metadata

    def state_dict_prefix(lib):
        return list(network(lib).state_dict(prefix="module."))

    def state_dict_destination(lib):
        target = collections.OrderedDict(old=1)
        return list(network(lib).state_dict(destination=target, prefix="x.", keep_vars=True)), list(target)

    def state_dict_shares_memory(lib):
        net = network(lib)
        net.state_dict()["gain"].fill_(7)
        return net.gain.tolist()

    def state_dict_keep_vars(lib):
        net = network(lib)
        return net.state_dict(keep_vars=True)["gain"] is net.gain

    def load(lib):
        return repr(network(lib).load_state_dict(network(lib).state_dict()))

    def load_strict(lib):
        state = network(lib).state_dict()
        state["extra"] = lib.zeros(1)
        state["first.more.weight"] = lib.zeros(1)
        del state["gain"], state["first.fc.bias"]
        state["mean"] = lib.zeros(5)
        return network(lib).load_state_dict(state)

    def load_not_strict(lib):
        state = {"gain": lib.full((4,), 2.0), "zzz": lib.zeros(1)}
        net = network(lib)
        result = net.load_state_dict(state, strict=False)
        return repr(result), result.unexpected_keys, len(result.missing_keys), net.gain.tolist()

    def load_not_strict_still_checks_sizes(lib):
        return network(lib).load_state_dict({"gain": lib.zeros(3, 3)}, strict=False)

    def load_no_dictionary(lib):
        return network(lib).load_state_dict([1])

    def load_no_tensor(lib):
        return network(lib).load_state_dict({"gain": 3}, strict=False)

    def load_keeps_objects(lib):
        net = network(lib)
        before = net.gain
        net.load_state_dict({**net.state_dict(), "gain": lib.full((4,), 5.0)})
        return net.gain is before, before.tolist(), before.requires_grad

    def load_assign(lib):
        net = network(lib)
        state = {**net.state_dict(), "gain": lib.full((4,), 5.0, dtype=lib.float64), "mean": lib.ones(4)}
        net.load_state_dict(state, assign=True)
        kind = type(net.gain).__name__
        return net.gain.dtype, kind, net.gain.requires_grad, net.mean is state["mean"]

    def load_one_element_into_zero_d(lib):
        net = network(lib)
        net.register_buffer("count", lib.tensor(0))
        net.load_state_dict({**net.state_dict(), "count": lib.tensor([3])})
        return net.count.item(), tuple(net.count.shape)

    def load_casts(lib):
        net = network(lib)
        net.load_state_dict({k: v.double() for k, v in net.state_dict().items()})
        return net.gain.dtype

    def train_and_eval(lib):
        net = network(lib)
        result = [net.training, net.eval() is net, net.training, net.second[0].relu.training]
        net.second.train()
        return [*result, net.training, net.second[0].fc.training, net.first.training]

    def train_with_a_number(lib):
        return network(lib).train(1)

    def requires_grad(lib):
        net = network(lib)
        net.second.requires_grad_(False)
        return [p.requires_grad for p in net.parameters()]

    def apply_order(lib):
        seen = []
        network(lib).apply(lambda m: seen.append(type(m).__name__))
        return seen

    def double(lib):
        net = network(lib)
        gain = net.gain
        net.register_buffer("count", lib.tensor(3))
        return net.double() is net, net.gain is gain, gain.dtype, net.mean.dtype, net.count.dtype

    def to_types(lib):
        net = network(lib)
        net.register_buffer("count", lib.tensor(3))
        result = []
        for arguments in ([lib.float64], ["cpu"], ["cpu", lib.float32], [lib.zeros(1, dtype=lib.float64)]):
            net.to(*arguments)
            result += [net.gain.dtype, net.count.dtype]
        net.to(dtype=lib.float32, device=lib.device("cpu"))
        return [*result, net.gain.dtype]

    def half_and_bfloat16(lib):
        net = network(lib)
        return net.half().gain.dtype, net.bfloat16().gain.dtype, net.mean.dtype, net.float().gain.dtype

    def to_integer(lib):
        return network(lib).to(lib.int64)

    def to_nonsense(lib):
        try:
            network(lib).to("nowhere")
        except RuntimeError:
            return "RuntimeError"

    def type_method(lib):
        return [p.dtype for p in network(lib).type(lib.float64).parameters()]

    def gradients_follow(lib):
        net = network(lib)
        net(lib.ones(2, 4)).sum().backward()
        net.double()
        return net.gain.grad.dtype, net.gain.grad.tolist()

    def zero_grad(lib):
        net = network(lib)
        net(lib.ones(2, 4)).sum().backward()
        net.zero_grad(set_to_none=False)
        result = [p.grad.abs().sum().item() for p in net.parameters()]
        net.zero_grad()
        return result, [p.grad for p in net.parameters()]

    def attributes(lib):
        net = network(lib)
        return net.number, net.nothing, net.first.skip, net.first.scale, "gain" in dir(net), "first" in dir(net)

    def missing_attribute(lib):
        return network(lib).absent

    def delete(lib):
        net = network(lib)
        del net.gain, net.mean, net.first, net.number, net.cache
        return list(net._parameters), list(net._buffers), list(net._modules), hasattr(net, "number")

    def delete_missing(lib):
        del network(lib).absent

    def reassign(lib):
        net = network(lib)
        net.first = lib.nn.Identity()
        net.gain = lib.nn.Parameter(lib.zeros(2))
        net.mean = lib.ones(3)
        net.tied = None
        return repr(net), net.gain.tolist(), list(net.state_dict())

    def parameter_over_attribute(lib):
        net = network(lib)
        net.number = lib.nn.Parameter(lib.zeros(1))
        return "number" in net.__dict__, "number" in net._parameters

    def module_over_parameter(lib):
        net = network(lib)
        net.gain = lib.nn.Identity()
        return "gain" in net._parameters, "gain" in net._modules

    def parameter_over_buffer(lib):
        net = network(lib)
        net.cache = lib.nn.Parameter(lib.zeros(1))
        return list(net.state_dict())

    def tensor_over_parameter(lib):
        network(lib).gain = lib.zeros(4)

    def number_over_parameter(lib):
        network(lib).gain = 3

    def none_over_parameter(lib):
        net = network(lib)
        net.gain = None
        return net.gain, len(list(net.parameters()))

    def number_over_module(lib):
        network(lib).first = 3

    def number_over_buffer(lib):
        network(lib).mean = 3

    def buffer_objects(lib):
        net = network(lib)
        net.volatile = lib.nn.Buffer(lib.ones(2), persistent=False)
        return list(net.state_dict()), [name for name, _ in net.named_buffers()]

    def module_before_init(lib):
        class Early(lib.nn.Module):
            def __init__(self):
                self.a = lib.nn.Identity()

        return Early()

    def parameter_before_init(lib):
        class Early(lib.nn.Module):
            def __init__(self):
                self.a = lib.nn.Parameter(lib.zeros(1))

        return Early()

    def buffer_before_init(lib):
        class Early(lib.nn.Module):
            def __init__(self):
                self.register_buffer("a", lib.zeros(1))

        return Early()

    def init_with_arguments(lib):
        return lib.nn.Module(3)

    def init_with_keywords(lib):
        return lib.nn.Module(n=3)

    def no_forward(lib):
        class Empty(lib.nn.Module):
            pass

        return Empty()(1)

    def register_parameter_twice(lib):
        net = network(lib)
        net.register_parameter("gain", lib.nn.Parameter(lib.zeros(1)))
        return net.gain.tolist()

    def register_over_attribute(lib):
        network(lib).register_parameter("forward", None)

    def register_buffer_over_attribute(lib):
        network(lib).register_buffer("number", None)

    def register_module_over_attribute(lib):
        network(lib).add_module("number", None)

    def register_dots(lib):
        network(lib).register_parameter("a.b", None)

    def register_module_dots(lib):
        network(lib).add_module("a.b", None)

    def register_empty(lib):
        network(lib).register_buffer("", None)

    def register_number(lib):
        network(lib).register_parameter(3, None)

    def register_buffer_number(lib):
        network(lib).register_buffer(3, None)

    def register_module_number(lib):
        network(lib).add_module(3, None)

    def register_wrong_parameter(lib):
        network(lib).register_parameter("w", lib.zeros(1))

    def register_wrong_buffer(lib):
        network(lib).register_buffer("w", [1])

    def register_wrong_module(lib):
        network(lib).add_module("w", "text")

    def register_computed_parameter(lib):
        p = lib.nn.Parameter(lib.zeros(1))
        doubled = p * 2
        doubled.__class__ = lib.nn.Parameter
        network(lib).register_parameter("w", doubled)

    def submodules(lib):
        net = network(lib)
        return [
            type(net.get_submodule("second.0.fc")).__name__,
            net.get_submodule("") is net,
            net.get_parameter("second.0.fc.weight") is net.tied.weight,
            net.get_buffer("mean") is net.mean,
        ]

    def submodule_missing(lib):
        return network(lib).get_submodule("second.9")

    def submodule_is_tensor(lib):
        return network(lib).get_submodule("first.fc.weight")

    def parameter_is_module(lib):
        return network(lib).get_parameter("first.fc")

    def parameter_missing(lib):
        return network(lib).get_parameter("first.fc.gain")

    def buffer_is_parameter(lib):
        return network(lib).get_buffer("gain")

    def set_submodule(lib):
        net = network(lib)
        net.set_submodule("second.0.fc", lib.nn.Identity())
        return repr(net)

    def set_submodule_nothing(lib):
        network(lib).set_submodule("", lib.nn.Identity())

    def set_submodule_strict(lib):
        network(lib).set_submodule("first.more", lib.nn.Identity(), strict=True)

    def forward_hooks(lib):
        net, log = network(lib), []
        h1 = net.register_forward_hook(lambda m, args, out: log.append(("one", type(m).__name__, len(args))))
        h2 = net.register_forward_hook(lambda m, args, out: out * 0, prepend=True)
        h3 = net.register_forward_hook(
            lambda m, args, kwargs, out: log.append((sorted(kwargs), out.sum().item())), with_kwargs=True
        )
        total = net(x=lib.ones(2, 4)).sum().item()
        h2.remove()
        h3.remove()
        net(lib.ones(2, 4))
        h1.remove()
        h1.remove()
        net(lib.ones(2, 4))
        return log, total

    def forward_pre_hooks(lib):
        net = network(lib)
        net.register_forward_pre_hook(lambda m, args: args[0] * 2)
        net.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
        seen = []
        net.first.register_forward_pre_hook(lambda m, args: seen.append(args[0].tolist()))
        net(lib.ones(1, 4))
        return seen

    def forward_pre_hook_with_keywords(lib):
        net = network(lib)
        net.register_forward_pre_hook(lambda m, a, k: ((), {"x": k["x"] * 0}), with_kwargs=True)
        return net(x=lib.ones(1, 4)).tolist() == net(x=lib.zeros(1, 4)).tolist()

    def forward_pre_hook_wrong(lib):
        net = lib.nn.Identity()
        net.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
        return net(1)

    def forward_hook_always(lib):
        net, log = network(lib), []
        net.register_forward_hook(lambda m, a, out: log.append("always"), always_call=True)
        net.register_forward_hook(lambda m, a, out: log.append("normal"))
        with contextlib.suppress(TypeError):
            net()
        return log

    def hook_as_context(lib):
        net, log = network(lib), []
        with net.register_forward_hook(lambda *a: log.append(1)):
            net(lib.ones(1, 4))
        net(lib.ones(1, 4))
        return log

    def backward_hooks(lib):
        net, log = network(lib), []

        def note(name):
            def hook(m, grad_input, grad_output):
                log.append((name, [g if g is None else g.tolist() for g in (*grad_input, *grad_output)]))

            return hook

        net.first.relu.inplace = False  # torch forbids it here, we do not
        net.register_full_backward_hook(note("net"))
        net.first.fc.register_full_backward_hook(note("fc"))
        net(lib.ones(1, 4)).sum().backward()
        net(lib.ones(1, 4).requires_grad_()).sum().backward()
        return log

    def backward_hook_replaces(lib):
        layer = lib.nn.Identity()
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,), prepend=True)
        layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
        x = lib.ones(2, requires_grad=True)
        layer(x).sum().backward()
        return x.grad.tolist()

    def backward_hook_wrong_count(lib):
        layer = lib.nn.Identity()
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
        layer(lib.ones(2, requires_grad=True)).sum().backward()

    def backward_hook_without_inputs(lib):
        layer = lib.nn.Linear(2, 2)
        layer.register_full_backward_hook(lambda m, gi, go: (lib.ones(1, 2),))
        layer(lib.ones(1, 2)).sum().backward()

    def backward_hook_no_grad(lib):
        layer, log = lib.nn.Linear(2, 2), []
        layer.register_full_backward_hook(lambda m, gi, go: log.append(1))
        with lib.no_grad():
            return layer(lib.ones(1, 2)).requires_grad, log

    def state_dict_hooks(lib):
        net, log = network(lib), []
        net.register_state_dict_pre_hook(lambda m, prefix, keep_vars: log.append(("pre", prefix, keep_vars)))
        net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop("gain") and None)
        net.first.register_state_dict_post_hook(lambda m, state, prefix, meta: log.append(prefix))
        return list(net.state_dict()), log

    def load_hooks(lib):
        net, log = network(lib), []

        def rename(m, state, prefix, *rest):
            state[prefix + "gain"] = state.pop(prefix + "old_gain")

        net.register_load_state_dict_pre_hook(rename)
        net.register_load_state_dict_post_hook(lambda m, keys: log.append(keys.missing_keys.copy()))
        net.first.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
        state = net.state_dict()
        state["old_gain"] = state.pop("gain") * 4
        del state["first.fc.bias"]
        net.load_state_dict(state)
        return net.gain.tolist(), log

    def extra_state(lib):
        class Counting(lib.nn.Module):
            steps = 3

            def get_extra_state(self):
                return {"steps": self.steps}

            def set_extra_state(self, state):
                self.steps = state["steps"]

        one = Counting()
        one.steps = 9
        state = one.state_dict()
        other = lib.nn.Sequential(Counting())
        result = other.load_state_dict({f"0.{k}": v for k, v in state.items()})
        missing = other.load_state_dict({}, strict=False)
        return state, other[0].steps, repr(result), missing.missing_keys

    def extra_state_unexpected(lib):
        return lib.nn.Linear(1, 1, bias=False).load_state_dict({"weight": lib.ones(1, 1), "_extra_state": 3})

    def overridden_save_and_load(lib):
        class Old(lib.nn.Module):
            _version = 2

            def __init__(self):
                super().__init__()
                self.w = lib.nn.Parameter(lib.zeros(1))

            def _save_to_state_dict(self, destination, prefix, keep_vars):
                super()._save_to_state_dict(destination, prefix, keep_vars)
                destination[prefix + "more"] = lib.ones(1)

            def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
                self.seen = metadata.get("version"), bool(state_dict.pop(prefix + "more", None))
                super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

        net = lib.nn.Sequential(Old())
        state = net.state_dict()
        net.load_state_dict(state)
        return list(state), net[0].seen

    def deep_copy(lib):
        net = network(lib)
        net(lib.ones(1, 4)).sum().backward()
        twin = copy.deepcopy(net)
        with lib.no_grad():
            twin.gain.fill_(9)
        return [
            net.gain.tolist(),
            twin.tied is twin.second[0].fc,
            twin.again is twin.first,
            type(twin.gain).__name__,
            twin.gain.grad,
            repr(twin) == repr(net),
        ]

    def copies_share(lib):
        net = network(lib)
        return copy.copy(net).gain is net.gain

    def pickled(lib):
        net = pickle.loads(pickle.dumps(lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU())))
        return repr(net), [type(p).__name__ for p in net.parameters()], net(lib.zeros(1, 2)).shape

    def compile_is_accepted(lib):
        net = network(lib)
        return net.share_memory() is net

    def parameter(lib):
        data = lib.arange(3.0)
        p = lib.nn.Parameter(data)
        frozen = lib.nn.Parameter(data, requires_grad=False)
        with lib.no_grad():
            p[0] = 7
        return p, frozen, data, p.is_leaf, isinstance(p, lib.Tensor), type(p.data).__name__, type(p * 2).__name__

    def parameter_of_a_result(lib):
        x = lib.ones(2, requires_grad=True)
        p = lib.nn.Parameter(x * 2)
        return p.is_leaf, p.grad_fn, p.tolist()

    def parameter_of_integers(lib):
        p = lib.nn.Parameter(lib.tensor([1, 2]), requires_grad=False)
        try:
            lib.nn.Parameter(lib.tensor([1, 2]))
        except RuntimeError as error:
            return p.tolist(), str(error)[:70]

    def parameter_default(lib):
        return lib.nn.Parameter().numel()

    def parameter_in_a_list_is_not_registered(lib):
        net = lib.nn.Identity()
        net.weights = [lib.nn.Parameter(lib.zeros(1))]
        return len(list(net.parameters()))

    def explicit_protocol(lib):
        net = network(lib)
        net.__setattr__("extra", lib.nn.Identity())
        return type(net.__getattr__("extra")).__name__

    def multiple_inheritance(lib):
        class Mixin:
            def twice(self, x):
                return self(self(x))

        class Both(Mixin, lib.nn.Module):
            def forward(self, x):
                return x + 1

        return Both().twice(1)


SCRIPTS = {name: function for name, function in vars(OneOf).items() if not name.startswith("_")}


@needs_torch
@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_torch(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = outcome(SCRIPTS[name], torch)
        ours = outcome(SCRIPTS[name], cnn)
    assert ours == theirs


def test_the_outcomes_are_not_all_errors():
    errors = [name for name in SCRIPTS if isinstance(outcome(SCRIPTS[name], cnn), tuple)]
    assert len(errors) < len(SCRIPTS) // 2
    assert all(outcome(SCRIPTS[name], cnn)[0] != "NameError" for name in errors)


# Where we say more than torch


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.parts = [nn.Linear(2, 2)]  # not registered

    def forward(self, x):
        return self.conv(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(nn.Identity(), nn.Sequential(Inner(), nn.ReLU()))

    def forward(self, x):
        return self.stages(x)


def test_errors_name_the_layer():
    x = cnn.zeros(1, 5, 8, 8)
    with pytest.raises(ValueError, match=r"^stages\.1\.0\.conv \(Conv2d\): conv2d: ") as caught:
        Outer()(x)
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(ValueError, match=r"^1\.0\.conv \(Conv2d\): conv2d: "):
        Outer().stages(x)
    with pytest.raises(ValueError, match=r"^conv2d: "):
        Inner().conv(x)
    with pytest.raises(TypeError, match=r"^stages\.1\.0\.conv \(Conv2d\): .*float"):
        Outer()(cnn.zeros(1, 3, 8, 8, dtype=cnn.float64))


def test_errors_name_the_layer_only_once():
    net = Outer()
    for _ in range(2):
        with pytest.raises(ValueError, match="conv2d") as caught:
            net(cnn.zeros(1, 5, 8, 8))
        assert str(caught.value).count("(Conv2d)") == 1


def test_errors_of_layers_that_are_not_registered():
    net = Inner()
    net.forward = lambda x: net.parts[0](x)
    with pytest.raises(ValueError, match="linear") as caught:
        nn.Sequential(net)(cnn.zeros(1, 5))
    assert str(caught.value).startswith("0 (Linear): ")


def test_errors_of_the_users_own_pass_unchanged():
    class Odd(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="^'mine'$"):
        nn.Sequential(Odd())(1)


def test_errors_through_hooks():
    net = Outer()
    net.register_forward_hook(lambda *args: None)
    with pytest.raises(ValueError, match=r"^stages\.1\.0\.conv \(Conv2d\)"):
        net(cnn.zeros(1, 5, 8, 8))


@needs_torch
def test_a_call_costs_no_more_than_torchs():
    """Measured as the best of several, because the machine may be busy."""

    def best(lib):
        layer, x = lib.nn.Identity(), lib.ones(1)
        return min(timeit.repeat(lambda: layer(x), number=2000, repeat=20)) / 2000

    assert best(cnn) < max(1.5 * best(torch), 2e-6)


def test_old_state_without_hooks_loads():
    """Instances that were pickled before a hook dictionary existed."""
    net = nn.Identity()
    state = {key: value for key, value in net.__dict__.items() if "hooks" not in key}
    other = nn.Identity.__new__(nn.Identity)
    other.__setstate__(state)
    assert other(3) == 3


def test_data_parallel():
    net = nn.Linear(2, 3)
    wrapped = nn.DataParallel(net, device_ids=[0])
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    x = cnn.from_numpy(rng(0).standard_normal((4, 2), np.float32))
    assert cnn.equal(wrapped(x), net(x))
    assert wrapped.module is net
    assert cnn.equal(nn.parallel.data_parallel(net, x), net(x))
    with pytest.raises(NotImplementedError, match="DistributedDataParallel is not supported"):
        nn.parallel.DistributedDataParallel(net)


# nn.utils


def with_gradients(lib, scale):
    params = [lib.nn.Parameter(lib.zeros(shape)) for shape in ((3, 4), (5,), ())]
    for number, p in enumerate(params[:-1]):
        values = (rng(number).standard_normal(tuple(p.shape)) * scale).astype(np.float32)
        p.grad = lib.from_numpy(values)
    return params


@needs_torch
@pytest.mark.parametrize("scale", [0.01, 100.0, 0.0, float("inf"), float("nan")])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, float("inf")])
def test_clip_grad_norm(scale, norm_type):
    results = []
    for lib in (cnn, torch):
        params = with_gradients(lib, scale)
        total = lib.nn.utils.clip_grad_norm_(params, 1.5, norm_type)
        results.append([total.numpy(), *[p.grad.numpy() for p in params[:-1]]])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, 2e-6)
    if not np.isfinite(scale):
        with pytest.raises(RuntimeError, match="non-finite"):
            cnn.nn.utils.clip_grad_norm_(with_gradients(cnn, scale), 1.0, norm_type, error_if_nonfinite=True)


@needs_torch
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_clip_a_gradient_that_is_not_finite(special):
    """It reaches all gradients through the common norm, as in torch; clipping each value keeps NaN."""
    for clip in ("clip_grad_norm_", "clip_grad_value_"):
        results = []
        for lib in (cnn, torch):
            params = [lib.nn.Parameter(lib.zeros(3)), lib.nn.Parameter(lib.zeros(2))]
            for p, values in zip(params, ([0.5, special, -2.0], [3.0, 0.0]), strict=True):
                p.grad = lib.tensor(values)
            total = getattr(lib.nn.utils, clip)(params, 1.0)
            results.append([p.grad.tolist() for p in params] + ([float(total)] if clip == "clip_grad_norm_" else []))
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@needs_torch
def test_clip_grad_value():
    for lib in (cnn, torch):
        params = with_gradients(lib, 1.0)
        lib.nn.utils.clip_grad_value_(params, 0.3)
        assert max(p.grad.abs().max().item() for p in params[:-1]) == pytest.approx(0.3)
    with pytest.warns(FutureWarning, match="clip_grad_norm is now deprecated"):
        cnn.nn.utils.clip_grad_norm(with_gradients(cnn, 1.0), 1.0)
    assert cnn.nn.utils.clip_grad_norm_([], 1.0).item() == 0
    assert cnn.nn.utils.clip_grad_norm_(cnn.nn.Parameter(cnn.ones(1)), 1.0).item() == 0


def test_parameters_as_a_vector():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    before = [p.detach().clone() for p in net.parameters()]
    nn.utils.vector_to_parameters(vector.detach() * 2, net.parameters())
    for p, old in zip(net.parameters(), before, strict=True):
        assert cnn.equal(p.detach(), old * 2)
        assert p.requires_grad
    with pytest.raises(TypeError, match="expected torch.Tensor, but got: list"):
        nn.utils.vector_to_parameters([1], net.parameters())
    with pytest.raises(RuntimeError, match="13 elements, the vector 12"):
        nn.utils.vector_to_parameters(vector[:12], net.parameters())


def test_what_may_take_other_things_than_tensors():
    class Total(nn.Module):
        def forward(self, numbers):
            return sum(numbers)

    assert Total()([1, 2]) == 3
    assert nn.Identity()([1, 2]) == nn.Sequential()([1, 2]) == [1, 2]
    with pytest.raises(TypeError, match="ReLU: input must be a Tensor, got list"):
        nn.ReLU()([1.0])


def test_attributes_are_found_whoever_looks_for_them():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(cnn.zeros(2))
            self.layer = nn.Linear(2, 2)
            self.register_buffer("mean", cnn.ones(2))

        @property
        def broken(self):
            return self.missing

    class Own(Plain):
        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name == "missing":
                    return f"made up: {name}"
                raise

    class Below(Own):
        pass

    def found(net):
        return net.weight is net._parameters["weight"], net.layer is net._modules["layer"], net.mean._a.sum() == 2

    for net in (Plain(), Own(), Below()):
        assert all(found(net))
    for name in ("missing", "broken"):
        with pytest.raises(AttributeError, match=f"^'Plain' object has no attribute '{name}'$"):
            getattr(Plain(), name)
        assert getattr(Below(), name) == "made up: missing"
    with pytest.raises(AttributeError, match="^'Plain' object has no attribute 'weight'$"):
        nn.Module.__new__(Plain).weight  # noqa: B018  (before Module.__init__)

    net = Plain()
    Plain.__getattr__ = lambda self, name: name
    assert net.weight == "weight" and net.broken == "missing"
    del Plain.__getattr__
    assert all(found(net))
    with pytest.raises(TypeError, match="quick_attributes: expected a class"):
        cnn._cnn.quick_attributes(int)


def test_clip_an_exhausted_generator():
    """The second time that net.parameters() is walked through, nothing would be clipped without a word."""
    net = cnn.nn.Linear(2, 2)
    parameters = net.parameters()
    list(parameters)
    for clip in (cnn.nn.utils.clip_grad_norm_, cnn.nn.utils.clip_grad_value_):
        with pytest.warns(UserWarning, match="`parameters` is an empty generator") as caught:
            clip(parameters, 1.0)
        assert caught[0].filename == __file__
