"""torch.profiler for scripts that call it: contexts that measure nothing."""

import contextlib
from enum import Enum


class ProfilerActivity(Enum):
    """What torch could record."""

    CPU = 0
    CUDA = 1


def record_function(name, args=None):
    """A context that changes nothing."""
    return contextlib.nullcontext()


def profile(*args, **kwargs):
    """Not supported: use Python's cProfile or `perf`."""
    raise NotImplementedError("torch.profiler.profile is not supported by cnn: use cProfile, py-spy or perf")
