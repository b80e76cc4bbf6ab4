"""Integers of any size, and what is no integer, as every integer argument of every layer.

The expectation is the formula of the result's shape in Python's unbounded integers: where it has no answer the layer
must refuse, in a message that names the argument; where it has one, the result has that shape or memory runs out.
"""

import operator
import os
import warnings

import child_processes
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from harness import CAN_LIMIT_MEMORY

import cnn
from cnn.nn import functional as F

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more
REFUSALS = (TypeError, ValueError, IndexError, OverflowError, RuntimeError)  # cnn.errors are among them


pytestmark = pytest.mark.usefixtures("little_memory")


# ---- the formulas ----

H, W = 6, 5


def windows(size, kernel, stride, padding, dilation=1, most_padding=None):
    """Outputs of a sliding window along one axis; None if there are none, or an argument makes no sense."""
    if kernel < 1 or stride < 1 or padding < 0 or dilation < 1:
        return None
    if most_padding is not None and padding > most_padding:
        return None
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    return room // stride + 1 if room >= 0 else None


def both(values, formula):
    """formula(size, value) along both axes, as a pair; None if one is None."""
    sizes = [formula(n, v) for n, v in zip((H, W), values, strict=True)]
    return None if None in sizes else tuple(sizes)


def as_number(value):
    """One integer; None for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        return None


def as_pair(value):
    """One integer, or a sequence of one or two, as two; None for anything else."""
    values = [as_number(v) for v in (value if isinstance(value, (tuple, list)) else [value])]
    if None in values or not 1 <= len(values) <= 2:
        return None
    return values * 2 if len(values) == 1 else values


def as_two(value):
    """One integer, or a sequence of two."""
    return None if isinstance(value, (tuple, list)) and len(value) != 2 else as_pair(value)


def as_single(value):
    """One integer, or a sequence of one."""
    values = as_pair(value)
    return None if values is None or isinstance(value, (tuple, list)) and len(value) == 2 else values[0]


# ---- every integer argument ----


class Argument:
    """One argument of a function: call(value), formula(value) for the result's shape or None, the names that its
    messages may use, whether None stands for a default, and how a value is read."""

    def __init__(self, call, formula, *names, none=False, kind=as_pair):
        self.call, self.formula, self.names, self.none, self.kind = call, formula, names, none, kind

    def expected(self, value):
        value = self.kind(value)
        return None if value is None else self.formula(value)


ARGUMENTS = {}


def add(function, name, call, formula, *names, **options):
    ARGUMENTS[f"{function}({name})"] = Argument(call, formula, name, *names, **options)


IMAGE = cnn.ones(1, 4, H, W)
ROW = cnn.ones(1, 4, W)
WEIGHT = cnn.ones(8, 2, 3, 2)
KERNEL = (3, 2)


def conv2d(**given):
    return F.conv2d(IMAGE, WEIGHT, **{"groups": 2, **given})


def convolved(values, **fixed):
    """The shape that conv2d gives where `fixed` has two of stride, padding and dilation, and values are the third."""
    (name,) = {"stride", "padding", "dilation"} - set(fixed)
    outputs = [windows(n, k, **{**fixed, name: v}) for n, k, v in zip((H, W), KERNEL, values, strict=True)]
    return None if None in outputs else (1, 8, *outputs)


add("conv2d", "stride", lambda v: conv2d(stride=v), lambda v: convolved(v, padding=0, dilation=1))
add("conv2d", "padding", lambda v: conv2d(padding=v), lambda v: convolved(v, stride=1, dilation=1))
add("conv2d", "dilation", lambda v: conv2d(dilation=v, padding=3), lambda v: convolved(v, stride=1, padding=3))
add("conv2d", "groups", lambda v: conv2d(groups=v), lambda v: (1, 8, 4, 4) if v == 2 else None, kind=as_number)

FILTER = cnn.ones(6, 4, 3)


def conv1d(**given):
    return F.conv1d(ROW, FILTER, **given)


def filtered(*window):
    outputs = windows(W, 3, *window)
    return None if outputs is None else (1, 6, outputs)


add("conv1d", "stride", lambda v: conv1d(stride=v), lambda v: filtered(v, 0), kind=as_single)
add("conv1d", "padding", lambda v: conv1d(padding=v), lambda v: filtered(1, v), kind=as_single)
add("conv1d", "dilation", lambda v: conv1d(dilation=v, padding=2), lambda v: filtered(1, 2, v), kind=as_single)
add("conv1d", "groups", lambda v: conv1d(groups=v), lambda v: (1, 6, 3) if v == 1 else None, kind=as_number)

SPREAD = cnn.ones(4, 3, 3, 2)


def transposed(values, name):
    sizes = []
    for n, k, v in zip((H, W), KERNEL, values, strict=True):
        s, p, extra, d = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, name: v}.values()
        out = (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        if s < 1 or d < 1 or p < 0 or not 0 <= extra < max(s, d) or out < 1:
            return None
        sizes.append(out)
    return (1, 3, *sizes)


for name in ("stride", "padding", "output_padding", "dilation"):
    add(
        "conv_transpose2d",
        name,
        lambda v, name=name: F.conv_transpose2d(IMAGE, SPREAD, **{name: v}),
        lambda v, name=name: transposed(v, name),
    )
add(
    "conv_transpose2d",
    "groups",
    lambda v: F.conv_transpose2d(IMAGE, SPREAD, groups=v),
    lambda v: (1, 3 * v, 8, 6) if v in (1, 2, 4) else None,
    kind=as_number,
)

POOL = {"kernel_size": 3, "stride": 2, "padding": 1}


def pooled(name, values):
    """The shape that a pooling layer gives with POOL, and `name` replaced."""

    def axis(n, v):
        given = {**POOL, "dilation": 1, name: v}
        return windows(n, *given.values(), most_padding=given["kernel_size"] // 2)

    sizes = both(values, axis)
    return None if sizes is None else (1, 4, *sizes)


def pooled_row(name, value):
    shape = pooled(name, [POOL.get(name, 1), value])
    return None if shape is None else (1, 4, shape[3])


for function in (F.max_pool2d, F.avg_pool2d, F.max_pool1d, F.avg_pool1d):
    for name in (*POOL, "dilation"):
        if name == "dilation" and "avg" in function.__name__:
            continue
        x, shape, kind = (IMAGE, pooled, as_pair) if "2d" in function.__name__ else (ROW, pooled_row, as_single)
        add(
            function.__name__,
            name,
            lambda v, f=function, name=name, x=x: f(x, **{**POOL, name: v}),
            lambda v, name=name, shape=shape: shape(name, v),
            "pad should be",
            none=name == "stride",
            kind=kind,
        )
add(
    "avg_pool2d",
    "divisor_override",
    lambda v: F.avg_pool2d(IMAGE, 2, divisor_override=v),
    lambda v: (1, 4, 3, 2) if v and -(2**63) <= v < 2**63 else None,
    none=True,
    kind=as_number,
)
for function in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
    add(
        function.__name__,
        "output_size",
        lambda v, f=function: f(IMAGE, v),
        lambda v: (1, 4, *v) if min(v) >= 0 else None,
        none=True,
    )
add(
    "adaptive_avg_pool1d",
    "output_size",
    lambda v: F.adaptive_avg_pool1d(ROW, v),
    lambda v: (1, 4, v) if v >= 0 else None,
    none=True,
    kind=as_single,
)

UNFOLD = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1}


def unfolded(values, name):
    counts = both(values, lambda n, v: windows(n, *{**UNFOLD, name: v}.values()))
    taps = values[0] * values[1] if name == "kernel_size" else 9
    return None if counts is None else (1, 4 * taps, counts[0] * counts[1])


for name in UNFOLD:
    add(
        "unfold",
        name,
        lambda v, name=name: F.unfold(IMAGE, **{**UNFOLD, name: v}),
        lambda v, name=name: unfolded(v, name),
    )


def folded(size):
    counts = [windows(n, 3, 2, 1) for n in size]
    return (1, 4, *size) if min(size) >= 1 and None not in counts and counts[0] * counts[1] == 9 else None


add("fold", "output_size", lambda v: F.fold(cnn.ones(1, 4 * 9, 9), v, **UNFOLD), folded)


def padded(place, mode, v):
    sides = [v if i == place else 1 for i in range(4)]
    left, right, top, bottom = sides
    n = (W, W, H, H)[place]
    out = (H + top + bottom, W + left + right)
    most = {"reflect": n - 1, "circular": n}.get(mode, v)
    least = {"constant": -n, "circular": 1 - n}.get(mode, v)  # the 1 beside it goes around what is left
    return (1, 4, *out) if least <= v <= most and min(out) >= 0 else None


for mode in ("constant", "reflect", "replicate", "circular"):
    for place in range(4):
        add(
            f"pad-{mode}-{place}",
            "pad",
            lambda v, place=place, mode=mode: F.pad(IMAGE, [v if i == place else 1 for i in range(4)], mode),
            lambda v, place=place, mode=mode: padded(place, mode, v),
            "Pad",
            kind=as_number,
        )
for mode in ("nearest", "bilinear", "area"):
    add(
        f"interpolate-{mode}",
        "size",
        lambda v, mode=mode: F.interpolate(IMAGE, size=v, mode=mode),
        lambda v: (1, 4, *v) if min(v) >= 1 and max(v) <= 2**24 else None,
        kind=as_two,
    )
add(
    "pixel_shuffle",
    "upscale_factor",
    lambda v: F.pixel_shuffle(IMAGE, v),
    lambda v: {1: (1, 4, H, W), 2: (1, 1, 2 * H, 2 * W)}.get(v),
    kind=as_number,
)
add(
    "pixel_unshuffle",
    "downscale_factor",
    lambda v: F.pixel_unshuffle(IMAGE, v),
    lambda v: (1, 4, H, W) if v == 1 else None,
    kind=as_number,
)
for function, name in ((F.channel_shuffle, "groups"), (F.group_norm, "num_groups")):
    add(
        function.__name__,
        name,
        lambda v, f=function: f(IMAGE, v),
        lambda v: (1, 4, H, W) if v in (1, 2, 4) else None,
        kind=as_number,
    )
add(
    "layer_norm",
    "normalized_shape",
    lambda v: F.layer_norm(IMAGE, v),
    lambda v: (1, 4, H, W) if v == W else None,
    kind=as_single,
)
add(
    "one_hot",
    "num_classes",
    lambda v: F.one_hot(cnn.tensor([0, 2]), v),
    lambda v: (2, 3) if v == -1 else (2, v) if v > 2 else None,
    "classes",
    kind=as_number,
)


def along(function, dim):
    shape, number = (1, 4, H, W), 4
    if not -number <= dim < number:
        return None
    dim %= number
    return shape[:dim] + shape[dim + 1 :] if function is cnn.argmax else shape


for function in (F.softmax, F.log_softmax, cnn.cumsum, cnn.argmax):
    add(
        function.__name__,
        "dim",
        lambda v, f=function: f(IMAGE, v),
        lambda v, f=function: along(f, v),
        "Dimension",
        none=function is not cnn.cumsum,
        kind=as_number,
    )

# ---- values ----

HUGE = [sign * 2**e + d for e in (15, 31, 32, 40, 60, 61, 62, 63, 64, 200) for sign in (1, -1) for d in (-1, 0, 1)]
SMALL = list(range(-3, 8))
NO_INTEGERS = [
    1.5, 2.0, -0.0, float("nan"), float("inf"), 1e300, None, "2", "", b"2", 1j, object(), {}, {1: 2}, set(), ...,
    (), [], (1.0, 2.0), (1, None), (1, "2"), ("a", "b"), (1, 2, 3), (1,) * 100_000, [(1, 2), 3],
    np.float32(2), np.float64("nan"), np.zeros((2, 2)), cnn.ones(2),
]  # fmt: skip
INTEGERS = [True, False, np.int64(2), np.uint8(3), np.int64(-(2**63)), (2,), [1, 2], (np.int32(1), 2)]


def is_moderate(value):
    """False for numbers that a layer may refuse for their size alone."""
    if isinstance(value, (tuple, list)):
        return all(map(is_moderate, value))
    return abs(operator.index(value)) < 2**60


def is_none(value):
    """None, () in its place, or None beside an integer: adaptive layers take that for the input's own size."""
    return value is None or isinstance(value, (tuple, list)) and (value == () or len(value) == 2 and None in value)


def check(argument, value):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = argument.call(value)
    except MemoryError:
        return
    except REFUSALS as error:
        text = str(error)
        named = any(name in text for name in argument.names) or "too big for the address space" in text
        assert named, f"{value!r:.100}: the message names none of {argument.names}: {type(error).__name__}: {text:.300}"
        assert len(text) < 1000, f"{value!r:.60}: a message of {len(text)} characters: {text:.100}"
        shape = None if is_none(value) else argument.expected(value)
        beyond = shape is None or max(abs(n) for n in shape) > 2**20 or not is_moderate(value)
        assert beyond, f"{value!r:.100} was refused: {text:.300}"
        return
    if is_none(value):
        assert argument.none, f"{value} was accepted"
        return
    assert argument.expected(value) is not None, f"{value!r:.100} was accepted, with a result of {tuple(y.shape)}"
    assert tuple(y.shape) == argument.expected(value), f"{value!r:.100}"


@pytest.mark.parametrize("name", ARGUMENTS)
def test_huge_and_odd_values(name):
    argument = ARGUMENTS[name]
    for value in [*SMALL, *HUGE, *INTEGERS, *NO_INTEGERS]:
        check(argument, value)
    if argument.kind is as_pair:
        for value in [*HUGE, 0, -1]:
            for pair in ((value, 1), (1, value), [value, value]):
                check(argument, pair)


ANY_INTEGER = st.one_of(
    st.integers(-4, 40), st.sampled_from(HUGE), st.integers(2**40, 2**64), st.integers(-(2**70), -(2**40))
)


def settings(examples):
    return hypothesis.settings(
        max_examples=max(int(examples * TIMES), 1), deadline=None, database=None, derandomize=True
    )


@pytest.mark.parametrize("name", ARGUMENTS)
def test_any_integer(name):
    argument = ARGUMENTS[name]
    values = st.one_of(ANY_INTEGER, st.tuples(ANY_INTEGER, ANY_INTEGER)) if argument.kind is as_pair else ANY_INTEGER

    @settings(30)
    @hypothesis.given(values)
    def run(value):
        check(argument, value)

    run()


@settings(300)
@hypothesis.given(*[st.tuples(ANY_INTEGER, ANY_INTEGER) for _ in range(3)], st.booleans())
def test_any_integers_together(stride, padding, dilation, pooling):
    """Stride, padding and dilation of a convolution, or of a pooling layer, all at once."""
    most = [k // 2 for k in KERNEL] if pooling else [None, None]
    outputs = [windows(*axis) for axis in zip((H, W), KERNEL, stride, padding, dilation, most, strict=True)]
    shape = None if None in outputs else (1, 4 if pooling else 8, *outputs)

    def call(_):
        if pooling:
            return F.max_pool2d(IMAGE, KERNEL, stride, padding, dilation)
        return F.conv2d(IMAGE, WEIGHT, None, stride, padding, dilation, 2)

    names = ("stride", "padding", "dilation", "pad should be", "kernel")
    check(Argument(call, lambda _: shape, *names, kind=lambda v: v), (*stride, *padding, *dilation))


def test_a_dilation_that_wraps_around():
    """2^62 times 4 is 0 in 64 bits: torch then takes the kernel for one of a single tap."""
    with pytest.raises(ValueError, match="dilation"):
        F.conv2d(IMAGE, cnn.ones(8, 4, 5, 5), padding=2, dilation=2**62)
    with pytest.raises(ValueError, match="dilation"):
        F.max_pool2d(IMAGE, 5, padding=2, dilation=2**62)


def test_a_large_dilation_of_a_transposed_convolution():
    """The direct way back spreads the gradient out by the kernel: quadratic in the dilation, 14 seconds here."""
    y = F.conv_transpose2d(IMAGE, SPREAD, dilation=(2**15, 1))
    assert y.shape == (1, 3, H + 2 * 2**15, W + 1) and y.sum().item() == 3 * 4 * 6 * H * W


# ---- what does not fit into memory ----


@pytest.mark.skipif(not CAN_LIMIT_MEMORY, reason="the address space cannot be limited here")
def test_requests_too_large_for_memory():
    """Results of 2^40 values and more, in a process that may have 3 GiB: MemoryError each time, and life goes on."""
    out = child_processes.run_script(
        """
        import resource
        import numpy as np
        import cnn
        from cnn import nn
        from cnn.nn import functional as F

        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        x, row = cnn.ones(1, 2, 4, 4), cnn.ones(1, 2, 4)
        thin = cnn.from_numpy(np.broadcast_to(np.float32(1), (1, 1, 2**20, 2**20)))
        huge = cnn.from_numpy(np.broadcast_to(np.float32(1), (2**20, 2**20)))
        n = 2**20
        requests = [
            lambda: F.conv2d(x, cnn.ones(1, 2, 1, 1), padding=n),
            lambda: F.conv2d(thin, cnn.ones(1, 1, 1, 1)),
            lambda: F.conv_transpose2d(x, cnn.ones(2, 1, 1, 1), stride=n),
            lambda: F.adaptive_avg_pool2d(x, n),
            lambda: F.adaptive_max_pool2d(x, n),
            lambda: F.pad(x, (n, n, n, n)),
            lambda: F.pad(x, (n, n, n, n), mode="replicate"),
            lambda: F.interpolate(x, size=n),
            lambda: F.interpolate(x, size=n, mode="bilinear"),
            lambda: F.one_hot(cnn.tensor([0]), 2**40),
            lambda: F.unfold(x, 1, padding=n),
            lambda: F.relu(thin),
            lambda: F.max_pool2d(thin, 1),
            lambda: F.softmax(huge, 1),
            lambda: F.linear(cnn.ones(n, 1), cnn.ones(n, 1)),
            lambda: F.batch_norm(thin, None, None, training=True),
            lambda: cnn.matmul(cnn.ones(n, 1), cnn.ones(1, n)),
            lambda: cnn.zeros(n, n),
            lambda: cnn.empty(2**40),
            lambda: cnn.rand(n, n),
            lambda: cnn.randperm(2**40),
            lambda: cnn.cat([huge, huge]),
            lambda: huge + huge,
            lambda: huge * 2,
            lambda: nn.Linear(n, n),
            lambda: nn.Conv2d(n, n, 3),
            lambda: nn.BatchNorm2d(2**40),
        ]
        failures = 0
        for _ in range(4):
            for number, request in enumerate(requests):
                try:
                    request()
                except MemoryError as error:
                    assert str(error), number
                    failures += 1
                else:
                    raise AssertionError(f"request {number} was granted")
                y = F.relu(cnn.tensor([-1.0, 2.0]))
                assert y.tolist() == [0.0, 2.0]
        print(failures, len(requests) * 4)
        """
    )
    failures, requests = map(int, out.split())
    assert failures == requests >= 100
