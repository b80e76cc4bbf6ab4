"""Containers beside torch's: the same script is run with both libraries, and what it returns or raises must agree."""

import collections
import copy
import warnings

import pytest
from harness import needs_torch, torch
from test_module import outcome

import cnn
from cnn import nn


def three(lib):
    return [lib.nn.Linear(2, 3), lib.nn.ReLU(), lib.nn.Linear(3, 2)]


def named(lib):
    return lib.nn.Sequential(collections.OrderedDict(zip(["in", "16x16", "out"], three(lib), strict=True)))


class OneOf:
    """Namespace of scripts: every function takes the library."""

    def sequential(lib):
        net = lib.nn.Sequential(*three(lib))
        return net, len(net), list(net.state_dict()), net(lib.zeros(4, 2)).shape, [type(m).__name__ for m in net]

    def sequential_named(lib):
        net = named(lib)
        return net, list(net.state_dict()), getattr(net, "16x16"), net[1], net["out" == "in"]

    def sequential_empty(lib):
        return lib.nn.Sequential(), lib.nn.Sequential()(3), lib.nn.Sequential(collections.OrderedDict())

    def sequential_nested(lib):
        return lib.nn.Sequential(lib.nn.Sequential(*three(lib)), lib.nn.Sequential(), lib.nn.Flatten(2))

    def sequential_slices(lib):
        net = named(lib)
        return net[1:], net[::-1], net[:0], net[-1:], type(net[:2]).__name__, net[:2][0] is net[0]

    def sequential_indices(lib):
        net = lib.nn.Sequential(*three(lib))
        return net[-1], net[lib.tensor(1)], net[True]

    def sequential_out_of_range(lib):
        return lib.nn.Sequential(*three(lib))[3]

    def sequential_negative_out_of_range(lib):
        return lib.nn.Sequential(*three(lib))[-4]

    def sequential_by_name(lib):
        return named(lib)["in"]

    def sequential_set(lib):
        net = named(lib)
        net[0] = lib.nn.Identity()
        net[-1] = lib.nn.Flatten()
        return net

    def sequential_set_wrong(lib):
        lib.nn.Sequential(*three(lib))[0] = 3

    def sequential_delete(lib):
        net, other = lib.nn.Sequential(*three(lib)), lib.nn.Sequential(*three(lib))
        del net[0]
        del other[1:]
        return net, other

    def sequential_append(lib):
        net = lib.nn.Sequential()
        for layer in three(lib):
            net.append(layer)
        return net.append(lib.nn.Identity()) is net, net

    def sequential_append_wrong(lib):
        lib.nn.Sequential().append("relu")

    def sequential_extend(lib):
        return lib.nn.Sequential(*three(lib)).extend(lib.nn.Sequential(*three(lib)))

    def sequential_insert(lib):
        net = lib.nn.Sequential(*three(lib))
        net.insert(1, lib.nn.Identity())
        net.insert(4, lib.nn.Flatten())
        net.insert(-1, lib.nn.ReLU(inplace=True))
        return net

    def sequential_insert_far(lib):
        lib.nn.Sequential(*three(lib)).insert(9, lib.nn.Identity())

    def sequential_pop(lib):
        net = lib.nn.Sequential(*three(lib))
        return net.pop(1), net.pop(-1), net

    def sequential_plus(lib):
        a, b = lib.nn.Sequential(*three(lib)), lib.nn.Sequential(lib.nn.Identity())
        c = a + b
        a += b
        return a, c, c[0] is a[0]

    def sequential_plus_wrong(lib):
        return lib.nn.Sequential() + [1]

    def sequential_times(lib):
        net = lib.nn.Sequential(*three(lib))
        twice = net * 2
        net *= 3
        return twice, 2 * lib.nn.Sequential(lib.nn.Identity()), len(net), net[3] is net[0]

    def sequential_times_zero(lib):
        return lib.nn.Sequential() * 0

    def sequential_times_wrong(lib):
        return lib.nn.Sequential() * 1.5

    def sequential_wrong(lib):
        return lib.nn.Sequential(lib.nn.ReLU(), 3)

    def sequential_of_a_list(lib):
        return lib.nn.Sequential(three(lib))

    def sequential_shared(lib):
        layer = lib.nn.Linear(2, 2)
        net = lib.nn.Sequential(layer, layer)
        return len(list(net.parameters())), list(net.state_dict()), len(list(net.modules()))

    def sequential_directory(lib):
        return [name for name in dir(lib.nn.Sequential(*three(lib))) if name.isdigit()]

    def sequential_subclass(lib):
        class Net(lib.nn.Sequential):
            pass

        return Net(*three(lib)), Net(*three(lib))[1:]

    def module_list(lib):
        layers = lib.nn.ModuleList(three(lib))
        return (
            layers,
            len(layers),
            list(layers.state_dict()),
            layers[-1],
            layers[1:],
            [type(m).__name__ for m in layers],
        )

    def module_list_of_equals(lib):
        return lib.nn.ModuleList(
            [lib.nn.Linear(2, 2) for _ in range(3)] + three(lib) + [lib.nn.Sequential(lib.nn.ReLU()) for _ in range(2)]
        )

    def module_list_empty(lib):
        return lib.nn.ModuleList(), lib.nn.ModuleList([])

    def module_list_changes(lib):
        layers = lib.nn.ModuleList()
        layers.append(lib.nn.ReLU())
        layers += three(lib)
        layers.extend([lib.nn.Identity()])
        layers.insert(0, lib.nn.Flatten())
        layers[2] = lib.nn.Identity()
        del layers[1]
        del layers[-2:]
        last = layers.pop(-1)
        return layers, last, layers + [lib.nn.ReLU()]

    def module_list_call(lib):
        return lib.nn.ModuleList(three(lib))(1)

    def module_list_extend_wrong(lib):
        lib.nn.ModuleList().extend(3)

    def module_list_index_wrong(lib):
        return lib.nn.ModuleList(three(lib))[5]

    def module_dict(lib):
        d = lib.nn.ModuleDict({"a": lib.nn.ReLU(), "b": lib.nn.Linear(1, 1)})
        d["c"] = lib.nn.Identity()
        d.update([["d", lib.nn.Flatten()], ("a", lib.nn.Identity())])
        d.update(lib.nn.ModuleDict({"e": lib.nn.ReLU()}))
        del d["c"]
        popped = d.pop("b")
        return (
            d,
            popped,
            len(d),
            "a" in d,
            "z" in d,
            list(d),
            list(d.keys()),
            [k for k, _ in d.items()],
            len(d.values()),
        )

    def module_dict_missing(lib):
        return lib.nn.ModuleDict()["x"]

    def module_dict_clear(lib):
        d = lib.nn.ModuleDict({"a": lib.nn.ReLU()})
        d.clear()
        return d

    def module_dict_update_number(lib):
        lib.nn.ModuleDict().update(3)

    def module_dict_update_triples(lib):
        lib.nn.ModuleDict().update([(1, 2, 3)])

    def module_dict_reserved(lib):
        lib.nn.ModuleDict()["forward"] = lib.nn.ReLU()

    def parameter_list(lib):
        p = lib.nn.ParameterList([lib.zeros(2, 3), lib.nn.Parameter(lib.ones(1)), 5])
        p.append(lib.zeros(4))
        p += [lib.ones(())]
        p[0] = lib.full((2,), 3.0)
        kinds = [type(v).__name__ for v in p]
        return p, len(p), kinds, p[-1], p[1:3], [name for name, _ in p.named_parameters()], p[0].requires_grad

    def parameter_list_call(lib):
        return lib.nn.ParameterList()(1)

    def parameter_list_of_a_tensor(lib):
        return lib.nn.ParameterList(lib.zeros(3))

    def parameter_list_index_wrong(lib):
        return lib.nn.ParameterList([lib.zeros(1)])[1]

    def parameter_dict(lib):
        d = lib.nn.ParameterDict({"b": lib.nn.Parameter(lib.zeros(2)), "a": lib.ones(3)})
        d["c"] = 3
        d.update(collections.OrderedDict(z=lib.zeros(1), y=lib.zeros(1)))
        d |= {"q": lib.zeros(1)}
        result = [list(d), d.get("nope"), d.get("a").tolist(), d.setdefault("s", 4), d.pop("c"), d.popitem()[0]]
        del d["b"]
        names = [name for name, _ in d.named_parameters()]
        return (
            result,
            list(reversed(d)),
            names,
            len(d),
            "a" in d,
            d.copy().keys() == d.keys(),
            list(d.fromkeys("ab", 1)),
        )

    def parameter_dict_repr(lib):
        d = lib.nn.ParameterDict({"a": lib.nn.Parameter(lib.ones(2, 3)), "n": 3})
        return d.extra_repr().split("[")[0], d.extra_repr().split("\n")[-1]

    def parameter_dict_number(lib):
        try:
            lib.nn.ParameterDict()[3] = lib.zeros(1)
        except TypeError as error:
            return str(error)[:90]

    def parameter_dict_missing(lib):
        try:
            lib.nn.ParameterDict()["x"]
        except (KeyError, AttributeError):
            return "refused"

    def parameter_dict_call(lib):
        return lib.nn.ParameterDict()(1)

    def parameter_dict_clear(lib):
        d = lib.nn.ParameterDict({"a": lib.zeros(1)})
        d.clear()
        return len(d), len(list(d.parameters()))

    def containers_copy(lib):
        net = lib.nn.ModuleList([lib.nn.ModuleDict({"p": lib.nn.ParameterList([lib.ones(2)])})])
        twin = copy.deepcopy(net)
        with lib.no_grad():
            twin[0]["p"][0].zero_()
        return net[0]["p"][0].tolist(), list(twin.state_dict())

    def flatten(lib):
        x = lib.zeros(2, 3, 4, 5)
        shapes = [lib.nn.Flatten(*a)(x).shape for a in ((), (0,), (2,), (1, 2), (-2, -1), (0, 1))]
        return shapes, lib.nn.Flatten(), lib.nn.Flatten(0, 2)

    def flatten_wrong(lib):
        return lib.nn.Flatten(2, 1)(lib.zeros(2, 3, 4))

    def unflatten(lib):
        layer = lib.nn.Unflatten(1, (3, -1))
        return layer, layer(lib.zeros(2, 12)).shape, lib.nn.Unflatten(-1, [2, 2])(lib.zeros(3, 4)).shape

    def identity(lib):
        return lib.nn.Identity(54, unused=True), lib.nn.Identity(1, 2)(3)


SCRIPTS = {name: function for name, function in vars(OneOf).items() if not name.startswith("_")}


@needs_torch
@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_torch(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = outcome(SCRIPTS[name], torch)
        ours = outcome(SCRIPTS[name], cnn)
    assert ours == theirs


def test_flatten_of_channels_last_memory_is_in_logical_order():
    """An activation may lie channels last; flattened, it is (C, H, W) all the same, so that weights mean the same."""
    x = cnn.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    lying = cnn.Tensor._wrap(x.numpy().transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2))
    assert cnn.equal(nn.Flatten()(lying), nn.Flatten()(x))


def test_unflatten_mistakes():
    with pytest.raises(TypeError, match="dim must be an int, got str"):
        nn.Unflatten("channels", (2, 2))
    with pytest.raises(TypeError, match="must be a tuple of ints"):
        nn.Unflatten(1, (2, 1.5))
    with pytest.raises(RuntimeError):
        nn.Unflatten(1, (5, 2))(cnn.zeros(2, 12))


def test_update_mistakes_name_the_element():
    with pytest.raises(TypeError, match="element #1 should be Iterable; is int"):
        nn.ModuleDict([("a", nn.Identity()), 3])
    with pytest.raises(ValueError, match="element #0 has length 3; 2 is required"):
        nn.ParameterDict([("a", 1, 2)])
