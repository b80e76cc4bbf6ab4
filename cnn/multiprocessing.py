"""torch.multiprocessing: Python's own, and `spawn`. Tensors go to other processes by value: memory is not shared.

See https://docs.pytorch.org/docs/stable/multiprocessing.html.
"""

import multiprocessing
import multiprocessing.connection
from multiprocessing import *  # noqa: F403

__all__ = [*multiprocessing.__all__, "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy"]
__all__ += ["ProcessExitedException", "ProcessRaisedException", "spawn", "start_processes"]


class ProcessExitedException(Exception):
    """A process of :func:`spawn` was killed, or ended with an exit code of its own."""


class ProcessRaisedException(Exception):
    """The function of a process of :func:`spawn` raised an error, which went to stderr."""


def get_all_sharing_strategies():
    """{"file_system"}: tensors are copied, so that there is nothing to choose."""
    return {"file_system"}


def get_sharing_strategy():
    """ "file_system"."""
    return "file_system"


def set_sharing_strategy(new_strategy):
    """Accepted; tensors are copied either way."""


class _Processes:
    """The processes of :func:`spawn`."""

    def __init__(self, processes):
        self.processes = processes

    def pids(self):
        return [process.pid for process in self.processes]

    def join(self, timeout=None):
        """Wait for any process to end; True when all have. When one fails, the others are ended, and this raises."""
        running = [process for process in self.processes if process.exitcode is None]
        multiprocessing.connection.wait([process.sentinel for process in running], timeout)
        for index, process in enumerate(self.processes):
            if process.exitcode:
                for other in self.processes:
                    other.terminate()
                    other.join()
                if process.exitcode == 1:
                    raise ProcessRaisedException(f"process {index} of spawn raised an error; it stands above on stderr")
                raise ProcessExitedException(f"process {index} of spawn ended with exit code {process.exitcode}")
        return all(process.exitcode == 0 for process in self.processes)


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """Run fn(i, *args) in `nprocs` processes. With `join` wait for them; else give back what `join()` waits with."""
    context = multiprocessing.get_context(start_method)
    started = _Processes([context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)])
    for process in started.processes:
        process.start()
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """start_processes by the method "spawn". See torch.multiprocessing.spawn."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
