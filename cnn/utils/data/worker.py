"""Which worker of a DataLoader is this? Workers are threads, so the answer is kept by thread."""

import threading
from dataclasses import dataclass
from typing import Any

_here = threading.local()


@dataclass(frozen=True)
class WorkerInfo:
    """`id` of `num_workers`, the `seed` of this worker's generator, and its copy of the `dataset`."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info():
    """The WorkerInfo inside a worker of a DataLoader; None elsewhere. Mirrors torch.utils.data.get_worker_info."""
    return getattr(_here, "info", None)


def set_worker_info(info):
    _here.info = info
