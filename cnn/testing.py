"""Comparing tensors in tests. See torch.testing."""

import numpy as np

from cnn.tensor import Tensor

_TOLERANCE = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def assert_close(
    actual, expected, *, allow_subclasses=True, rtol=None, atol=None, equal_nan=False, check_device=True,
    check_dtype=True, check_layout=True, check_stride=False, msg=None,
):  # fmt: skip
    """AssertionError where values, shapes or types differ. See torch.testing.assert_close."""
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        if len(actual) != len(expected):
            raise AssertionError(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}")
        for a, b in zip(actual, expected, strict=True):
            assert_close(a, b, allow_subclasses=allow_subclasses, rtol=rtol, atol=atol, equal_nan=equal_nan,
                         check_dtype=check_dtype, check_stride=check_stride, msg=msg)  # fmt: skip
        return
    if not allow_subclasses and type(actual) is not type(expected):
        raise AssertionError(msg or f"The types do not match: {type(actual).__name__} != {type(expected).__name__}.")
    a, b = (x._a if isinstance(x, Tensor) else np.asarray(x) for x in (actual, expected))
    if a.shape != b.shape:
        raise AssertionError(msg or f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.")
    if check_dtype and a.dtype != b.dtype:
        raise AssertionError(msg or f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.")
    if check_stride and isinstance(actual, Tensor) and isinstance(expected, Tensor):
        if actual.stride() != expected.stride():
            raise AssertionError(
                msg or f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}."
            )
    default = max(_TOLERANCE.get(x.dtype.name, (0.0, 0.0)) for x in (a, b))
    rtol = default[0] if rtol is None else rtol
    atol = default[1] if atol is None else atol
    close = np.isclose(a, b, rtol, atol, equal_nan)
    if not close.all():
        with np.errstate(all="ignore"):
            worst = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
        raise AssertionError(
            msg
            or f"Tensor-likes are not close!\n\nMismatched elements: {(~close).sum()} / {a.size}\n"
            f"Greatest absolute difference: {worst} (up to {atol} allowed, rtol {rtol})"
        )
