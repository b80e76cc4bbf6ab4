"""Random whole networks, from one description for cnn and for PyTorch: layers one behind the other and side by side.

    describe(seed)                  what the network is, and how it is run: memory order, algorithm, threads, ...
    run(network, parameters, ...)   forward and backward in cnn: outputs and every gradient, as arrays
    check(seed)                     the same beside a float64 reference; raises Different
    python tests/random_networks.py [--first 0] [--count 100] [--alone]

The reference is PyTorch, or where that is missing cnn itself as csrc/kernels states the layers. A ReLU has no gradient
at 0 and the largest of equal values is anybody's, so two right answers may differ where rounding decides. That is not
tolerated but avoided: `settle` moves the biases so that the values in front of a ReLU keep away from 0, and `checked`
measures with noise of the size of rounding whether anything still hangs by a hair. Then the parameters are drawn again.
Networks of small integers have no rounding: there kinks and ties are hit all the time, and every bit must agree.
"""

import argparse
import itertools
import math
import sys
from dataclasses import dataclass

import numpy as np

import cnn
from cnn import _cnn
from cnn.backends import conv as settings

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

CHANNELS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 17, 24, 32, 33, 48, 64)
MOST_WORK = 3e6  # multiplications of one layer, and of one of a large network: the reference is slow
MOST_WORK_LARGE = 6e7
DRAWS = 12  # of the parameters of one network


class Different(AssertionError):
    """cnn and the reference do not agree."""


# ---- descriptions ----------------------------------------------------------------------------------------------------


@dataclass
class Network:
    seed: int
    layers: list  # (name of torch.nn, its arguments), or (RESIDUAL, layers), or (BRANCHES, list of layers)
    shape: tuple
    integers: bool
    kind: type
    order: str
    algorithm: str
    isa: str
    threads: int
    fused: bool  # one Module, so that what waits is computed together; or layer by layer
    training: bool

    def __str__(self):
        how = f"{self.kind.__name__}, {self.order}, {self.algorithm}, {self.isa}, {self.threads} threads"
        flags = f"{'fused' if self.fused else 'one by one'}, {'training' if self.training else 'eval'}"
        return f"network {self.seed}: x {self.shape}, {how}, {flags}\n" + "\n".join(f"    {x}" for x in self.layers)


RESIDUAL, BRANCHES = "x + layers(x)", "cat(branches(x))"


class Maker:
    """Draws layers, one behind the other, and keeps track of the shape."""

    def __init__(self, random, shape, integers, training, most_work):
        self.random, self.shape, self.integers, self.training = random, shape, integers, training
        self.most_work = most_work

    def some(self, *values):
        return values[self.random.integers(len(values))]

    def chance(self, share):
        return self.random.random() < share

    def separable(self):
        """A depthwise convolution and a 1x1 convolution behind it."""
        out = self.some(64, 80) if self.most_work > MOST_WORK else None  # enough to go together
        first, second = self.block(stride=out is None, depthwise=True), self.block(kernel=1, out=out)
        if out is not None:
            second[0][1]["groups"] = 1
        return first + second

    def layers(self, depth, pooling=True):
        made = []
        for _ in range(depth):
            kind = self.some("block", "block", "block", "separable", "pool", "smooth", "residual", "branches")
            if kind == "pool" and pooling:
                made += self.pool()
            elif kind == "smooth" and not self.integers:
                made.append((self.some("GELU", "SiLU", "Sigmoid", "Tanh", "ELU", "Hardswish", "Identity"), {}))
            elif kind == "residual" and pooling:
                made.append((RESIDUAL, self.same_shape()))
            elif kind == "branches" and pooling:
                made.append((BRANCHES, self.branches()))
            elif kind == "separable" and self.shape[1] > 1:
                made += self.separable()
            else:
                made += self.block()
        return made

    def same_shape(self):
        """Layers that keep the shape."""
        before = self.shape
        body = [*self.block(stride=False), self.conv(before[1], kernel=1)]
        assert self.shape == before
        return body

    def branches(self):
        before, parts, channels = self.shape, [], 0
        for _ in range(self.some(2, 3)):
            self.shape = before
            parts.append(self.block(stride=False))
            channels += self.shape[1]
        self.shape = (before[0], channels, *before[2:])
        return parts

    def block(self, stride=True, kernel=None, depthwise=False, out=None):
        """A convolution, perhaps a batch norm, and mostly an activation, sometimes with a pooling layer between."""
        made = [self.conv(out, kernel, stride, depthwise)]
        n, c, h, w = self.shape
        if self.chance(0.3) and not self.integers and (n * h * w >= 16 or not self.training):
            made.append(("BatchNorm2d", {"num_features": c}))
        if stride and not depthwise and self.chance(0.15):
            made += self.pool(largest=True)
        activation = self.some("ReLU", "ReLU", "ReLU", "LeakyReLU", "none")
        if activation == "ReLU":
            made.append(("ReLU", {"inplace": self.chance(0.3)}))
        elif activation == "LeakyReLU":
            made.append(("LeakyReLU", {"negative_slope": self.some(0.5, 0.25)}))
        if stride and not depthwise and min(h, w) > 1 and self.shape == (n, c, h, w) and self.chance(0.2):
            made.append(("MaxPool2d", {"kernel_size": 2}))  # which goes into the convolution's own pass
            self.shape = (n, c, h // 2, w // 2)
        return made

    def conv(self, out=None, kernel=None, stride=True, depthwise=False):
        n, c, h, w = self.shape
        for attempt in itertools.count():
            k = [kernel or self.some(1, 1, 2, 3, 3, 3, 3, 5, 7) for _ in range(2)]
            if self.chance(0.7):
                k[1] = k[0]
            if kernel or not stride:
                k = [x | 1 for x in k]
            step = [self.some(1, 1, 1, 2, 3) if stride and not kernel else 1 for _ in range(2)]
            if self.chance(0.7):
                step[1] = step[0]
            dilation = [self.some(1, 1, 1, 2, 3) if k[i] > 1 else 1 for i in range(2)]
            same = kernel or not stride or self.chance(0.6)
            padding = [dilation[i] * (k[i] - 1) // 2 if same else self.some(0, 1, 2, k[i]) for i in range(2)]
            size = [(s + 2 * padding[i] - dilation[i] * (k[i] - 1) - 1) // step[i] + 1 for i, s in enumerate((h, w))]
            o = out or self.some(*CHANNELS)
            groups = self.some(1, 1, 1, c, math.gcd(c, o), 2, 4, 8)
            if depthwise or (groups == c and out is None):
                groups, o = c, c * (1 if depthwise else self.some(1, 1, 2, 3))
            work = n * o * (c / groups) * k[0] * k[1] * max(size[0], 1) * max(size[1], 1)
            most = self.most_work * (1 + attempt / 20)
            if min(size) >= 1 and c % groups == o % groups == 0 and (out or o <= 96 or depthwise) and work <= most:
                break
        self.shape = (n, o, *size)
        return (
            "Conv2d",
            {
                "in_channels": c,
                "out_channels": o,
                "kernel_size": tuple(k),
                "stride": tuple(step),
                "padding": tuple(padding),
                "dilation": tuple(dilation),
                "groups": groups,
                "bias": self.chance(0.8),
            },
        )

    def pool(self, largest=False):
        n, c, h, w = self.shape
        name = "MaxPool2d" if largest else self.some("MaxPool2d", "MaxPool2d", "AvgPool2d", "AdaptiveMaxPool2d")
        if name == "AdaptiveMaxPool2d":
            size = (self.some(1, 2, 3), self.some(1, 2, 3))
            self.shape = (n, c, *size)
            return [(name, {"output_size": size})]
        k, step, padding = self.some((2, 2, 0), (2, 2, 0), (3, 2, 1), (3, 3, 0), (2, 1, 1), (3, 1, 1))
        if self.integers and name == "AvgPool2d":
            k, step, padding = 2, 2, 0  # quarters are exact
        size = [(s + 2 * padding - k) // step + 1 for s in (h, w)]
        if min(size) < 1:
            return []
        self.shape = (n, c, *size)
        return [(name, {"kernel_size": k, "stride": step, "padding": padding})]


def describe(seed):
    random = np.random.default_rng(seed)
    integers, training = random.random() < 0.25, random.random() < 0.7
    large = random.random() < 0.06  # several strips of an image, several chunks, and what only pays there
    n, sides = int(random.integers(1, 6)), random.integers(*((30, 80) if large else (1, 18)), 2)
    if random.random() < 0.5:
        sides[1] = sides[0]
    channels = int(random.choice((24, 32, 33, 64)) if large else first_channels(random))
    most_work = MOST_WORK_LARGE if large else MOST_WORK
    maker = Maker(random, (n, channels, *map(int, sides)), integers, training, most_work)
    shape = maker.shape
    layers = maker.separable() if large and maker.chance(0.7) else []
    layers += maker.layers(1 if large else int(random.integers(2, 5)))
    if random.random() < 0.3 and not large:
        features = math.prod(maker.shape[1:])
        layers += [("Flatten", {}), ("Linear", {"in_features": features, "out_features": 5})]
    algorithms = [name for name in settings.ALGORITHMS if not integers or name not in ("auto", "winograd", "precise")]
    weighted = algorithms + ["auto"] * (0 if integers else 6)
    return Network(
        seed,
        layers,
        shape,
        integers,
        maker.some(np.float32, np.float64, np.float64 if large else np.float32),
        maker.some("planes", "planes", "channels last", "every other image", "every other column", "turned"),
        maker.some(*weighted),
        maker.some(*_cnn.available_isas()[1:], _cnn.available_isas()[-1]),
        int(maker.some(1, 2, 2)),
        bool(random.random() < 0.7),
        training,
    )


def first_channels(random):
    return CHANNELS[random.integers(len(CHANNELS))] if random.random() < 0.6 else random.integers(1, 4)


# ---- networks --------------------------------------------------------------------------------------------------------


def modules_of(lib):
    """The two Modules that are in no library, for this one."""

    class Residual(lib.nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            return self.body(x) + x

    class Branches(lib.nn.Module):
        def __init__(self, parts):
            super().__init__()
            self.parts = lib.nn.ModuleList(parts)

        def forward(self, x):
            return lib.cat([part(x) for part in self.parts], 1)

    return {RESIDUAL: Residual, BRANCHES: Branches}


def build(lib, layers, own=None):
    own = own or modules_of(lib)
    made = []
    for name, arguments in layers:
        if name == RESIDUAL:
            made.append(own[name](build(lib, arguments, own)))
        elif name == BRANCHES:
            made.append(own[name]([build(lib, part, own) for part in arguments]))
        else:
            made.append(getattr(lib.nn, name)(**arguments))
    return lib.nn.Sequential(*made)


def with_parameters(lib, network, parameters, dtype):
    net = build(lib, network.layers).to(dtype)
    with lib.no_grad():
        for p, values in zip(net.parameters(), parameters, strict=True):
            p.copy_(lib.from_numpy(values).to(dtype))
    return net.train(network.training)


def draw(network, attempt):
    """Parameters, input and the gradient of the output, as float32 arrays (exact in float64)."""
    random = np.random.default_rng([network.seed, attempt])
    net = build(cnn, network.layers)
    if network.integers:
        values = lambda shape: random.integers(-1, 2, shape).astype(np.float32)  # noqa: E731
        return [values(p.shape) for p in net.parameters()], random.integers(-2, 3, network.shape).astype(np.float32)
    parameters = []
    for p in net.parameters():
        fan_in = math.prod(p.shape[1:])
        scale = 1.5 / math.sqrt(fan_in) if p.dim() > 1 else 0.5
        parameters.append((scale * random.standard_normal(p.shape)).astype(np.float32))
    return parameters, random.standard_normal(network.shape).astype(np.float32)


def gradient_of(network, shape):
    random = np.random.default_rng([network.seed, 99])
    if network.integers:
        return random.integers(-1, 2, shape).astype(np.float32)
    return random.standard_normal(shape).astype(np.float32)


def in_order(x, order):
    """x in another memory order."""
    if order == "channels last":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if order == "every other image":
        wide = np.full((2 * x.shape[0], *x.shape[2:], x.shape[1]), np.nan, x.dtype)
        wide[::2] = x.transpose(0, 2, 3, 1)
        return wide.transpose(0, 3, 1, 2)[::2]
    if order == "every other column":
        wide = np.full((*x.shape[:3], 2 * x.shape[3]), np.nan, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x.transpose().copy().transpose() if order == "turned" else x.copy()


def one_by_one(net, x):
    """The Modules of a Sequential, called from outside of any Module: nothing waits."""
    for module in net:
        x = module(x)
    return x


def everything(net, x, y):
    """Names and arrays: output, gradients, statistics."""
    named = {"output": y.detach(), "gradient of x": x.grad}
    named |= {f"gradient of {name}": p.grad for name, p in net.named_parameters()}
    named |= {name: b for name, b in net.named_buffers() if "running" in name}
    return {name: np.array(value.numpy()) for name, value in named.items() if value is not None}


def run(network, parameters, x, threads=None):
    """In cnn, forward and backward; and forward without gradients, where other layers go together."""
    before = cnn.get_num_threads()
    settings.algorithm = network.algorithm
    _cnn.set_isa(network.isa)
    cnn.set_num_threads(threads or network.threads)
    try:
        net = with_parameters(cnn, network, parameters, cnn.from_numpy(np.empty(0, network.kind)).dtype)
        call = net if network.fused else lambda x: one_by_one(net, x)
        x = cnn.from_numpy(in_order(x.astype(network.kind), network.order))
        if not network.training:
            with cnn.no_grad():
                alone = call(x)
        x.requires_grad_(True)
        y = call(x)
        y.backward(cnn.from_numpy(gradient_of(network, tuple(y.shape)).astype(network.kind)))
        found = everything(net, x, y)
        if not network.training:
            found["output without gradients"] = alone.detach().numpy()
        return found
    finally:
        settings.algorithm = "auto"
        _cnn.set_isa(None)
        cnn.set_num_threads(before)


# ---- the reference ---------------------------------------------------------------------------------------------------


def reference(network, parameters, x, noise=0.0, seed=0, kind=np.float64):
    """The same from the reference. noise: every layer's values are moved by this share of the largest of them."""
    lib = torch or cnn
    if lib is cnn:
        _cnn.set_isa("plain")
    try:
        x = lib.from_numpy(x.astype(kind))
        net = with_parameters(lib, network, parameters, x.dtype)
        random = np.random.default_rng(seed)

        def move(module, inputs, output):
            size = noise * float(output.detach().abs().max())
            return output + lib.from_numpy((size * random.standard_normal(tuple(output.shape))).astype(kind))

        for module in net.modules():
            if noise and isinstance(module, (lib.nn.Conv2d, lib.nn.BatchNorm2d, lib.nn.Linear)):
                module.register_forward_hook(move)
        x.requires_grad_(True)
        y = net(x)
        y.backward(lib.from_numpy(gradient_of(network, tuple(y.shape)).astype(kind)))
        found = everything(net, x, y)
        if not network.training:
            found["output without gradients"] = found["output"]
        return found
    finally:
        _cnn.set_isa(None)


def away_from_zero(v):
    """What to add to values so that 0 lies in a wide gap between them, near to where it lies now."""
    v = np.sort(v.ravel())
    around = int(np.searchsorted(v, 0))
    usual = max((v[-1] - v[0]) / v.size, 0.05 * max(abs(v[0]), abs(v[-1])), 1e-3)
    v = np.concatenate([[v[0] - 2 * usual], v, [v[-1] + 2 * usual]])
    first, last = max(around - 12, 0), min(around + 13, v.size - 1)
    gaps = np.diff(v[first : last + 1])
    widest = first + int(gaps.argmax())
    return -(v[widest] + v[widest + 1]) / 2


def settle(network, parameters, x):
    """Moves biases so that what goes into a ReLU keeps away from 0. Parameters stay float32 numbers."""
    lib = torch or cnn
    _cnn.set_isa("plain")
    net = with_parameters(lib, network, parameters, lib.float64)

    def walk(sequential, x):
        begin, shifter = None, None  # the input of the last layer with a bias, and its place
        modules = list(sequential)
        for i, module in enumerate(modules):
            kind = type(module).__name__
            if kind in ("Conv2d", "BatchNorm2d"):
                begin, shifter = x, i if module.bias is not None else None
            elif kind not in ("ReLU", "LeakyReLU", "MaxPool2d"):
                shifter = None
            if kind in ("ReLU", "LeakyReLU") and shifter is not None:
                v = x.numpy()
                for c in range(v.shape[1]):
                    modules[shifter].bias[c] += float(np.float32(away_from_zero(v[:, c])))
                bias = modules[shifter].bias
                bias.copy_(lib.from_numpy(np.array(bias.detach().numpy()).astype(np.float32).astype(np.float64)))
                x = begin
                for behind in modules[shifter:i]:
                    x = behind(x)
                shifter = None
            if hasattr(module, "body"):
                x = walk(module.body, x) + x
            elif hasattr(module, "parts"):
                x = lib.cat([walk(part, x) for part in module.parts], 1)
            else:
                x = module(x.clone())
        return x

    try:
        with lib.no_grad():
            walk(net, lib.from_numpy(x.astype(np.float64)))
        return [np.array(p.detach().numpy()).astype(np.float32) for p in net.parameters()]
    finally:
        _cnn.set_isa(None)


# ---- comparison ------------------------------------------------------------------------------------------------------


def errors(found, expected):
    """The largest difference of each array."""
    missing = set(found) ^ set(expected)
    if missing:
        raise Different(f"only one of the two has {sorted(missing)}")
    for name, a in found.items():
        if a.shape != expected[name].shape:
            raise Different(f"{name}: shape {a.shape}, expected {expected[name].shape}")
    return {name: float(np.abs(a - expected[name]).max(initial=0)) for name, a in found.items()}


def same_bits(network, found, other, what):
    for name, a in found.items():
        if a.tobytes() != other[name].tobytes():
            raise Different(f"{name}: {what}\n{network}")


def check_integers(network):
    """Every bit, kinks and ties included. False where the numbers grew too large to be exact."""
    parameters, x = draw(network, 0)
    expected, single = reference(network, parameters, x), reference(network, parameters, x, kind=np.float32)
    largest = max(float(np.abs(a).max(initial=0)) for a in expected.values())
    if largest >= 2**20 or any(not np.array_equal(single[name], a) for name, a in expected.items()):
        return False
    found = run(network, parameters, x)
    for name, error in errors(found, expected).items():
        if error > 0:
            raise Different(f"{name}: integers differ by {error}\n{network}")
    return True


# Of the largest value of an array: what each layer's rounding is taken for, and what is allowed beside what that does.
ROUNDING = {np.float32: (2e-6, 2e-5), np.float64: (1e-14, 1e-12)}


def checked(network, attempt):
    """One draw of the parameters: 'equal'; 'hanging' where rounding may decide, so that gradients are not compared; or
    'explained' where they differ by no more than what noise of the size of rounding does."""
    eps, base = ROUNDING[network.kind]
    parameters, x = draw(network, attempt)
    parameters = settle(network, parameters, x)
    expected = reference(network, parameters, x)
    size = {name: float(np.abs(a).max(initial=0)) for name, a in expected.items()}
    # In front of a batch norm a bias has the gradient 0, a sum of large terms: it is held against the other gradients.
    largest = max(size[name] for name in size if name.startswith("gradient"))
    for name in size:
        share = 0 if not name.startswith("gradient") else 0.1 if name.endswith("bias") else 0.01
        size[name] = max(size[name], share * largest)

    def moved(noise, draws):
        all_errors = [errors(reference(network, parameters, x, noise, k), expected) for k in range(draws)]
        return {name: max(e[name] for e in all_errors) for name in expected}

    sensitive = moved(eps, 1)
    # Gradients that hang by a hair, or that all but cancel, say nothing; outputs always do.
    hanging = any(sensitive[name] > 300 * eps * size[name] for name in size)
    single = errors(reference(network, parameters, x, kind=network.kind), expected)
    found = run(network, parameters, x)
    allowed = {n: base * size[n] + 8 * max(sensitive[n], single[n]) for n in size}
    wrong = {n: e for n, e in errors(found, expected).items() if not e <= allowed[n]}
    if hanging and not any(name.startswith("output") for name in wrong):
        return "hanging"
    if wrong:
        wide = moved(2 * eps, 24)
        if all(e <= wide[name] for name, e in wrong.items()):
            return "explained"
        report = "\n".join(f"  {n}: off by {e:.3e}, largest value {size[n]:.3e}" for n, e in wrong.items())
        raise Different(f"{report}\nparameters drawn {attempt + 1} times\n{network}")
    same_bits(network, found, run(network, parameters, x, 3 - network.threads), "other bits with another thread count")
    return "equal"


def check(seed):
    """'exact', 'equal', or 'undecided' where every draw of the parameters left something to rounding."""
    network = describe(seed)
    try:
        if network.integers:
            return "exact" if check_integers(network) else "too large"
        results = []
        while "equal" not in results and len(results) < DRAWS:
            results.append(checked(network, len(results)))
            if results.count("explained") == 3:
                raise Different(f"other gradients than expected, three times, if each time at a kink\n{network}")
        return results[-1] if results[-1] == "equal" else "undecided"
    except Different:
        raise
    except Exception as problem:
        raise Different(f"{type(problem).__name__}: {problem}\n{network}") from problem


def run_alone(seed):
    """Forward and backward twice, with nothing to compare: for the sanitizers."""
    network = describe(seed)
    parameters, x = draw(network, 0)
    same_bits(network, run(network, parameters, x), run(network, parameters, x), "another result the second time")
    return "ran"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--alone", action="store_true", help="run them only: no reference")
    arguments = parser.parse_args()
    counts, failures = {}, 0
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            result = (run_alone if arguments.alone else check)(seed)
        except Different as problem:
            failures += 1
            print(problem, flush=True)
            result = "different"
        counts[result] = counts.get(result, 0) + 1
    print(", ".join(f"{n} {result}" for result, n in sorted(counts.items())), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
