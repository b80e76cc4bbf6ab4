"""conv2d against NumPy and torch."""

import numpy as np
import pytest
from harness import (
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    check_threads,
    isas,
    needs_torch,
    rng,
    torch,
)

import cnn
import cnn.nn.functional as F
from cnn import _cnn, nn
from cnn.backends import conv as settings
from cnn.tensor import Tensor

# ---- the expectation ----------------------------------------------------------------------------------------------


def windows(x, kernel, stride, padding, dilation):
    """x (N, C, H, W) -> (N, C, KH, KW, OH, OW): what each tap of each output sees, and where: index arrays."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    oh = (padded.shape[2] - dh * (kh - 1) - 1) // sh + 1
    ow = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    rows = np.arange(kh)[:, None] * dh + np.arange(oh) * sh  # (KH, OH)
    cols = np.arange(kw)[:, None] * dw + np.arange(ow) * sw  # (KW, OW)
    return padded[:, :, rows[:, None, :, None], cols[None, :, None, :]], padded.shape, rows, cols


def expectation(x, w, b, dy, case):
    """y, dx, dw, db of integers, in int64."""
    groups = case["groups"]
    geometry = [case[k] for k in ("stride", "padding", "dilation")]
    seen, padded, rows, cols = windows(x, w.shape[2:], *geometry)
    n, c, kh, kw, oh, ow = seen.shape
    seen = seen.reshape(n, groups, c // groups, kh, kw, oh, ow)
    wg = w.reshape(groups, -1, *w.shape[1:])
    y = np.einsum("ngchwij,gochw->ngoij", seen, wg).reshape(n, len(w), oh, ow) + b[:, None, None]
    if dy is None:
        return y, None, None, None
    dyg = dy.reshape(n, groups, len(w) // groups, oh, ow)
    dw = np.einsum("ngchwij,ngoij->gochw", seen, dyg).reshape(w.shape)
    spread = np.einsum("ngoij,gochw->ngchwij", dyg, wg).reshape(n, c, kh, kw, oh, ow)
    dx = np.zeros(padded, np.int64)
    np.add.at(dx, (slice(None), slice(None), rows[:, None, :, None], cols[None, :, None, :]), spread)
    ph, pw = case["padding"]
    dx = dx[:, :, ph : padded[2] - ph, pw : padded[3] - pw]
    return y, dx, dw, dy.sum((0, 2, 3))


# ---- cases --------------------------------------------------------------------------------------------------------


def random_case(seed):
    """One convolution: the layers that people write, and everything between them."""
    random = rng(seed)
    groups = int(random.choice([1, 1, 1, 1, 2, 3, 5]))
    few = (1, 2, 3, 4, 5, 6, 7, 12, 13, 16, 17, 24, 32, 33)
    ics, ocs = int(random.choice(few[:9] if groups > 1 else few)), int(random.choice(few[:9] if groups > 1 else few))
    if random.random() < 0.1:  # depthwise
        groups, ics, ocs = int(random.choice(few[3:])), 1, int(random.choice((1, 1, 1, 2)))
    kernel = [int(k) for k in random.choice([1, 2, 3, 3, 3, 4, 5, 5, 7], 2)]
    if random.random() < 0.5:
        kernel[1] = kernel[0]
    case = {
        "groups": groups,
        "stride": tuple(int(s) for s in random.choice([1, 1, 1, 2, 3], 2)),
        "dilation": tuple(int(d) for d in random.choice([1, 1, 1, 1, 2, 3], 2)),
        "padding": tuple(int(random.integers(0, k + 1)) for k in kernel),
    }
    reach = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(case["dilation"], kernel, case["padding"], strict=True)]
    size = [max(1, r) + int(random.choice([0, 1, 2, 5, 9, 14, 15, 16, 19, 27])) for r in reach]
    n = int(random.choice([0, 1, 1, 2, 3, 5]))
    x = random.integers(-4, 5, (n, groups * ics, *size))
    w = random.integers(-4, 5, (groups * ocs, ics, *kernel))
    b = random.integers(-4, 5, groups * ocs)
    return x, w, b, case


def describe(seed):
    x, w, b, case = random_case(seed)
    return f"seed {seed}: x {x.shape}, w {w.shape}, {case}"


def run(x, w, b, dy, case, x_last=False, dy_last=False):
    """y, dx, dw, db from the library, with x and dy in the memory order asked for."""
    order = [channels_last if last else np.ascontiguousarray for last in (x_last, dy_last)]
    tensors = [cnn.from_numpy(order[0](x)), cnn.from_numpy(w), cnn.from_numpy(b)]
    for t in tensors:
        t.requires_grad_(True)
    y = F.conv2d(*tensors, **case)
    y.backward(Tensor._wrap(order[1](dy)))
    return y, *(t.grad for t in tensors)


ORDERS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("algorithm", ["auto", "direct", "channels", "planes"])
@pytest.mark.parametrize("block", range(25))
def test_exact(every_isa, block, algorithm):
    """Forward and every gradient, each bit, in every combination of memory orders."""
    if _cnn.isa() == "plain" and algorithm != "direct":
        pytest.skip("the plain layer knows no algorithms")
    for seed in range(block * 10, block * 10 + 10):
        x, w, b, case = random_case(seed)
        if algorithm == "auto" and w.shape[2:] == (3, 3):
            continue  # may be Winograd, which rounds
        y = expectation(x, w, b, None, case)[0]
        dy = rng(seed + 1000000).integers(-4, 5, y.shape)
        want = expectation(x, w, b, dy, case)
        x_last, dy_last = ORDERS[seed % 4]
        settings.algorithm = algorithm
        try:
            check_exact(lambda *a: run(*a, case, x_last, dy_last), want, x, w, b, dy)  # noqa: B023
        except AssertionError as error:
            raise AssertionError(f"{describe(seed)}: {error}") from None
        finally:
            settings.algorithm = "auto"


# Shapes that one way of the engine or another was made for: x, w, and what differs from stride 1 and padding 1.
SPECIAL = [
    ((1, 70, 4, 4), (137, 70, 3, 3), {}),  # few pixels, large weights
    ((2, 300, 1, 2), (59, 300, 1, 1), {"padding": (0, 0)}),
    ((1, 65, 5, 6), (9, 65, 5, 5), {"padding": (0, 0)}),
    ((2, 3, 40, 41), (6, 3, 5, 5), {"padding": (2, 2)}),  # planes, whole rows
    ((9, 6, 14, 14), (16, 6, 5, 5), {"padding": (0, 0)}),  # planes as one long row
    ((3, 12, 16, 16), (24, 12, 5, 5), {"padding": (2, 2), "stride": (2, 2)}),
    ((2, 48, 9, 8), (48, 48, 3, 3), {}),  # blocks of three vectors
    ((2, 20, 12, 12), (80, 20, 1, 1), {"padding": (0, 0)}),  # read in place
    ((2, 20, 13, 12), (40, 20, 1, 1), {"padding": (0, 0), "stride": (2, 2)}),
    ((60, 64, 7, 9), (130, 64, 1, 1), {"padding": (0, 0), "stride": (3, 2)}),  # many strips, with gaps
    ((9, 96, 14, 14), (352, 96, 1, 1), {"padding": (0, 0)}),  # several blocks at a time, for the weights
    ((3, 32, 9, 9), (64, 32, 1, 1), {"padding": (0, 1), "stride": (2, 2)}),
    ((1, 3, 30, 30), (64, 3, 7, 7), {"padding": (3, 3), "stride": (2, 2)}),
    ((5, 64, 8, 8), (64, 1, 3, 3), {"groups": 64}),  # depthwise
    ((2, 24, 17, 16), (24, 1, 3, 3), {"groups": 24, "stride": (2, 2)}),
    ((2, 33, 9, 14), (33, 1, 5, 5), {"groups": 33, "padding": (2, 2)}),
    ((1, 5, 9, 9), (5, 1, 3, 3), {"groups": 5, "stride": (1, 2)}),
    ((2, 6, 12, 12), (18, 1, 3, 3), {"groups": 6}),
    ((1, 4, 100, 70), (8, 4, 3, 3), {"dilation": (2, 3), "padding": (2, 3)}),
    ((70, 4, 5, 5), (34, 4, 3, 3), {}),  # several images to a chunk
    ((3, 5, 3, 3), (17, 5, 3, 3), {"padding": (0, 0)}),  # single pixels, out and in
    ((4, 18, 1, 1), (40, 18, 3, 3), {}),
    ((3, 6, 1, 1), (6, 1, 3, 3), {"groups": 6}),
    ((2, 32, 9, 14), (32, 4, 3, 3), {"groups": 8}),  # vectors of several groups
    ((2, 32, 10, 9), (32, 8, 3, 3), {"groups": 4, "stride": (2, 2)}),
    ((2, 48, 7, 7), (48, 16, 3, 3), {"groups": 3}),
    ((2, 16, 9, 8), (32, 1, 3, 3), {"groups": 16, "padding": (0, 2)}),
    ((2, 24, 8, 11), (48, 1, 3, 3), {"groups": 24, "stride": (1, 2)}),
    ((2, 64, 6, 9), (32, 8, 3, 3), {"groups": 8}),
    ((2, 33, 9, 9), (33, 3, 3, 3), {"groups": 11, "stride": (2, 1), "dilation": (2, 1)}),
    ((2, 40, 5, 8), (20, 4, 1, 1), {"groups": 10, "padding": (0, 0)}),
    ((2, 18, 9, 13), (54, 2, 1, 1), {"groups": 9, "padding": (1, 0), "stride": (2, 2)}),
    ((2, 96, 12, 12), (96, 1, 7, 7), {"groups": 96, "padding": (3, 3)}),  # depthwise, more taps
    ((2, 40, 13, 12), (40, 1, 5, 5), {"groups": 40, "padding": (2, 1), "stride": (2, 2)}),
]


@pytest.mark.parametrize("number", range(len(SPECIAL)))
def test_exact_special(every_isa, number):
    x_shape, w_shape, change = SPECIAL[number]
    case = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **change}
    random = rng(number)
    x, w, b = (random.integers(-3, 4, s) for s in (x_shape, w_shape, w_shape[:1]))
    y = expectation(x, w, b, None, case)[0]
    dy = random.integers(-3, 4, y.shape)
    want = expectation(x, w, b, dy, case)
    settings.algorithm = "direct"
    try:
        for x_last, dy_last in ORDERS:
            check_exact(lambda *a: run(*a, case, x_last, dy_last), want, x, w, b, dy)  # noqa: B023
    finally:
        settings.algorithm = "auto"


@pytest.mark.parametrize("seed", range(60))
def test_exact_depthwise(every_isa, seed):
    """Rows of three taps have loops of their own: every width around four, stride, border and count of vectors."""
    random = rng(seed)
    channels, stride = int(random.choice([4, 8, 16, 17, 24, 33, 48, 64])), (int(random.choice([1, 2, 3])), seed % 2 + 1)
    kernel, padding = (int(random.choice([1, 3, 3, 5])), 3), (int(random.integers(0, 3)), int(random.integers(0, 3)))
    size = int(random.integers(5, 12)), int(random.integers(3, 20))
    case = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": channels}
    x, w, b = (
        random.integers(-3, 4, s)
        for s in ((int(random.integers(1, 4)), channels, *size), (channels, 1, *kernel), channels)
    )
    y = expectation(x, w, b, None, case)[0]
    dy = random.integers(-3, 4, y.shape)
    want = expectation(x, w, b, dy, case)
    settings.algorithm = "direct"
    try:
        for x_last, dy_last in ((True, True), ORDERS[seed % 3]):
            check_exact(lambda *a: run(*a, case, x_last, dy_last), want, x, w, b, dy)  # noqa: B023
    finally:
        settings.algorithm = "auto"


@pytest.mark.parametrize("algorithm", ["plain", "channels", "planes", "direct", "winograd"])
def test_fused_relu(every_isa, algorithm):
    """The ReLU in the store is the ReLU after it."""
    for number in (0, 3, 4, 6, 8, 10, 12):
        x_shape, w_shape, change = SPECIAL[number]
        case = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **change}
        random = rng(number)
        x, w, b = (random.integers(-3, 4, s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1]))
        if number != 0:  # a single tile to Winograd's way, which would be NaN all over
            x.flat[0] = np.nan
        sh, sw, ph, pw, dh, dw = (*case["stride"], *case["padding"], *case["dilation"])
        geometry = (sh, sw, ph, ph, pw, pw, dh, dw, case["groups"], settings.ALGORITHMS.index(algorithm))
        y, fused = (_cnn.conv2d_forward(x, w, b, *geometry, relu, None) for relu in (0, 1))
        assert np.array_equal(fused, np.where(y <= 0, 0, y), equal_nan=True)
        assert (y < 0).any() and np.isnan(y).any() == (number != 0)


def test_adjoint(every_isa):
    """<conv(x), dy> = <x, dx> = <w, dw>, exactly: backward is the transpose of forward."""
    for seed in range(5000, 5060):
        x, w, b, case = random_case(seed)
        if x.size == 0:
            continue
        x, w, b = (a.astype(np.float64) for a in (x, w, b))
        y = F.conv2d(cnn.from_numpy(x), cnn.from_numpy(w), **case)._a
        dy = rng(seed).integers(-4, 5, y.shape).astype(np.float64)
        _, dx, dw, db = run(x, w, b, dy, case)
        product = float((y * dy).sum())
        assert float((x * dx._a).sum()) == product, describe(seed)
        assert float((w * dw._a).sum()) == product, describe(seed)
        assert np.array_equal(db._a, dy.sum((0, 2, 3))), describe(seed)


@pytest.mark.parametrize("block", range(6))
def test_gradients(every_isa, block):
    for seed in range(6000 + block * 5, 6000 + block * 5 + 5):
        x, w, b, case = random_case(seed)
        if x.size == 0:
            continue
        random = rng(seed)
        arrays = [random.standard_normal(a.shape) for a in (x, w, b)]
        check_gradients(lambda *a: F.conv2d(*a, **case), *arrays)  # noqa: B023


@needs_torch
@pytest.mark.parametrize("block", range(10))
def test_torch(block):
    for seed in range(7000 + block * 20, 7000 + block * 20 + 20):
        x, w, b, case = random_case(seed)
        if torch_refuses(x):
            continue
        random = rng(seed)
        arrays = [random.standard_normal(a.shape) for a in (x, w, b)]
        terms = max(w[0].size, x.shape[0] * x.shape[2] * x.shape[3], w.shape[0] * w[0, 0].size)
        check_against_torch(
            lambda *a: F.conv2d(*a, **case),  # noqa: B023
            lambda *a: torch.nn.functional.conv2d(*a, **case),  # noqa: B023
            *arrays,
            terms=terms,
        )


def torch_refuses(x):
    return x.shape[0] == 0  # some of its backward passes do not take empty batches


@needs_torch
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, (2, 5), (6, 1)])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(kernel, dilation, padding):
    random = rng(8)
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    x, w, b = random.standard_normal((2, 3, 17, 16)), random.standard_normal((4, 3, *kernel)), random.standard_normal(4)
    check_against_torch(
        lambda *a: F.conv2d(*a, padding=padding, dilation=dilation),
        lambda *a: torch.nn.functional.conv2d(*a, padding=padding, dilation=dilation),
        x,
        w,
        b,
        terms=100,
    )


def test_unbatched_and_no_bias(every_isa):
    x, w = rng(9).standard_normal((3, 8, 9)), rng(10).standard_normal((4, 3, 3, 3))
    one = F.conv2d(cnn.from_numpy(x), cnn.from_numpy(w), padding=1)
    batch = F.conv2d(cnn.from_numpy(x[None]), cnn.from_numpy(w), cnn.zeros(4, dtype=cnn.float64), padding=(1,))
    assert one.shape == (4, 8, 9) and np.array_equal(one._a, batch._a[0])


def test_only_wanted_gradients():
    x, w = cnn.ones(1, 2, 4, 4), cnn.ones(3, 2, 3, 3, requires_grad=True)
    F.conv2d(x, w).sum().backward()
    assert x.grad is None and w.grad._a.tolist() == np.full((3, 2, 3, 3), 4).tolist()


def test_memory_layouts(every_isa):
    random = rng(11)
    x, w, b = (random.standard_normal(s).astype(np.float32) for s in ((2, 5, 7, 6), (4, 5, 3, 3), (4,)))
    for index in range(3):
        check_memory_variants(lambda *a: F.conv2d(*map(Tensor._wrap, a), padding=1), x, w, b, index=index)
    dy = random.standard_normal((2, 4, 7, 6)).astype(np.float32)
    geometry = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0)
    for index in range(3):
        check_memory_variants(
            lambda *a: _cnn.conv2d_backward(*a, *geometry, True, True, True, False),
            *(dy, x, w),
            index=index,
        )


def test_memory_orders_agree(every_isa):
    """The four combinations of memory orders, on shapes that every way of the engine takes."""
    for channels, size, groups in [(3, 12, 1), (16, 9, 1), (34, 8, 1), (24, 16, 1), (32, 10, 4), (16, 11, 16)]:
        random = rng(channels)
        x = random.integers(-4, 5, (3, channels, size, size + 1)).astype(np.float32)
        w = random.integers(-4, 5, (channels, channels // groups, 5, 5)).astype(np.float32)
        b = random.integers(-4, 5, channels).astype(np.float32)
        case = {"stride": (1, 1), "padding": (2, 2), "dilation": (1, 1), "groups": groups}
        dy = random.integers(-4, 5, x.shape).astype(np.float32)
        results = [run(x, w, b, dy, case, *order) for order in ORDERS]
        for other in results[1:]:
            for a, b_ in zip(results[0], other, strict=True):
                assert np.array_equal(a._a, b_._a)


def test_threads(every_isa):
    for channels, n, size in [(3, 33, 16), (40, 9, 8), (6, 2, 40), (64, 1, 12)]:
        random = rng(channels)
        x, w, b, dy = (
            random.standard_normal(s).astype(np.float32)
            for s in ((n, channels, size, size), (24, channels, 5, 5), (24,), (n, 24, size, size))
        )
        case = {"stride": (1, 1), "padding": (2, 2), "dilation": (1, 1), "groups": 1}
        check_threads(lambda: run(x, w, b, dy, case))  # noqa: B023


@pytest.mark.parametrize("threads", [1, 4])
def test_empty_batch(every_isa, threads):
    before = cnn.get_num_threads()
    cnn.set_num_threads(threads)
    try:
        for channels in (3, 32):
            x, w = np.zeros((0, channels, 6, 6), np.float32), np.ones((channels, channels, 3, 3), np.float32)
            case = {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
            y, dx, dw, db = run(x, w, w[:, 0, 0, 0], np.zeros((0, channels, 3, 3), np.float32), case)
            assert y.shape == (0, channels, 3, 3) and dx.shape == x.shape
            assert dw.shape == w.shape and not dw._a.any() and not db._a.any()
    finally:
        cnn.set_num_threads(before)


# ---- the module ---------------------------------------------------------------------------------------------------


@needs_torch
def test_module_is_torchs():
    for arguments, named in [
        ((3, 6, 5), {}),
        ((3, 6, 3), {"padding": 1}),
        ((4, 8, (3, 5)), {"stride": 2, "padding": (1, 2), "dilation": (2, 1), "groups": 2, "bias": False}),
        ((4, 8, 3), {"padding": "same", "padding_mode": "circular"}),
    ]:
        cnn.manual_seed(7)
        torch.manual_seed(7)
        ours, theirs = nn.Conv2d(*arguments, **named), torch.nn.Conv2d(*arguments, **named)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert np.array_equal(a._a, b.detach().numpy())
        x = rng(12).standard_normal((2, arguments[0], 12, 13)).astype(np.float32)
        np.testing.assert_allclose(
            ours(cnn.from_numpy(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5
        )


# ---- mistakes -----------------------------------------------------------------------------------------------------

HUGE = 2**63 - 5

MISTAKES = [
    ({"x": (2, 4, 8, 8)}, "expected input (2, 4, 8, 8) to have 3 channels, but got 4 channels instead"),
    ({"x": (8, 8)}, "input must have 4 dimensions, got shape (8, 8)"),
    ({"w": (6, 3, 3)}, "weight must have 4 dimensions, got shape (6, 3, 3)"),
    ({"groups": 2}, "given groups=2"),
    ({"groups": 4}, "weight must be divisible by it at dimension 0"),
    ({"groups": 0}, "groups must be between 1"),
    ({"x": (2, 3, 2, 8)}, "kernel size can't be greater than the padded input"),
    ({"dilation": 4}, "kernel height 3 with dilation 4, input height 8 with padding 0 and 0"),
    ({"dilation": HUGE}, "height is too large"),
    ({"dilation": 2**62}, "height is too large"),
    ({"padding": HUGE}, "height is too large"),
    ({"padding": 2**70}, "padding must be between 0"),
    ({"padding": -1}, "padding must be between 0"),
    ({"padding": "some"}, "padding must be 'same', 'valid' or integers"),
    ({"padding": (1, 2, 3)}, "padding must either be a single int, or a tuple of two ints, got (1, 2, 3)"),
    ({"padding": 1.5}, "padding must be an int or a tuple of two ints, got 1.5"),
    ({"padding": "same", "stride": 2}, "padding='same' is not supported for strided convolutions"),
    ({"stride": 0}, "stride must be between 1"),
    ({"stride": -HUGE}, "stride must be between 1"),
    ({"b": (5,)}, "expected bias to be 1-dimensional with 6 elements, got bias of shape (5,)"),
    ({"b": (6, 1)}, "expected bias to be 1-dimensional with 6 elements, got bias of shape (6, 1)"),
    ({"x": (2, 3, 0, 8)}, "only the batch of input may be empty"),
    ({"w": (0, 3, 3, 3), "b": (0,)}, "weight must not be empty"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes(change, message):
    change = dict(change)
    shapes = {"x": (2, 3, 8, 8), "w": (6, 3, 3, 3), "b": (6,)}
    x, w, b = (np.zeros(change.pop(name, shape), np.float32) for name, shape in shapes.items())
    with pytest.raises((ValueError, TypeError, RuntimeError)) as error:
        F.conv2d(cnn.from_numpy(x), cnn.from_numpy(w), cnn.from_numpy(b), **change)
    assert message in str(error.value) and "conv2d" in str(error.value)


def test_mixed_types():
    x, w = cnn.zeros(1, 3, 8, 8, dtype=cnn.float64), cnn.zeros(6, 3, 3, 3)
    with pytest.raises(cnn.errors.DTypeError, match=r"input float64 and weight float32: convert .* with \.float\(\)"):
        F.conv2d(x, w)
    with pytest.raises(TypeError, match="input must be float32 or float64, got int64"):
        F.conv2d(cnn.zeros(1, 3, 8, 8, dtype=cnn.int64), w)
    with pytest.raises(TypeError, match="bias must be float32, got float64"):
        F.conv2d(x.float(), w, cnn.zeros(6, dtype=cnn.float64))


def test_extreme_integers(every_isa):
    """Whatever the numbers, either a result or an exception."""
    random = rng(13)
    extremes = [0, 1, 2, 3, 7, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, -1, -(2**63)]
    x, w = cnn.ones(1, 2, 5, 6), cnn.ones(2, 2, 2, 3)
    for _ in range(300):
        pick = [extremes[i] for i in random.integers(0, len(extremes), 6)]
        if max(pick[2:4]) in (2**31 - 1, 2**31, 2**40) and min(pick[:2]) < 2**28:
            continue  # an output that fits into memory on some machines
        try:
            y = F.conv2d(x, w, None, (pick[0], pick[1]), (pick[2], pick[3]), (pick[4], pick[5]))
        except (ValueError, OverflowError, MemoryError):
            continue
        assert y.ndim == 4


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize("one", [0, 1])
def test_a_dilation_between_one_tap_and_no_other(every_isa, groups, one):
    """It is no distance: any number gives the same bits by the same way."""
    kernel = (1, 3) if one == 0 else (3, 1)
    random = rng(17)
    x = random.standard_normal((2, 16, 9, 8)).astype(np.float32)
    w = random.standard_normal((16, 16 // groups, *kernel)).astype(np.float32)
    results, ways = [], []
    for dilation in (1, 2**40, 2**63 - 1):
        both = (dilation, 1) if one == 0 else (1, dilation)
        given = cnn.from_numpy(x).requires_grad_(), cnn.from_numpy(w).requires_grad_()
        y = F.conv2d(*given, padding=1, dilation=both, groups=groups)
        y.backward(y.detach())
        results.append([t.numpy() for t in (y.detach(), given[0].grad, given[1].grad)])
        ways.append(settings.explain(*given, padding=1, dilation=both, groups=groups))
    assert ways[0] == ways[1] == ways[2]
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


HUGE = {
    "alone": lambda p: [nn.Conv2d(2, 2, 3, padding=p)],
    "pooled": lambda p: [nn.Conv2d(2, 2, 3, padding=p), nn.ReLU(), nn.MaxPool2d(2)],
    "separable": lambda p: [nn.Conv2d(2, 2, 3, padding=p, groups=2), nn.ReLU(), nn.Conv2d(2, 4, 1)],
}


@pytest.mark.parametrize("padding", [2**20, 2**31, 2**40, 2**61])
@pytest.mark.parametrize("name", HUGE)
def test_huge_padding(every_isa, name, padding):
    """No machine has memory for the result, and the products of its sizes are no 64-bit numbers."""
    for enabled in (False, True):
        with cnn.set_grad_enabled(enabled), pytest.raises((MemoryError, ValueError), match="cannot get|too big"):
            nn.Sequential(*HUGE[name](padding))(cnn.ones(1, 2, 3, 3)).numpy()


@pytest.mark.parametrize("algorithm", ["auto", "direct", "channels", "planes"])
def test_one_phase_of_a_gradient_over_several_images(every_isa, algorithm):
    """Its rows are as much too long as its images are too short: six pixels whose first and last lie as if evenly."""
    random, geometry = rng(19), (2, 3, 3, 3, 6, 6, 1, 2, 1)
    x = channels_last(random.integers(-2, 3, (4, 69, 3, 4)).astype(np.float64))
    w = random.integers(-1, 2, (1, 69, 7, 7)).astype(np.float64)
    dy = random.integers(-3, 4, (4, 1, 2, 2)).astype(np.float64)
    results = []
    for way in ("plain", algorithm):
        _cnn.empty(x.shape, x.dtype).fill(np.nan)  # what the next result finds where it is not written to
        flags = (settings.ALGORITHMS.index(way), True, False, False, False)
        results.append(_cnn.conv2d_backward(dy, x, w, *geometry, *flags)[0])
    assert np.array_equal(*results)


@pytest.mark.parametrize("place", range(3))
def test_a_flag_that_is_neither_true_nor_false(place):
    x, w = np.ones((2, 4, 5, 5), np.float32), np.ones((4, 4, 3, 3), np.float32)
    for odd in (np.ones(2), cnn.ones(2)):
        flags = [True, True, True]
        flags[place] = odd
        with pytest.raises((ValueError, RuntimeError), match="ambiguous"):
            _cnn.conv2d_backward(x, x, w, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, *flags, False)


@pytest.mark.parametrize("name", ["bias", "scale"])
@pytest.mark.parametrize("values", [np.ones(5, np.float32), np.ones((6, 1), np.float32), np.ones(6)])
def test_mistakes_behind_a_depthwise_layer(name, values):
    """A bias that is too short would be read behind its end."""
    x, w = np.ones((8, 32, 40, 40), np.float32), np.ones((32, 1, 3, 3), np.float32)
    behind = {"w": np.ones((6, 32, 1, 1), np.float32), "bias": None, "scale": None} | {name: values}
    with pytest.raises((ValueError, TypeError), match=f"pointwise {name}"):
        _cnn.conv2d_separable_forward(x, w, None, 1, 1, 1, 1, 1, 1, 1, 1, 32, 0, None, False, *behind.values(), False)


def test_explain():
    wide, few, narrow = (1, 64, 16, 16), (8, 6, 32, 32), (1, 512, 4, 4)
    explain = settings.explain
    assert "Winograd F(4x4,3x3)" in explain(cnn.ones(*wide), cnn.ones(64, 64, 3, 3), padding=1)
    assert "pixels" in explain(cnn.ones(*few), cnn.ones(12, 6, 5, 5), padding=2).splitlines()[0]
    assert "weights as they lie" in explain(cnn.ones(*narrow), cnn.ones(512, 512, 1, 1))
    assert "depthwise" in explain(cnn.ones(*wide), cnn.ones(64, 1, 3, 3), groups=64)
    assert "empty" in explain(cnn.ones(0, 6, 8, 8), cnn.ones(12, 6, 5, 5))
    assert "many times its size" in explain(cnn.ones(1, 1, 4, 4), cnn.ones(1, 1, 1, 1), padding=1000, stride=1000)
    try:
        settings.algorithm = "direct"
        assert "Winograd" not in explain(cnn.ones(*wide), cnn.ones(64, 64, 3, 3), padding=1)
    finally:
        settings.algorithm = "auto"


def test_settings():
    assert settings.algorithm == "auto"
    with pytest.raises(ValueError, match="expected one of auto, direct, winograd, precise, got 'fast'"):
        settings.algorithm = "fast"
    assert cnn.backends.conv.algorithm == "auto"


def test_plain_is_there():
    assert isas()[0] == "plain"
