"""Sums that are made in parts, beside float64 NumPy, at sizes of three parts and more with a rest behind them.

A kernel cuts its work into chunks and adds up what they give. That the result does not depend on the threads is easily
tested, but tells nothing: a part may be lost, or counted twice, for any number of threads alike. Here every kernel that
sums in parts is held against its formula, on every instruction set, for both types, and with 1, 2 and 7 threads, which
must give the same bits. Most numbers are positive, so that each part of a sum shows.

How large a part is stands in the kernels: GRAIN and the like. Sizes here belong to these numbers.
"""

import functools

import numpy as np
import pytest
from harness import COUNTS, channels_last, rng
from references import OPTIMISERS, conv2d_passes, pixels_of

import cnn
import cnn.nn.functional as F
from cnn import _cnn, nn
from cnn.backends import conv as settings

CODE = {name: number for number, name in enumerate(settings.ALGORITHMS)}
THREADS = (1, 2, 7)
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-10}  # of the largest value; a lost part is 4e-3 of it, and mostly a tenth

CASES = {}


def case(name, *arguments, engine=False):
    """Registers a case: made(random, *arguments) gives arrays, run(*arrays) and what it should return, in float64.

    engine: it names a way of the engine, which CNN_ISA=plain does not know.
    """

    def register(made):
        CASES[name] = (made, arguments, engine)
        return made

    return register


def positive(random, *shape):
    """Numbers around 1, the same in both types."""
    return np.asarray(random.uniform(0.5, 1.5, shape)).astype(np.float32).astype(np.float64)


def mixed(random, *shape):
    return np.asarray(random.standard_normal(shape)).astype(np.float32).astype(np.float64)


def derived(f, dy, *arrays):
    """f's result and its gradients, for the gradient dy of the result (of a number: None)."""
    tensors = [cnn.from_numpy(a).requires_grad_(True) if a.dtype.kind == "f" else cnn.from_numpy(a) for a in arrays]
    y = f(*tensors)
    y.backward(None if dy is None else cnn.from_numpy(dy))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors if t.requires_grad)]


@functools.cache
def prepared(name):
    made, arguments, _ = CASES[name]
    return made(rng(sorted(CASES).index(name)), *arguments)


def check(name):
    arrays, run, want = prepared(name)
    before = cnn.get_num_threads()
    try:
        for kind, tolerance in TOLERANCE.items():
            typed = [a.astype(kind) if a.dtype == np.float64 else a for a in arrays]
            results = {}
            for threads in THREADS:
                cnn.set_num_threads(threads)
                results[threads] = [np.asarray(r) for r in run(*(a.copy() for a in typed))]
            assert len(results[1]) == len(want)
            for number, expected in enumerate(want):
                got = results[1][number]
                assert got.shape == np.shape(expected), f"result {number}: {got.shape}, expected {np.shape(expected)}"
                error = np.abs(got - expected).max(initial=0) / np.abs(expected).max(initial=1e-30)
                assert error <= tolerance, f"{kind.__name__}, result {number}: error {error:.1e}"
                for threads in THREADS[1:]:
                    assert results[threads][number].tobytes() == got.tobytes(), f"{threads} threads: other bits"
            COUNTS["parts"] += 1
    finally:
        cnn.set_num_threads(before)


# ---- products of matrices ------------------------------------------------------------------------------------------


def linear(random, n, c, oc, bias=True):
    x, w, b, dy = positive(random, n, c), positive(random, oc, c), positive(random, oc), positive(random, n, oc)
    b *= 100  # must show beside sums of thousands
    arrays, want = [x, w, b, dy], [x @ w.T + b, dy @ w, dy.T @ x, dy.sum(0)]
    if bias:
        return arrays, lambda x, w, b, dy: derived(F.linear, dy, x, w, b), want
    want[0] -= b
    return arrays, lambda x, w, b, dy: derived(F.linear, dy, x, w), want[:3]


case("linear, long sums and a bias", 50, 7001, 70)(linear)  # K_SPLIT 2048
case("linear, long sums", 50, 7001, 70, False)(linear)
case("linear, a large batch", 6500, 64, 48)(linear)  # dw has the long sums; BIAS_ROWS 256
case("linear, rows in blocks", 500, 300, 530)(linear)  # ROW_BLOCK 144, K_BLOCK 256, B_BLOCK
case("linear, few rows", 5, 1501, 603)(linear)  # dot products
case("linear, one row", 1, 1501, 603)(linear)
case("linear, 20 rows", 20, 1000, 701)(linear)  # K_DIRECT 16


@case("matmul, many small ones", 201, 20, 30, 40)
@case("matmul, long sums", 2, 30, 7001, 70)
@case("matmul, rows in blocks", 1, 330, 600, 100)
def matmul(random, s, m, k, n):
    a, b, dy = positive(random, s, m, k), positive(random, s, k, n), positive(random, s, m, n)
    want = [a @ b, dy @ b.transpose(0, 2, 1), a.transpose(0, 2, 1) @ dy]
    return [a, b, dy], lambda a, b, dy: derived(cnn.matmul, dy, a, b), want


# ---- convolutions --------------------------------------------------------------------------------------------------


def convolution(random, algorithm, n, c, oc, size, k, stride=1, padding=None, dilation=1, groups=1, last=True):
    padding = k // 2 if padding is None else padding
    outputs = [(s + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for s in size]
    x, w, b = positive(random, n, c, *size), positive(random, oc, c // groups, k, k), positive(random, oc)
    dy = positive(random, n, oc, *outputs)
    want = conv2d_passes(x, w, b, dy, stride, padding, dilation, groups)
    geometry = (stride, stride, *[padding] * 4, dilation, dilation, groups, CODE[algorithm])

    def run(x, w, b, dy):
        x, dy = (channels_last(x), channels_last(dy)) if last else (x, dy)
        y = _cnn.conv2d_forward(x, w, b, *geometry, 0, None)
        return y, *_cnn.conv2d_backward(dy, x, w, *geometry, True, True, True, False)

    return [x, w, b, dy], run, want


CONVOLUTIONS = {
    # planes: count_slots, cut_batch; rows of whole vectors, rows that are not, a stride
    "planes": ("planes", 11, 3, 6, (32, 32), 5, 1, None, 1, 1, False),
    "planes, one long row": ("planes", 37, 12, 24, (10, 10), 5, 1, None, 1, 1, False),
    "planes, stride 2": ("planes", 29, 6, 12, (33, 35), 3, 2, None, 1, 1, False),
    "planes, channels last": ("planes", 13, 5, 7, (30, 31), 5, 1, None, 1, 1, True),
    "planes, groups": ("planes", 23, 12, 12, (17, 19), 3, 1, None, 1, 2, True),
    # channels: CHUNK_WORK 8 million, SLOT_STRIPS 4
    "channels": ("channels", 23, 16, 32, (16, 16), 3),
    "channels, first layer": ("channels", 29, 3, 32, (32, 32), 3),
    "channels, 1x1": ("channels", 19, 128, 65, (13, 13), 1),
    "channels, stride 2, planes": ("channels", 26, 24, 40, (21, 23), 5, 2, None, 1, 1, False),
    "channels, dilation, groups": ("channels", 31, 34, 36, (14, 15), 3, 1, 2, 2, 2),
    # depthwise: CHUNK_WORK 2 million; groups of four 8 million
    "depthwise": ("auto", 37, 48, 48, (29, 31), 3, 1, None, 1, 48),
    "depthwise, stride 2": ("auto", 37, 50, 50, (41, 43), 3, 2, None, 1, 50),
    "depthwise, 5x5": ("auto", 19, 33, 33, (25, 22), 5, 1, None, 1, 33),
    "depthwise, dilation": ("auto", 31, 24, 24, (30, 30), 3, 1, 2, 2, 24),
    "depthwise, planes": ("auto", 37, 20, 20, (30, 31), 3, 1, None, 1, 20, False),
    "groups of four": ("auto", 27, 32, 32, (29, 28), 3, 1, None, 1, 8),
    # dots: chunks of a million products, stretches of 2 KB
    "dots": ("auto", 3, 64, 500, (2, 2), 3),
    "dots, 1x1": ("auto", 2, 1100, 1003, (1, 1), 1),
    # Winograd: fused, staged, narrow (PANEL_K 32)
    "winograd, fused": ("winograd", 7, 32, 32, (19, 20), 3),
    "winograd, odd channels": ("winograd", 7, 19, 33, (21, 18), 3, 1, None, 1, 1, False),
    "winograd, staged": ("winograd", 3, 80, 81, (15, 16), 3),
    "winograd, narrow": ("winograd", 1, 100, 81, (8, 7), 3),
    "precise, fused": ("precise", 5, 32, 32, (14, 15), 3),
    "precise, staged": ("precise", 2, 150, 130, (9, 10), 3),
    "precise, narrow": ("precise", 1, 100, 64, (4, 4), 3),
}
for title, arguments in CONVOLUTIONS.items():
    case(f"conv2d, {title}", *arguments, engine=arguments[0] != "auto")(convolution)


# ---- norms ---------------------------------------------------------------------------------------------------------


def normalised(x, axes, eps):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return mean, var, (x - mean) / np.sqrt(var + eps)


def norm_gradient(g, xhat, var, axes, eps):
    """dx for the gradient g of xhat."""
    return (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True)) / np.sqrt(var + eps)


@case("batch_norm, channels last", (9, 24, 25, 25), True)  # parts of 32768 values
@case("batch_norm, planes", (37, 3, 70, 41), False)
@case("batch_norm, rows", (5001, 33), False)
@case("batch_norm, many channels", (41, 300, 5, 3), False)
def batch_norm(random, shape, last, relu=False):
    axes, column = (0, *range(2, len(shape))), (1, -1) + (1,) * (len(shape) - 2)
    x = mixed(random, *shape) + 3
    x[-1] += 2  # a last part of its own kind
    gamma, beta, dy = positive(random, shape[1]), mixed(random, shape[1]), positive(random, *shape)
    mean, var, xhat = normalised(x, axes, 1e-5)
    y = xhat * gamma.reshape(column) + beta.reshape(column)
    passed = dy * (y > 0) if relu else dy
    dx = norm_gradient(passed * gamma.reshape(column), xhat, var, axes, 1e-5)
    count = x.size // shape[1]
    want = [np.maximum(y, 0) if relu else y, dx, (passed * xhat).sum(axes), passed.sum(axes)]
    want += [0.1 * mean.ravel(), 0.9 + 0.1 * var.ravel() * count / (count - 1)]

    def run(x, gamma, beta, dy):
        layer = (nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d)(x.shape[1])
        layer = layer.double() if x.dtype == np.float64 else layer
        layer.weight.data, layer.bias.data = cnn.from_numpy(gamma), cnn.from_numpy(beta)
        x, dy = (cnn.from_numpy(channels_last(a) if last else a) for a in (x, dy))
        y = (nn.Sequential(layer, nn.ReLU()) if relu else layer)(x.requires_grad_(True))
        y.backward(dy)
        tensors = y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var
        return [t.detach().numpy() for t in tensors]

    return [x, gamma, beta, dy], run, want


case("batch_norm, channels last, ReLU", (9, 24, 25, 25), True, True)(batch_norm)
case("batch_norm, planes, ReLU", (37, 3, 70, 41), False, True)(batch_norm)


@case("group_norm", (37, 6, 25, 40), 2)  # parts of 32768 values for each group
@case("layer_norm", (1301, 100), None)
@case("layer_norm, long rows", (5, 30011), None)
def group_norm(random, shape, groups):
    x, dy = mixed(random, *shape) + 1, positive(random, *shape)
    gamma, beta = positive(random, shape[1]), mixed(random, shape[1])
    grouped = (shape[0], groups or 1, -1)
    _, var, xhat = normalised(x.reshape(grouped), 2, 1e-5)
    column, axes = (1, -1) + (1,) * (len(shape) - 2), (0, *range(2, len(shape)))
    dx = norm_gradient((dy * gamma.reshape(column)).reshape(grouped), xhat, var, 2, 1e-5).reshape(shape)
    xhat = xhat.reshape(shape)
    want = [xhat * gamma.reshape(column) + beta.reshape(column), dx, (dy * xhat).sum(axes), dy.sum(axes)]

    def run(x, gamma, beta, dy):
        if groups is None:
            return derived(lambda x, g, b: F.layer_norm(x, shape[1:], g, b), dy, x, gamma, beta)
        return derived(lambda x, g, b: F.group_norm(x, groups, g, b), dy, x, gamma, beta)

    return [x, gamma, beta, dy], run, want


# ---- losses --------------------------------------------------------------------------------------------------------


def log_softmax_of(x, axis=1):
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def class_loss(random, shape, reduction, weighted, ignored, smoothing, probabilities):
    """cross_entropy, by q[c] = w[c] ((1 - eps) t[c] + eps / C), and its gradient."""
    C, column = shape[1], (1, -1) + (1,) * (len(shape) - 2)
    x = mixed(random, *shape)
    w = positive(random, C) if weighted else np.ones(C)
    target = random.integers(0, C, (shape[0], *shape[2:]))
    t = np.moveaxis(np.eye(C)[target], -1, 1)
    counts = np.ones(target.shape, bool)
    if probabilities:
        t = positive(random, *shape)
        t /= t.sum(1, keepdims=True)
        t = t.astype(np.float32).astype(np.float64)
    elif ignored:
        counts = random.random(target.shape) < 0.8
        target[~counts] = -100
    q = w.reshape(column) * ((1 - smoothing) * t + smoothing / C) * counts[:, None]
    logs = log_softmax_of(x)
    losses = -(q * logs).sum(1)
    total = (w.reshape(column) * t * counts[:, None]).sum() if not probabilities else shape[0] * np.prod(shape[2:])
    dy = positive(random, *target.shape) if reduction == "none" else None
    each = {"none": dy, "sum": 1, "mean": 1 / total}[reduction]
    slopes = (np.exp(logs) * q.sum(1, keepdims=True) - q) * (each if np.ndim(each) == 0 else each[:, None])
    y = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / total}[reduction]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    given = [x, w, t if probabilities else target, dy if dy is not None else np.zeros(0)]

    def run(x, w, t, dy):
        x, w, t = cnn.from_numpy(x).requires_grad_(True), cnn.from_numpy(w), cnn.from_numpy(t)
        loss = F.cross_entropy(x, t, w if weighted else None, **options)
        loss.backward(cnn.from_numpy(dy) if reduction == "none" else None)
        return [loss.detach().numpy(), x.grad.numpy()]

    return given, run, [y, slopes]


LOGITS = {"rows": (4801, 10), "columns": (11, 5, 30, 41), "few columns": (700, 7, 4, 5)}  # SOFTMAX_GRAIN, SOFTMAX_BLOCK
for where, logits in LOGITS.items():
    for reduced in ("none", "sum", "mean"):
        for number, options in enumerate([(0, 0, 0.0), (1, 1, 0.0), (1, 1, 0.2), (0, 1, 0.1)]):
            case(f"cross_entropy, {where}, {reduced}, {number}", logits, reduced, *options, False)(class_loss)
        if where == "rows":
            case(f"cross_entropy, probabilities, {reduced}", logits, reduced, 1, 0, 0.1, True)(class_loss)


@case("nll_loss, mean", "mean")
@case("nll_loss, sum", "sum")
def nll_loss(random, reduction):
    x, w, target = positive(random, 4801, 10), positive(random, 10), random.integers(0, 10, 4801)
    target[::7] = -100
    counts = target >= 0
    weights = np.where(counts, w[np.maximum(target, 0)], 0)
    total = weights.sum() if reduction == "mean" else 1
    dx = np.zeros(x.shape)
    dx[np.arange(4801), np.where(counts, target, 0)] = -weights / total
    y = -(weights * x[np.arange(4801), np.maximum(target, 0)]).sum() / total

    def run(x, w, t):
        x = cnn.from_numpy(x).requires_grad_(True)
        loss = F.nll_loss(x, cnn.from_numpy(t), cnn.from_numpy(w), reduction=reduction)
        loss.backward()
        return [loss.detach().numpy(), x.grad.numpy()]

    return [x, w, target], run, [y, dx]


PAIR_LOSSES = {  # name: loss and slope of x and t
    "mse_loss": (lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    "l1_loss": (lambda x, t: abs(x - t), lambda x, t: np.sign(x - t)),
    "smooth_l1_loss": (
        lambda x, t: np.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5),
        lambda x, t: np.clip(x - t, -1, 1),
    ),
    "huber_loss": (
        lambda x, t: np.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5),
        lambda x, t: np.clip(x - t, -1, 1),
    ),
    "binary_cross_entropy": (
        lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
        lambda x, t: (x - t) / (x * (1 - x)),
    ),
    "binary_cross_entropy_with_logits": (
        lambda x, t: np.log1p(np.exp(-abs(x))) + np.maximum(x, 0) - x * t,
        lambda x, t: 1 / (1 + np.exp(-x)) - t,
    ),
    "kl_div": (lambda x, t: t * (np.log(t) - x), lambda x, t: -t),
}


def pair_loss(random, name, reduction):
    """Blocks of 512 values, parts of 32768."""
    n = 110001
    x, t = positive(random, n) - (0 if name != "binary_cross_entropy" else 0.5), positive(random, n) - 0.5
    x, t = np.clip(x, 0.01, 0.99 if name == "binary_cross_entropy" else 2), np.clip(t, 0.01, 0.99)
    x, t = (a.astype(np.float32).astype(np.float64) for a in (x, t))
    dy = positive(random, n)
    loss, slope = (f(x, t) for f in PAIR_LOSSES[name])
    each = {"none": dy, "sum": 1, "mean": 1 / n}[reduction]
    want = [{"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction], slope * each]

    def run(x, t, dy):
        f = getattr(F, name)
        return derived(lambda x: f(x, cnn.from_numpy(t), reduction=reduction), dy if reduction == "none" else None, x)

    return [x, t, dy], run, want


for loss_name in PAIR_LOSSES:
    for reduced in ("none", "sum", "mean"):
        case(f"{loss_name}, {reduced}", loss_name, reduced)(pair_loss)


# ---- along an axis -------------------------------------------------------------------------------------------------


@case("softmax, rows", "softmax", (4801, 10), 1)
@case("softmax, columns", "softmax", (11, 5, 1230), 1)
@case("softmax, long rows", "softmax", (40, 3001), 1)
@case("log_softmax, rows", "log_softmax", (4801, 10), 1)
@case("log_softmax, columns", "log_softmax", (11, 5, 1230), 1)
@case("log_softmax, long rows", "log_softmax", (40, 3001), 1)
def softmax(random, name, shape, axis):
    x, dy = mixed(random, *shape), positive(random, *shape)
    log = log_softmax_of(x, axis)
    p = np.exp(log)
    if name == "softmax":
        want = [p, p * (dy - (dy * p).sum(axis, keepdims=True))]
    else:
        want = [log, dy - p * dy.sum(axis, keepdims=True)]
    return [x, dy], lambda x, dy: derived(lambda x: getattr(F, name)(x, axis), dy, x), want


@case("prelu, planes", (7, 5, 60, 61), False, 5)  # parts of 32768 values, of positions
@case("prelu, many images", (4001, 5, 6), False, 5)  # parts of rows
@case("prelu, channels last", (7, 5, 60, 61), True, 5)
@case("prelu, one slope", (110001,), False, 1)
def prelu(random, shape, last, slopes):
    x, w, dy = mixed(random, *shape), positive(random, slopes), positive(random, *shape)
    w /= 4
    column = (1, -1) + (1,) * (len(shape) - 2) if slopes > 1 else (1,) * len(shape)
    axes = (0, *range(2, len(shape))) if slopes > 1 else None
    negative = x <= 0
    want = [np.where(negative, w.reshape(column) * x, x), np.where(negative, w.reshape(column) * dy, dy)]
    want.append(np.atleast_1d((np.where(negative, x, 0) * dy).sum(axes)))

    def run(x, w, dy):
        x, dy = (channels_last(x), channels_last(dy)) if last else (x, dy)
        return derived(F.prelu, dy, x, w)

    return [x, w, dy], run, want


@case("reductions")
def reductions(random):
    x = positive(random, 301, 1009)
    n = x.size

    def run(x):
        x = cnn.from_numpy(x)
        results = x.sum(), x.mean(), x.var(), x.norm(), x.logsumexp(1), x.sum(0), x.mean(1), x.std(0), x.cumsum(1)
        return [r.numpy() for r in results]

    want = [x.sum(), x.mean(), x.var() * n / (n - 1), np.sqrt((x**2).sum()), np.log(np.exp(x).sum(1)), x.sum(0)]
    return [x], run, [*want, x.mean(1), x.std(0, ddof=1), x.cumsum(1)]


@case("scattered sums")
def scattered(random):
    x, index = positive(random, 40001, 3), random.integers(0, 17, 40001)
    want = np.zeros((17, 3))
    np.add.at(want, index, x)

    def run(x, index):
        x, index = cnn.from_numpy(x), cnn.from_numpy(index)
        table = cnn.zeros(17, 3, dtype=x.dtype).requires_grad_(True)
        table[index].backward(x)
        wide = index.reshape(-1, 1).expand(-1, 3)
        scattered = cnn.zeros(17, 3, dtype=x.dtype).scatter_add(0, wide, x)
        return [a.numpy() for a in (table.grad, scattered)]

    return [x, index], run, [want] * 2


@case("clip_grad_norm_")
def clip_grad_norm(random):
    arrays = [positive(random, n) for n in (20001, 3, 9000)]
    norm = np.sqrt(sum((a**2).sum() for a in arrays))

    def run(*arrays):
        parameters = [nn.Parameter(cnn.from_numpy(a)) for a in arrays]
        for p, a in zip(parameters, arrays, strict=True):
            p.grad = cnn.from_numpy(a.copy())
        total = nn.utils.clip_grad_norm_(parameters, 1.0)
        return [total.numpy(), *(p.grad.numpy() for p in parameters)]

    return arrays, run, [norm, *(a / (norm + 1e-6) for a in arrays)]


# ---- pooling -------------------------------------------------------------------------------------------------------


@case("avg_pool2d, planes", "avg", (9, 13, 61, 63), False)  # parts of 65536 values
@case("avg_pool2d, channels last", "avg", (9, 13, 61, 63), True)
@case("max_pool2d, planes", "max", (9, 13, 61, 63), False)
@case("max_pool2d, channels last", "max", (9, 13, 61, 63), True)
def pooling(random, kind, shape, last):
    """Windows of 3x3 at a stride of 2 overlap: a pixel collects from up to four."""
    outputs = [(s + 2 - 3) // 2 + 1 for s in shape[2:]]
    x, dy = mixed(random, *shape), positive(random, *shape[:2], *outputs)
    taps = list(pixels_of(shape, outputs, 3, 2, 1))
    y = np.full(dy.shape, -np.inf) if kind == "max" else np.zeros(dy.shape)
    for _, into, out in taps:
        y[out] = np.maximum(y[out], x[into]) if kind == "max" else y[out] + x[into] / 9
    dx = np.zeros(shape)
    for _, into, out in taps:
        dx[into] += dy[out] * (x[into] == y[out]) if kind == "max" else dy[out] / 9

    def run(x, dy):
        x, dy = (channels_last(x), channels_last(dy)) if last else (x, dy)
        f = F.max_pool2d if kind == "max" else F.avg_pool2d
        return derived(lambda x: f(x, 3, 2, 1), dy, x)

    return [x, dy], run, [y, dx]


@case("adaptive_avg_pool2d, planes", "avg", False)
@case("adaptive_avg_pool2d, channels last", "avg", True)
@case("adaptive_max_pool2d, planes", "max", False)
@case("adaptive_max_pool2d, channels last", "max", True)
@case("adaptive_avg_pool2d, to one pixel", "avg", True, (1, 1))
def adaptive(random, kind, last, outputs=(20, 23)):
    shape = (9, 13, 61, 63)
    x, dy = mixed(random, *shape) + 1, positive(random, *shape[:2], *outputs)
    y, dx = np.zeros(dy.shape), np.zeros(shape)
    rows, columns = (
        [(o * s // n, -(-(o + 1) * s // n)) for o in range(n)] for s, n in zip(shape[2:], outputs, strict=True)
    )
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            window = x[:, :, top:bottom, left:right]
            share = dy[:, :, i, j, None, None]
            if kind == "avg":
                y[:, :, i, j] = window.mean((2, 3))
                dx[:, :, top:bottom, left:right] += share / window[0, 0].size
            else:
                y[:, :, i, j] = window.max((2, 3))
                dx[:, :, top:bottom, left:right] += share * (window == y[:, :, i, j, None, None])

    def run(x, dy):
        x, dy = (channels_last(x), channels_last(dy)) if last else (x, dy)
        f = F.adaptive_avg_pool2d if kind == "avg" else F.adaptive_max_pool2d
        return derived(lambda x: f(x, outputs), dy, x)

    return [x, dy], run, [y, dx]


# ---- optimisers ----------------------------------------------------------------------------------------------------


def optimiser(random, name):
    """Parts of 8192 values across arrays of all sizes. Results are what changed, which is little beside the values."""
    formula, options = OPTIMISERS[name]
    arrays = [positive(random, n) for n in (5000, 3, 20001, 8192, 1)]
    gradients = [[positive(random, len(a)) for a in arrays] for _ in range(3)]

    def run(*given):
        start, steps = given[:5], [given[5 * k : 5 * k + 5] for k in range(1, 4)]
        parameters = [nn.Parameter(cnn.from_numpy(a.copy())) for a in start]
        o = getattr(cnn.optim, name)(parameters, **options)
        for step in steps:
            for p, g in zip(parameters, step, strict=True):
                p.grad = cnn.from_numpy(g.copy())
            o.step()
        return [p.detach().numpy() - a for p, a in zip(parameters, start, strict=True)]

    want = []
    for i, p in enumerate(arrays):
        state = {}
        for t, g in enumerate(gradients, 1):
            p = formula(p, g[i], state, t)
        want.append(p - arrays[i])
    return [*arrays, *(g for step in gradients for g in step)], run, want


for title in OPTIMISERS:
    case(f"optim.{title}", title)(optimiser)


@case("a large linear layer's step")
def formed_gradient(random):
    """The gradient is formed while the weight is updated: bands of 4 rows, 2048 columns at a time."""
    x, w, dy = positive(random, 7, 8009), positive(random, 35, 8009), positive(random, 7, 35)

    def run(x, w, dy):
        weight = nn.Parameter(cnn.from_numpy(w.copy()))
        F.linear(cnn.from_numpy(x), weight).backward(cnn.from_numpy(dy))
        cnn.optim.SGD([weight], lr=0.1).step()
        return [weight.detach().numpy() - w]

    return [x, w, dy], run, [-0.1 * dy.T @ x]


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_every_part_is_in_the_sum(every_isa, name):
    if every_isa == "plain" and CASES[name][2]:
        pytest.skip("the plain layer knows no ways")
    check(name)
