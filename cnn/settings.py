"""Threads, and switches of torch that scripts set and that change nothing here."""

from cnn import _cnn

__all__ = [
    "are_deterministic_algorithms_enabled",
    "compile",
    "empty_cache",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "set_num_threads",
    "use_deterministic_algorithms",
    "vmap",
]


def get_num_threads():
    """Threads that a kernel runs on: OMP_NUM_THREADS, or the CPUs this process may use. See torch.get_num_threads."""
    return _cnn.get_num_threads()


def set_num_threads(num):
    """Run kernels on num threads. Results do not depend on it, in any bit. See torch.set_num_threads."""
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads: num must be an integer, got {type(num).__name__}")
    if num < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {num}")
    _cnn.set_num_threads(num)


def get_num_interop_threads():
    """1: operations run one after the other."""
    return 1


def set_num_interop_threads(num):
    """Accepted; operations run one after the other."""


def empty_cache():
    """Give memory that is kept for re-use back to the system."""
    _cnn.empty_cache()


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Accepted: results are always the same, whatever the number of threads."""


def are_deterministic_algorithms_enabled():
    """True, always."""
    return True


def set_float32_matmul_precision(precision):
    """Accepted: float32 is computed in float32."""


def get_float32_matmul_precision():
    """'highest', always."""
    return "highest"


def set_flush_denormal(mode):
    """False: denormal numbers are kept."""
    return False


def compile(model=None, **options):
    """The model itself: there is nothing to compile. Also a decorator with options. See torch.compile."""
    return model if model is not None else lambda m: m


def vmap(*args, **kwargs):
    """Not supported."""
    raise NotImplementedError("torch.vmap is not supported by cnn: write the batch dimension into the code")
