"""Flags that scripts set; they change nothing on the CPU."""

from types import SimpleNamespace

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=False)


def is_built():
    """False."""
    return False
