"""max_pool2d against a slow NumPy reference and torch."""

import math

import numpy as np
import pytest
from harness import (
    as_tensors,
    channels_last,
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    check_threads,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn.errors import ShapeError
from cnn.nn import functional as F
from cnn.nn.max_pool1d import MaxPool1d, max_pool1d
from cnn.nn.max_pool2d import MaxPool2d, max_pool2d
from cnn.tensor import Tensor


def random_case(seed, dilations=(1, 2)):
    """A shape and arguments that fit it."""
    random = rng(seed)
    while True:
        kernel = tuple(int(k) for k in random.integers(1, 5, 2))
        dilation = tuple(int(d) for d in random.choice(dilations, 2))
        arguments = {
            "kernel_size": kernel,
            "stride": tuple(int(s) for s in random.integers(1, 4, 2)),
            "padding": tuple(int(random.integers(0, k // 2 + 1)) for k in kernel),
            "dilation": dilation,
            "ceil_mode": bool(random.integers(2)),
        }
        shape = (
            *(int(n) for n in random.choice([1, 2, 3, 5, 17, 33], 2)),
            *(int(n) for n in random.integers(1, 20, 2)),
        )
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        if all(n + 2 * p >= r for n, p, r in zip(shape[2:], arguments["padding"], reach, strict=True)):
            return shape, arguments


def output_size(size, kernel, stride, padding, dilation, ceil_mode):
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = (-(-room // stride) if ceil_mode else room // stride) + 1
    return outputs - 1 if ceil_mode and (outputs - 1) * stride >= size + padding else outputs


def reference(x, dy, kernel_size, stride, padding, dilation, ceil_mode):
    """y, argmax, dx: window by window. dy is cut to the shape of y."""
    N, C, H, W = x.shape
    OH, OW = (
        output_size(x.shape[2 + a], kernel_size[a], stride[a], padding[a], dilation[a], ceil_mode) for a in (0, 1)
    )
    y, argmax, dx = np.zeros((N, C, OH, OW), x.dtype), np.zeros((N, C, OH, OW), np.int64), np.zeros_like(x)
    for i, j in np.ndindex(OH, OW):
        rows = [h for h in (i * stride[0] - padding[0] + p * dilation[0] for p in range(kernel_size[0])) if 0 <= h < H]
        columns = [
            w for w in (j * stride[1] - padding[1] + q * dilation[1] for q in range(kernel_size[1])) if 0 <= w < W
        ]
        window = x[:, :, rows][:, :, :, columns].reshape(N, C, -1)
        positions = np.array([h * W + w for h in rows for w in columns])
        best = window.argmax(2)  # the first of equals
        y[:, :, i, j] = np.take_along_axis(window, best[..., None], 2)[..., 0]
        argmax[:, :, i, j] = positions[best]
        for n, c in np.ndindex(N, C):
            dx[n, c].reshape(-1)[argmax[n, c, i, j]] += dy[n, c, i, j]
    return y, argmax, dx


def distinct(shape, seed):
    """Shuffled values no two of which are close: no ties, no kinks."""
    return rng(seed).permutation(math.prod(shape)).reshape(shape).astype(np.float64) / 4


def run(x, dy, arguments):
    """y, indices, dx of our layer for arrays x and (larger than y) dy."""
    t = cnn.from_numpy(x).requires_grad_(True)
    y, indices = max_pool2d(t, **arguments, return_indices=True)
    y.backward(cnn.from_numpy(np.ascontiguousarray(dy[:, :, : y.shape[2], : y.shape[3]])))
    return [y, indices, t.grad]


@pytest.mark.parametrize("seed", range(25))
def test_exact(every_isa, seed):
    shape, arguments = random_case(seed)
    if any(
        -(-p // d) * d - p >= n for p, d, n in zip(arguments["padding"], arguments["dilation"], shape[2:], strict=True)
    ):
        pytest.skip("a dilated window lies on padding alone: see test_window_on_padding_alone")
    x = rng(seed + 1000).integers(-4, 5, shape)  # many ties
    dy = rng(seed + 2000).integers(-4, 5, (*shape[:2], 24, 24))
    expected = reference(x, dy, **arguments)
    check_exact(lambda x, dy: run(x, dy, arguments), expected, x, dy)
    check_exact(lambda x, dy: run(channels_last(x), dy, arguments), expected, x, dy)


@pytest.mark.parametrize("seed", range(12))
def test_gradients(every_isa, seed):
    shape, arguments = random_case(seed + 100)
    check_gradients(lambda x: max_pool2d(x, **arguments), distinct(shape, seed), tolerance=1e-6)
    check_gradients(
        lambda x: max_pool2d(x.permute(0, 3, 1, 2), **arguments),
        distinct((shape[0], *shape[2:], shape[1]), seed),
        tolerance=1e-6,
    )


@needs_torch
@pytest.mark.parametrize("seed", range(60))
def test_torch(seed):
    shape, arguments = random_case(seed + 200)
    f = torch.nn.functional.max_pool2d
    check_against_torch(lambda x: max_pool2d(x, **arguments), lambda x: f(x, **arguments), distinct(shape, seed))
    both = {**arguments, "return_indices": True}
    check_against_torch(lambda x: max_pool2d(x, **both), lambda x: f(x, **both), rng(seed).integers(0, 3, shape) * 1.0)


@needs_torch
def test_torch_defaults_and_unbatched():
    f = torch.nn.functional.max_pool2d
    for shape, kernel in [
        ((2, 3, 8, 8), 2),
        ((3, 7, 9), 3),
        ((3, 7, 9), (2, 3)),
        ((1, 1, 2, 2), 2),
        ((2, 5, 9, 9), [2]),
    ]:
        check_against_torch(lambda x, k=kernel: max_pool2d(x, k), lambda x, k=kernel: f(x, k), distinct(shape, 0))
    arguments = {"kernel_size": 3, "stride": 2, "ceil_mode": True}  # a window larger than the input hangs over
    check_against_torch(lambda x: max_pool2d(x, **arguments), lambda x: f(x, **arguments), distinct((1, 2, 2, 2), 0))


@needs_torch
@pytest.mark.parametrize("seed", range(12))
def test_one_dimension(seed):
    shape, arguments = random_case(seed + 300)
    arguments = {k: v if isinstance(v, bool) else v[1] for k, v in arguments.items()}
    f = torch.nn.functional.max_pool1d
    check_against_torch(lambda x: max_pool1d(x, **arguments), lambda x: f(x, **arguments), distinct(shape[1:], seed))
    x = distinct(shape[2:], seed)
    ours, theirs = MaxPool1d(1, return_indices=True), torch.nn.MaxPool1d(1, return_indices=True)
    check_against_torch(ours, theirs, x)
    assert repr(ours) == repr(theirs)


def special_values():
    nan, inf = math.nan, math.inf
    yield [[nan, 1], [2, 3]], nan, 0
    yield [[1, nan], [2, nan]], nan, 3  # the last NaN wins
    yield [[3, 1], [nan, 2]], nan, 2
    yield [[inf, nan], [inf, 0]], nan, 1
    yield [[-inf, -inf], [-inf, -inf]], -inf, 0
    yield [[-inf, -inf], [-inf, -1e30]], -1e30, 3
    yield [[inf, inf], [0, inf]], inf, 0
    yield [[-0.0, 0.0], [0.0, 0.0]], 0.0, 0
    yield [[0.0, 1e-45], [0, 0]], 1e-45, 1


@pytest.mark.parametrize("window, value, position", list(special_values()))
@pytest.mark.parametrize("channels", [1, 20])
def test_nan_and_infinity(every_isa, window, value, position, channels):
    x = np.broadcast_to(np.array(window, np.float32), (2, channels, 2, 2))
    for memory in (np.ascontiguousarray(x), channels_last(x)):
        t = Tensor._wrap(memory).requires_grad_(True)
        y, indices = max_pool2d(t, 2, return_indices=True)
        y.backward(cnn.ones(y.shape))
        assert np.array_equal(y._a.ravel(), [np.float32(value)] * 2 * channels, equal_nan=True)
        assert (indices._a == position).all()
        assert (t.grad._a.reshape(-1, 4) == np.eye(4)[position]).all()


def test_window_on_padding_alone(every_isa):
    x = cnn.ones((1, 1, 1, 1), requires_grad=True)
    y = max_pool2d(x, (2, 1), 1, (1, 0), 2)
    y.sum().backward()
    assert y.tolist() == [[[[-math.inf]]]] and x.grad.tolist() == [[[[0.0]]]]


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 19, 7, 9)])
def test_memory(every_isa, shape):
    x = rng(5).standard_normal(shape).astype(np.float32)
    dy = rng(6).standard_normal((*shape[:2], 4, 5)).astype(np.float32)
    arguments = {"kernel_size": 3, "stride": 2, "padding": 1}
    check_memory_variants(lambda x, dy: run(x, dy, arguments)[::2], x, dy)
    check_memory_variants(lambda x, dy: run(x, dy, arguments)[::2], x, dy, index=1)
    y, _, dx = run(channels_last(x), dy, arguments)
    assert y._a.transpose(0, 2, 3, 1).flags.c_contiguous and dx._a.transpose(0, 2, 3, 1).flags.c_contiguous


def test_threads(every_isa):
    for order in (np.ascontiguousarray, channels_last):
        x = order(rng(7).standard_normal((9, 40, 33, 31)).astype(np.float32))
        dy = rng(8).standard_normal((9, 40, 17, 16)).astype(np.float32)
        check_threads(lambda x=x, dy=dy: run(x, dy, {"kernel_size": 3, "stride": 2, "padding": 1}))


@pytest.mark.parametrize("threads", [1, 4])
def test_empty_batch(every_isa, threads):
    before = cnn.get_num_threads()
    cnn.set_num_threads(threads)
    try:
        (x,) = as_tensors([np.zeros((0, 3, 8, 8), np.float32)])
        y = max_pool2d(x, 2)
        y.sum().backward()
        assert y.shape == (0, 3, 4, 4) and x.grad.shape == (0, 3, 8, 8)
    finally:
        cnn.set_num_threads(before)


def test_layer():
    x = cnn.from_numpy(distinct((2, 3, 8, 9), 1))
    y, indices = MaxPool2d(3, 2, 1, 1, True, True)(x)
    expected, positions = max_pool2d(x, 3, 2, 1, ceil_mode=True, return_indices=True)
    assert np.array_equal(y._a, expected._a) and np.array_equal(indices._a, positions._a)
    assert repr(MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(MaxPool2d((2, 3), 1, 1)) == (
        "MaxPool2d(kernel_size=(2, 3), stride=1, padding=1, dilation=1, ceil_mode=False)"
    )


def test_huge_window_takes_no_time():
    x = cnn.zeros(1, 1, 3, 3)
    assert max_pool2d(x, 2**40, 2**40, 2**39).tolist() == [[[[0.0]]]]


ERRORS = [
    ((2, 3, 4, 4), {"kernel_size": 5}, ValueError, "max_pool2d: kernel_size 5 .* exceeds the input's height 4"),
    ((2, 3, 5, 4), {"kernel_size": 5}, ValueError, "exceeds the input's width 4"),
    ((2, 3, 4, 4), {"kernel_size": 0}, ValueError, "max_pool2d: kernel_size must be between 1 and"),
    ((2, 3, 4, 4), {"kernel_size": 2, "stride": 0}, ValueError, "max_pool2d: stride must be between 1 and .*, got 0"),
    ((2, 3, 4, 4), {"kernel_size": 2, "padding": -1}, ValueError, "padding must be between 0 and .*, got -1"),
    (
        (2, 3, 4, 4),
        {"kernel_size": 2, "padding": 2},
        RuntimeError,
        "pad should be at most half of kernel size, but got pad=2",
    ),
    ((2, 3, 4, 4), {"kernel_size": 2, "dilation": 0}, ValueError, "dilation must be between 1 and"),
    ((2, 3, 4, 4), {"kernel_size": 2, "dilation": 2**60}, (ValueError, OverflowError), "max_pool2d: kernel_size 2"),
    ((2, 3, 4, 4), {"kernel_size": 2**63}, ValueError, "kernel_size must be between"),
    ((2, 3, 4, 4), {"kernel_size": 2, "padding": 9223372036854775803}, ValueError, "padding must be between"),
    (
        (2, 3, 4, 4),
        {"kernel_size": (2, 2, 2)},
        RuntimeError,
        "must either be a single int, or a tuple of two ints",
    ),
    ((2, 3, 4, 4), {"kernel_size": 2.0}, TypeError, r"kernel_size must be an int or a tuple of two ints, got 2\.0"),
    ((4, 4), {"kernel_size": 2}, RuntimeError, r"Expected 3D or 4D .* but got: \(4, 4\)"),
    ((2, 0, 4, 4), {"kernel_size": 2}, ValueError, r"Expected 3D or 4D .* but got: \(2, 0, 4, 4\)"),
    ((2, 3, 0, 4), {"kernel_size": 2}, ValueError, r"but got: \(2, 3, 0, 4\)"),
]


@pytest.mark.parametrize("shape, arguments, error, message", ERRORS)
def test_errors(shape, arguments, error, message):
    with pytest.raises(error, match=message):
        max_pool2d(cnn.zeros(shape), **arguments)


def test_integer_input_is_refused():
    with pytest.raises(TypeError, match="max_pool2d: input must be float32 or float64, got int64"):
        max_pool2d(cnn.zeros((2, 3, 4, 4), dtype=cnn.int64), 2)


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_planes_of_more_pixels_than_an_index_counts(pool):
    with pytest.raises(ShapeError, match=r"more than 2\^31 pixels are not supported, got 65536 x 65536"):
        pool(cnn.empty(0, 1, 2**16, 2**16), 2)
