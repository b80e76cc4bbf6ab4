"""The one harness of the layer tests. A test gives a function, its inputs and a slow, obvious expectation.

    check_gradients(f, x, w)             float64: backward along a random direction against a central difference
    check_exact(f, expected, x, w)       small integers: every bit as the NumPy reference has it
    check_against_torch(f, g, x, w)      forward and every gradient beside PyTorch, float32 and float64
    memory_variants(x)                   the same values in every memory layout that an entry point must accept
    every_isa (a fixture of conftest.py) runs a test once per instruction set of this machine

Functions take and return Tensors; inputs are NumPy arrays. What was checked is counted, and conftest.py prints the
counts and the worst error at the end of the run.
"""

import sys
from collections import Counter

import numpy as np
import pytest

import cnn
from cnn import _cnn
from cnn.tensor import Tensor

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed: NOTHING is compared with it here")

SANITIZED = sys.platform.startswith("linux") and "libasan" in open("/proc/self/maps").read()
# The address sanitizer reserves terabytes itself; there max_allocation_size_mb bounds a request.
CAN_LIMIT_MEMORY = sys.platform.startswith("linux") and not SANITIZED

# Relative to the largest value involved. float32 sums of K terms are allowed sqrt(K) times as much.
TOLERANCE = {"torch": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}, "gradient": 1e-6}

COUNTS = Counter()  # kind of check -> cases
WORST = {"gradient": 0.0}


def isas():
    return _cnn.available_isas()


def rng(seed):
    return np.random.default_rng(seed)


def as_tensors(arrays, requires_grad=True):
    tensors = []
    for a in arrays:
        if isinstance(a, np.ndarray):
            t = cnn.from_numpy(a)
            if requires_grad and a.dtype.kind == "f":
                t.requires_grad_(True)
            tensors.append(t)
        else:
            tensors.append(a)
    return tensors


def _outputs(result):
    outs = result if isinstance(result, (tuple, list)) else [result]
    return [o for o in outs if isinstance(o, Tensor) and o._a.dtype.kind == "f"]


def check_gradients(f, *arrays, eps=1e-6, seed=0, tolerance=None):
    """Backward of f at float64 `arrays`, along one random direction, against the central difference."""
    random = rng(seed)
    arrays = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arrays]
    floating = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    tensors = as_tensors([a.copy() if isinstance(a, np.ndarray) else a for a in arrays])
    outs = _outputs(f(*tensors))
    assert outs, "f returned no floating-point tensor"
    weights = [np.asarray(random.standard_normal(o._a.shape)) for o in outs]  # a gradient that is not uniform
    cnn.autograd.backward(outs, [Tensor._wrap(w) for w in weights])
    directions = {i: random.standard_normal(arrays[i].shape) for i in floating}

    def value(step):
        moved = [np.asarray(a + step * directions[i]) if i in directions else a for i, a in enumerate(arrays)]
        with cnn.no_grad():
            results = _outputs(f(*as_tensors(moved, requires_grad=False)))
        return sum(float((w * o._a).sum()) for w, o in zip(weights, results, strict=True))

    numeric = (value(eps) - value(-eps)) / (2 * eps)
    analytic, scale = 0.0, 0.0
    for i in floating:
        gradient = tensors[i].grad
        assert gradient is not None, f"argument {i} got no gradient"
        assert gradient._a.shape == arrays[i].shape
        analytic += float((gradient._a * directions[i]).sum())
        scale += float(np.abs(gradient._a * directions[i]).sum())
    # The terms may cancel: the error counts against the size of the terms, not of what is left of them.
    error = abs(numeric - analytic) / max(scale, abs(numeric), 1e-3)
    COUNTS["gradient"] += 1
    WORST["gradient"] = max(WORST["gradient"], error)
    limit = TOLERANCE["gradient"] if tolerance is None else tolerance
    assert error < limit, f"central difference {numeric!r}, backward {analytic!r}, relative error {error:.2e}"


def check_exact(f, expected, *arrays):
    """f of small integers, in float32 and float64, equals the int64 expectation in every bit.

    `expected` is an int64 array or a list of them, one per output of f.
    """
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    for kind in (np.float32, np.float64):
        typed = [a.astype(kind) if isinstance(a, np.ndarray) and a.dtype.kind == "i" else a for a in arrays]
        result = f(*typed)
        result = result if isinstance(result, (list, tuple)) else [result]
        for number, (got, want) in enumerate(zip(result, expected, strict=True)):
            got = got._a if isinstance(got, Tensor) else got
            assert got.shape == want.shape, f"output {number}: shape {got.shape}, expected {want.shape}"
            different = int((got != want).sum())
            assert different == 0, f"output {number}, {kind.__name__}: {different} of {want.size} values differ"
    COUNTS["exact"] += 1


def assert_close(got, want, terms=1, what="result"):
    """got and want agree within torch's own tolerances, times sqrt(terms) for sums of that many terms."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    assert got.dtype == want.dtype, f"{what}: {got.dtype}, expected {want.dtype}"
    if got.dtype.kind != "f":
        assert np.array_equal(got, want), f"{what}: integers differ"
        return
    rtol, atol = TOLERANCE["torch"][got.dtype.name]
    factor = np.sqrt(max(terms, 1))
    np.testing.assert_allclose(got, want, rtol * factor, atol * factor, equal_nan=True, err_msg=what)


def check_against_torch(f, g, *arrays, terms=1, types=(np.float32, np.float64), seed=0):
    """f on cnn Tensors beside g on torch tensors: outputs and the gradient of every floating-point argument."""
    if torch is None:
        pytest.skip("PyTorch is not installed: NOTHING is compared with it here")
    for kind in types:
        typed = [a.astype(kind) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arrays]
        ours = as_tensors([a.copy() if isinstance(a, np.ndarray) else a for a in typed])
        theirs = []
        for a in typed:
            t = torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a
            if isinstance(a, np.ndarray) and a.dtype.kind == "f":
                t.requires_grad_(True)
            theirs.append(t)
        mine, reference = f(*ours), g(*theirs)
        mine = list(mine) if isinstance(mine, (tuple, list)) else [mine]
        reference = list(reference) if isinstance(reference, (tuple, list)) else [reference]
        random = rng(seed)
        weights = []
        for number, (a, b) in enumerate(zip(mine, reference, strict=True)):
            assert_close(a._a, b.detach().numpy(), terms, f"output {number}")
            weights.append(random.standard_normal(a._a.shape).astype(a._a.dtype))
        both = [
            (a, b, w)
            for a, b, w in zip(mine, reference, weights, strict=True)
            if b.requires_grad and a._a.dtype.kind == "f"
        ]
        assert all(a.requires_grad for a, _, _ in both), "torch's output requires a gradient, ours does not"
        if both:
            cnn.autograd.backward([a for a, _, _ in both], [Tensor._wrap(w) for _, _, w in both])
            torch.autograd.backward([b for _, b, _ in both], [torch.from_numpy(w) for _, _, w in both])
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if isinstance(a, Tensor) and isinstance(b, torch.Tensor) and b.grad is not None:
                assert a.grad is not None, f"argument {number} got no gradient"
                assert_close(a.grad._a, b.grad.numpy(), terms, f"gradient of argument {number}")
    COUNTS["torch"] += 1


def channels_last(array):
    """The same values, lying (N, H, W, C) in memory."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def memory_variants(array):
    """(name, the same values in another layout): what every entry point must accept and never write to."""
    yield "contiguous", array.copy()
    yield "Fortran", array.copy(order="F")
    if array.ndim:
        wide = np.empty((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
        wide[..., ::2] = array
        yield "strided", wide[..., ::2]
        backwards = np.ascontiguousarray(array[..., ::-1])
        yield "negative stride", backwards[..., ::-1]
    if array.ndim == 4:
        yield "channels last", channels_last(array)
        wide = np.empty((2 * array.shape[0], *array.shape[2:], array.shape[1]), array.dtype)
        every_other = wide.transpose(0, 3, 1, 2)[::2]
        every_other[...] = array
        yield "every other image, channels last", every_other
        wide = np.empty((*array.shape[:1], array.shape[2], 2 * array.shape[3], array.shape[1]), array.dtype)
        every_other = wide.transpose(0, 3, 1, 2)[..., ::2]
        every_other[...] = array
        yield "every other column, channels last", every_other
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    shifted = raw.view(array.dtype).reshape(array.shape)
    shifted[...] = array
    yield "off by one byte", shifted
    yield "byte-swapped", array.astype(array.dtype.newbyteorder())
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def check_memory_variants(f, *arrays, index=0):
    """f(*arrays) gives the same bits, whatever the memory layout of argument `index`; the argument is not changed."""
    plain = [np.array(o) for o in _arrays(f(*arrays))]
    for name, variant in memory_variants(arrays[index]):
        before = variant.tobytes()
        results = _arrays(f(*arrays[:index], variant, *arrays[index + 1 :]))
        for a, b in zip(results, plain, strict=True):
            assert np.array_equal(a, b, equal_nan=True), f"{name}: another result"
        assert variant.tobytes() == before, f"{name}: the input was changed"
        COUNTS["memory"] += 1


def _arrays(result):
    result = result if isinstance(result, (tuple, list)) else [result]
    return [r._a if isinstance(r, Tensor) else r for r in result]


def check_threads(f, threads=(1, 2, 3, 4, 7)):
    """f() returns arrays or Tensors; the same bits for every number of threads."""
    before = cnn.get_num_threads()
    try:
        results = []
        for n in threads:
            cnn.set_num_threads(n)
            results.append([np.array(r) for r in _arrays(f())])
    finally:
        cnn.set_num_threads(before)
    for n, other in zip(threads[1:], results[1:], strict=True):
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes(), f"{n} threads: other bits than 1 thread"
    COUNTS["threads"] += 1
