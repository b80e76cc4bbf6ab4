"""`torch.cuda`, leniently absent: whatever scripts ask is answered, the work runs on the CPU, one warning says so.

See https://docs.pytorch.org/docs/stable/cuda.html for what the names mean elsewhere.
"""

import contextlib
import time
import warnings
from types import SimpleNamespace

from cnn.amp import GradScaler, autocast

__all__ = ["Event", "Stream", "current_device", "device_count", "is_available", "synchronize", "warn_once"]

_warned = False


def warn_once():
    """Say, once a process, that a GPU was asked for and there is none."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn("a GPU was asked for: cnn runs on the CPU, and the work goes on there", stacklevel=4)


def is_available():
    """False."""
    return False


def device_count():
    """0."""
    return 0


def is_initialized():
    """False."""
    return False


def is_bf16_supported(including_emulation=True):
    """False."""
    return False


def current_device():
    """0, with one warning: torch without a GPU raises here, and scripts ask unconditionally."""
    warn_once()
    return 0


def get_device_name(device=None):
    """A name that says what runs the work."""
    return "CPU (cnn has no CUDA)"


def get_device_capability(device=None):
    """(0, 0)."""
    return 0, 0


def get_device_properties(device=None):
    """`name`, `total_memory`, `major`, `minor`, `multi_processor_count`; all zero but the name."""
    return SimpleNamespace(name=get_device_name(), total_memory=0, major=0, minor=0, multi_processor_count=0)


def set_device(device):
    """Nothing to set; one warning."""
    warn_once()


def _nothing(*args, **kwargs):
    """Nothing to do without a GPU."""


def _zero(*args, **kwargs):
    """0: no GPU memory is used."""
    return 0


init = synchronize = empty_cache = ipc_collect = manual_seed = manual_seed_all = seed = seed_all = _nothing
reset_peak_memory_stats = reset_max_memory_allocated = set_per_process_memory_fraction = _nothing
memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = utilization = _zero


def memory_summary(device=None, abbreviated=False):
    """A line that says there is no GPU memory."""
    return "cnn has no CUDA: no GPU memory is used"


def mem_get_info(device=None):
    """(0, 0)."""
    return 0, 0


def get_rng_state_all():
    """[]."""
    return []


set_rng_state_all = _nothing


class Event:
    """A point in time on the CPU's clock, with torch.cuda.Event's methods."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False):
        self.time = None

    def record(self, stream=None):
        self.time = time.perf_counter()

    def synchronize(self):
        pass

    def query(self):
        return True

    def elapsed_time(self, end_event):
        """Milliseconds between two recorded events."""
        if self.time is None or end_event.time is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event.time - self.time) * 1e3


class Stream:
    """There is one stream: the order of the program."""

    def __init__(self, device=None, priority=0):
        pass

    def synchronize(self):
        pass

    def wait_stream(self, stream):
        pass

    def wait_event(self, event):
        pass

    def query(self):
        return True


def stream(stream):
    """A context that changes nothing."""
    return contextlib.nullcontext()


def device(device):
    """A context that changes nothing."""
    return contextlib.nullcontext()


def current_stream(device=None):
    """The one stream."""
    return Stream()


amp = SimpleNamespace(GradScaler=GradScaler, autocast=autocast)


def __getattr__(name):
    if name.endswith("Tensor"):  # torch.cuda.FloatTensor
        import cnn

        if name in cnn.ops.FUNCTIONS:
            return cnn.ops.FUNCTIONS[name]
    raise AttributeError(f"module 'cnn.cuda' has no attribute '{name}'")
