"""interpolate and Upsample against the definition and torch."""

import numpy as np
import pytest
from harness import (
    check_against_torch,
    check_exact,
    check_gradients,
    check_memory_variants,
    needs_torch,
    rng,
    torch,
)

import cnn
from cnn import nn
from cnn.nn.functional import interpolate

CASES = [
    ((2, 3, 4, 5), {"scale_factor": 2}),
    ((2, 3, 4, 5), {"scale_factor": (2, 1.5)}),
    ((1, 2, 7, 3), {"scale_factor": 0.6}),
    ((1, 2, 7, 3), {"scale_factor": 0.6, "recompute_scale_factor": True}),
    ((2, 3, 4, 5), {"size": 7}),
    ((2, 3, 4, 5), {"size": (1, 11)}),
    ((1, 1, 1, 1), {"size": (3, 2)}),
    ((0, 3, 4, 5), {"size": 6}),
    ((2, 17, 9, 9), {"size": 16}),
]
MODES = [("nearest", None), ("nearest-exact", None)]
MODES += [(mode, align) for mode in ("bilinear", "bicubic") for align in (False, True)]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_nearest_exact(every_isa, factor):
    x = rng(1).integers(-9, 10, (2, 3, 4, 5))
    expected = x.repeat(factor, 2).repeat(factor, 3)
    check_exact(lambda x: interpolate(cnn.from_numpy(x), scale_factor=factor), expected, x)


@pytest.mark.parametrize(("mode", "align"), MODES)
@pytest.mark.parametrize(("shape", "options"), CASES[:7])
def test_gradients(every_isa, shape, options, mode, align):
    x = rng(2).standard_normal(shape)
    check_gradients(lambda x: interpolate(x, mode=mode, align_corners=align, **options), x)


@needs_torch
@pytest.mark.parametrize(("mode", "align"), MODES)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_torch(shape, options, mode, align):
    check_against_torch(
        lambda x: interpolate(x, mode=mode, align_corners=align, **options),
        lambda x: torch.nn.functional.interpolate(x, mode=mode, align_corners=align, **options),
        rng(3).standard_normal(shape),
        terms=16,
    )


@needs_torch
@pytest.mark.parametrize(("mode", "align"), [("nearest", None), ("linear", False), ("linear", True)])
def test_one_dimension(mode, align):
    for options in ({"scale_factor": 1.7}, {"size": 4}):
        check_against_torch(
            lambda x, options=options: interpolate(x, mode=mode, align_corners=align, **options),
            lambda x, options=options: torch.nn.functional.interpolate(x, mode=mode, align_corners=align, **options),
            rng(4).standard_normal((2, 3, 6)),
            terms=4,
        )


@needs_torch
def test_many_sizes_against_torch():
    """Rounding of positions decides which pixel is the nearest: every pair of sizes up to 24."""
    for n in range(1, 25):
        x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
        for out in range(1, 25):
            for mode in ("nearest", "nearest-exact"):
                ours = interpolate(cnn.from_numpy(x), size=out, mode=mode).numpy()
                theirs = torch.nn.functional.interpolate(torch.from_numpy(x), size=out, mode=mode).numpy()
                assert np.array_equal(ours, theirs), (n, out, mode)


def test_adjoint():
    """Backward is the transposed map: <A x, y> = <x, A'y>, exactly, for integers and nearest."""
    generator = rng(5)
    for _ in range(50):
        n, c, h, w, oh, ow = (int(k) for k in generator.integers(1, 9, 6))
        x = cnn.from_numpy(generator.integers(-9, 10, (n, c, h, w)).astype(np.float64)).requires_grad_()
        y = cnn.from_numpy(generator.integers(-9, 10, (n, c, oh, ow)).astype(np.float64))
        out = interpolate(x, size=(oh, ow))
        out.backward(y)
        assert (out * y).sum().item() == (x * x.grad).sum().item()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_memory(mode):
    x = rng(6).standard_normal((2, 3, 4, 5)).astype(np.float32)
    check_memory_variants(lambda x: interpolate(cnn.from_numpy(x), size=(7, 3), mode=mode)._a, x)


def test_same_bits_for_any_number_of_threads():
    x = cnn.from_numpy(rng(7).standard_normal((8, 16, 16, 16), np.float32)).requires_grad_()
    results = []
    before = cnn.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            cnn.set_num_threads(threads)
            x.grad = None
            y = interpolate(x, size=(33, 29), mode="bicubic")
            y.backward(y.detach())
            results.append((y._a.tobytes(), x.grad._a.tobytes()))
    finally:
        cnn.set_num_threads(before)
    assert len(set(results)) == 1


def test_nan_stays_where_it_is():
    x = cnn.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = float("nan")
    y = interpolate(x, size=3, mode="bilinear", align_corners=True)
    assert y.isnan().sum().item() == 1


@needs_torch
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Upsample", {"scale_factor": 2}),
        ("Upsample", {"size": (3, 4), "mode": "bilinear", "align_corners": True}),
        ("Upsample", {"scale_factor": (1.5, 2)}),
        ("UpsamplingNearest2d", {"scale_factor": 2}),
        ("UpsamplingBilinear2d", {"size": 3}),
    ],
)
def test_layers(name, options):
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, rng(8).standard_normal((2, 3, 4, 5)), terms=4)


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((1, 1, 3, 3), {}, ValueError, "either size or scale_factor"),
        ((1, 1, 3, 3), {"size": 2, "scale_factor": 2}, ValueError, "only one of"),
        ((1, 1, 3, 3), {"size": (2, 3, 4)}, ValueError, "same number of spatial dimensions"),
        ((1, 1, 3, 3), {"scale_factor": (2,)}, ValueError, "scale_factor"),
        ((1, 1, 3, 3), {"size": 2, "mode": "cubic"}, NotImplementedError, "cubic"),
        ((1, 1, 3, 3), {"size": 2, "mode": "linear"}, NotImplementedError, "linear mode needs 3D input"),
        ((1, 1, 3), {"size": 2, "mode": "bilinear"}, NotImplementedError, "bilinear mode needs 4D input"),
        ((3, 3), {"size": 2}, NotImplementedError, "2D"),
        ((1, 1, 3, 3), {"size": 2, "align_corners": True}, ValueError, "align_corners"),
        ((1, 1, 3, 3), {"size": 0}, RuntimeError, "greater than 0"),
        ((1, 1, 3, 3), {"scale_factor": 0.1}, RuntimeError, "greater than 0"),
        ((1, 1, 0, 3), {"size": 2}, RuntimeError, "greater than 0"),
        ((1, 1, 3, 3), {"size": 2, "antialias": True}, NotImplementedError, "antialias"),
        ((1, 1, 3, 3), {"size": 2**40}, ValueError, "too large"),
    ],
)
def test_mistakes(shape, options, error, message):
    with pytest.raises(error, match=message):
        interpolate(cnn.zeros(*shape), **options)
