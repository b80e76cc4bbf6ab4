"""What every activation is tested for. A test file states one Activation, and runs every check of CHECKS on it and
those of ISA_CHECKS on every instruction set."""

import inspect
from dataclasses import dataclass, field

import numpy as np
import pytest
from harness import (
    TOLERANCE,
    as_tensors,
    assert_close,
    channels_last,
    check_against_torch,
    check_gradients,
    check_memory_variants,
    check_threads,
    rng,
    torch,
)

import cnn
from cnn import _cnn, nn

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4, 5), (0, 3), (70001,)]
SPECIAL = [0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1e30, -1e30]
INFINITE = [float("inf"), float("-inf"), float("nan")]


@dataclass
class Activation:
    """`ours(x, **options)` and torch's function of that name, for each of `options`; `numpy` is the formula in float64,
    `kinks` where it has no derivative, `inplace` whether it can change its input; `scalars` is what the functions of
    cnn._cnn take after the arrays."""

    ours: object
    numpy: object
    options: list = field(default_factory=lambda: [{}])
    kinks: tuple = ()
    inplace: bool = True
    not_special: tuple = ()  # infinities where torch disagrees with itself between its types
    scalars: tuple = ()

    @property
    def name(self):
        return self.ours.__name__

    def theirs(self, x, **options):
        return getattr(torch.nn.functional, self.name)(x, **options)

    def values(self, seed, shape, options):
        """Normal values, scaled to reach both arms, away from the kinks."""
        x = np.asarray(3 * rng(seed).standard_normal(shape))
        for kink in self.kinks:
            x = np.where(np.abs(x - kink) < 0.01, kink + 0.05, x)
        return np.asarray(x)


def check_numpy(a):
    """Beside the formula in NumPy, in both types."""
    for options in a.options:
        for kind in (np.float32, np.float64):
            x = a.values(1, (3001,), options).astype(kind)
            want = a.numpy(x.astype(np.float64), **options)
            rtol, atol = TOLERANCE["torch"][np.dtype(kind).name]
            np.testing.assert_allclose(a.ours(cnn.from_numpy(x), **options)._a, want, rtol, atol)


def check_torch(a):
    if torch is None:
        pytest.skip("PyTorch is not installed: NOTHING is compared with it here")
    for options in a.options:
        for shape in SHAPES:
            x = a.values(2, shape, options)
            check_against_torch(lambda x: a.ours(x, **options), lambda x: a.theirs(x, **options), x)  # noqa: B023


def check_special_values(a):
    """Zeros, denormals, huge values, infinities and NaN: value and gradient as torch has them."""
    if torch is None:
        pytest.skip("PyTorch is not installed: NOTHING is compared with it here")
    for options in a.options:
        for kind in (np.float32, np.float64):
            x = np.array([v for v in SPECIAL + INFINITE if v not in a.not_special], kind)
            mine, reference = cnn.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
            y, z = a.ours(mine, **options), a.theirs(reference, **options)
            assert_close(y._a, z.detach().numpy(), 1, f"{options}: values")
            y.backward(cnn.ones(len(x), dtype=y.dtype))
            z.backward(torch.ones(len(x), dtype=z.dtype))
            assert_close(mine.grad._a, reference.grad.numpy(), 1, f"{options}: gradients")


def check_gradient(a):
    for options in a.options:
        for shape in SHAPES[:-2]:
            check_gradients(lambda x: a.ours(x, **options), a.values(3, shape, options))  # noqa: B023


def check_memory(a):
    x = a.values(4, (2, 3, 4, 5), a.options[0])
    check_memory_variants(lambda x: a.ours(cnn.from_numpy(x), **a.options[0]), x)
    turned = a.ours(cnn.from_numpy(channels_last(x)), **a.options[0])
    assert turned._a.strides == channels_last(x).strides
    # The gradient may come in another memory order than the value.
    gradients = []
    for dy in (x, channels_last(x), x[..., ::-1].copy()[..., ::-1]):
        (t,) = as_tensors([x.copy()])
        a.ours(t, **a.options[0]).backward(cnn.from_numpy(dy))
        gradients.append(t.grad._a)
    np.testing.assert_array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[0], gradients[2])


def check_inplace(a):
    """The input changes, whatever its memory; its gradient is that of the other form."""
    if not a.inplace:
        with pytest.raises(TypeError, match="inplace"):
            a.ours(cnn.ones(1), inplace=True)
        return
    for options in a.options:
        x = a.values(5, (2, 3, 4, 5), options)
        want = a.ours(cnn.from_numpy(x), **options)
        for layout in (x.copy(), channels_last(x), np.asfortranarray(x), np.repeat(x, 2, 0)[::2]):
            t = cnn.from_numpy(layout)
            assert a.ours(t, inplace=True, **options) is t
            np.testing.assert_array_equal(layout, want._a)
        check_gradients(lambda x: a.ours(x * 1, inplace=True, **options), x)  # noqa: B023
        check_against_torch(
            lambda x: a.ours(x * 2, inplace=True, **options),  # noqa: B023
            lambda x: a.theirs(x * 2, inplace=True, **options),  # noqa: B023
            x,
        )
        leaf = cnn.from_numpy(x.copy()).requires_grad_()
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            a.ours(leaf, inplace=True, **options)


def check_thread_counts(a):
    x = a.values(6, (100003,), a.options[0]).astype(np.float32)
    check_threads(lambda: a.ours(cnn.from_numpy(x), **a.options[0]))


def check_errors(a):
    forward, backward = getattr(_cnn, a.name + "_forward"), getattr(_cnn, a.name + "_backward")
    x = np.zeros(3)
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    cases = [
        (TypeError, f"{a.name}: input must be float32 or float64, got int64",
         lambda: forward(np.arange(3), *a.scalars)),
        (TypeError, f"{a.name}: input must be an array, got list", lambda: forward([1.0], *a.scalars)),
        (TypeError, f"{a.name}: expected {1 + len(a.scalars)} arguments, got 0", forward),
        (ValueError, rf"{a.name}_backward: grad_output must have shape \(3,\), got \(2,\)",
         lambda: backward(x[:2], x, *a.scalars)),
    ]  # fmt: skip
    if a.inplace:
        in_place = getattr(_cnn, a.name + "_forward_")
        cases.append((ValueError, f"{a.name}_: input must be writable", lambda: in_place(frozen, *a.scalars)))
    if a.scalars:
        cases.append(
            (TypeError, f"{a.name}: .* must be a number, got str", lambda: forward(x, *"xyz"[: len(a.scalars)]))
        )
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


ISA_CHECKS = [check_numpy, check_gradient, check_special_values]
CHECKS = [check_memory, check_thread_counts, check_errors, check_inplace, check_torch]


def check_module(name, *args, **kwargs):
    """The Module beside torch's: the same output, repr and signature."""
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert_signature(getattr(nn, name).__init__, getattr(torch.nn, name).__init__)
    x = 3 * rng(7).standard_normal((2, 3, 4)).astype(np.float32)
    got, want = cnn.from_numpy(x.copy()), torch.from_numpy(x.copy())
    assert_close(ours(got)._a, theirs(want).numpy())
    assert_close(got._a, want.numpy(), what="the input, afterwards")


def assert_signature(ours, theirs):
    mine, reference = ({k: p.default for k, p in inspect.signature(f).parameters.items()} for f in (ours, theirs))
    assert mine == reference
