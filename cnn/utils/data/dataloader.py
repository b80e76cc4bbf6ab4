"""DataLoader: batches of a data set, in order or at random, fetched here or by worker threads.

Workers are threads, not processes: nothing is pickled, nothing needs a main guard, and arrays are handed over without
a copy. Decoding images, NumPy and the layers' C code release Python's lock, so threads do work side by side there.
"""

import contextlib
import copy
import functools
import os
import queue
import threading
import warnings
import weakref
from typing import Generic, TypeVar

import numpy as np

import cnn
from cnn.nn.sizes import whole
from cnn.tensor import Tensor
from cnn.utils.data.collate import default_collate, default_convert
from cnn.utils.data.dataset import IterableDataset, batch_of, samples_of
from cnn.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, random_seed
from cnn.utils.data.worker import WorkerInfo, set_worker_info

T = TypeVar("T", covariant=True)


class DataLoader(Generic[T]):
    """Iterates over a data set in batches.

    Args:
        dataset: a Dataset (with ``__getitem__`` and a length) or an IterableDataset.
        batch_size: samples in a batch; None gives single samples.
        shuffle: a new random order each time.
        sampler, batch_sampler: the order of single indices, or of whole batches.
        num_workers: threads that fetch ahead; 0 fetches when asked. Batches come in order either way.
        collate_fn: makes a batch of a list of samples; default_collate.
        drop_last: leave out a smaller last batch.
        timeout: seconds to wait for a worker; 0 waits for ever.
        worker_init_fn: called in each worker with its number before it fetches.
        generator: for the order and for the workers' seeds; the default generator.
        prefetch_factor: batches fetched ahead by each worker; 2.
        persistent_workers: keep the threads from one epoch to the next.
        in_order: False hands out whichever batch is ready first.
        pin_memory, pin_memory_device, multiprocessing_context: accepted; nothing to do on a CPU with threads.

    Each worker has a generator of its own, seeded with base seed + its number, as in torch. Python's and NumPy's global
    generators are shared by all threads; random draws that must be repeatable come from this package.

    Mirrors torch.utils.data.DataLoader. Raises ValueError for options that exclude each other.
    """

    _frozen = False

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=None,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        timeout=0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    ):
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
        self._streams = isinstance(dataset, IterableDataset)
        if self._streams:
            _check_stream_options(shuffle, sampler, batch_sampler)
        _check_order_options(batch_size, shuffle, sampler, batch_sampler, drop_last)

        if sampler is None:
            if self._streams:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._promised_length = None  # what len() said of a stream
        self._iterator = None
        self._frozen = True

    def _fetcher(self):
        """A function from a data set to its _Fetcher. It holds no loader, so workers do not keep it alive."""
        options = {
            "stream": self._streams,
            "batched": self.batch_sampler is not None,
            "collate": self.collate_fn,
            "drop_last": self.drop_last,
        }
        return functools.partial(_Fetcher, **options)

    def __setattr__(self, name, value):
        if self._frozen and name in (
            "batch_size",
            "batch_sampler",
            "sampler",
            "drop_last",
            "dataset",
            "persistent_workers",
        ):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __iter__(self):
        if self.num_workers == 0:
            return _Here(self)
        if not self.persistent_workers:
            return _Workers(self)
        if self._iterator is None or self._iterator.process != os.getpid():  # a forked child starts its own
            self._iterator = _Workers(self)
        else:
            self._iterator.restart()
        return self._iterator

    @property
    def _index_sampler(self):
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self):
        if not self._streams:
            return len(self._index_sampler)
        self._promised_length = n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else (n + self.batch_size - 1) // self.batch_size


def _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers):
    whole(num_workers, "DataLoader", "num_workers")
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. "
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream_options(shuffle, sampler, batch_sampler):
    """A stream has its own order."""
    for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


def _check_order_options(batch_size, shuffle, sampler, batch_sampler, drop_last):
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


class _Endless:
    """The sampler of a stream: always one more."""

    def __iter__(self):
        while True:
            yield None


class _Fetcher:
    """Makes batches of the indices that a sampler gives."""

    def __init__(self, dataset, stream, batched, collate, drop_last):
        self.dataset = dataset
        self.stream = iter(dataset) if stream else None
        self.batched = batched
        self.collate = collate
        self.drop_last = drop_last

    def __call__(self, index):
        """The batch (or the sample) at `index`. Raises StopIteration where a stream has ended."""
        if self.stream is not None:
            return self.collate(self._next_of_stream(index))
        if not self.batched:
            return self.collate(self.dataset[index])
        if self.collate is default_collate:
            batch = batch_of(self.dataset, index)
            if batch is not NotImplemented:
                return batch
        return self.collate(samples_of(self.dataset, index))

    def _next_of_stream(self, index):
        if not self.batched:
            return next(self.stream)
        samples = [sample for _, sample in zip(index, self.stream, strict=False)]
        if not samples or (self.drop_last and len(samples) < len(index)):
            raise StopIteration
        return samples


class _Iterator:
    """What both ways of fetching have in common."""

    def __init__(self, loader):
        self.loader = loader
        self.indices = iter(loader._index_sampler)
        self.base_seed = random_seed(loader.generator)  # drawn even without workers: torch does
        self.yielded = 0

    def __iter__(self):
        return self

    def __len__(self):
        return len(self.loader._index_sampler)

    def __next__(self):
        batch = self._fetch()
        self.yielded += 1
        promised = self.loader._promised_length
        if promised is not None and self.yielded > promised:
            warnings.warn(
                f"Length of IterableDataset {self.loader.dataset} was reported to be {promised} "
                f"(when accessing len(dataloader)), but {self.yielded} samples have been fetched. "
                "With workers, each of them must give its own share only (see get_worker_info).",
                stacklevel=2,
            )
        return batch

    def next(self):
        """The same as next(iterator), for scripts from before 2022."""
        return self.__next__()


class _Here(_Iterator):
    """Fetches in the caller's thread, when asked."""

    def __init__(self, loader):
        super().__init__(loader)
        self.fetcher = loader._fetcher()(loader.dataset)

    def _fetch(self):
        return self.fetcher(next(self.indices))


class _Workers(_Iterator):
    """Threads that fetch ahead. Batch k is fetched by worker k mod num_workers, so that random draws are repeatable."""

    def __init__(self, loader):
        super().__init__(loader)
        self.process = os.getpid()
        self.results = _Results()
        self.tasks = [queue.SimpleQueue() for _ in range(loader.num_workers)]
        # The threads hold the queues, never this iterator: when it is dropped, they are told to end.
        self._finalizer = weakref.finalize(self, _tell, self.tasks, _STOP)
        for k, tasks in enumerate(self.tasks):
            info = WorkerInfo(k, loader.num_workers, self.base_seed + k, _own(loader.dataset))
            arguments = (info, loader.worker_init_fn, loader._fetcher(), tasks, self.results)
            threading.Thread(target=_work, args=arguments, name=f"cnn DataLoader {k}", daemon=True).start()
        self._begin()

    def restart(self):
        """A new epoch with the same threads."""
        self.indices = iter(self.loader._index_sampler)
        self.yielded = 0
        self.results.clear()
        _tell(self.tasks, _NEW_EPOCH)
        self._begin()

    def _begin(self):
        self.alive = [True] * len(self.tasks)
        self.turn = 0  # whose turn the next task is
        self.sent = 0
        self.owner = {}  # task -> worker, for tasks not yet handed out
        for _ in range(max(1, self.loader.prefetch_factor * len(self.tasks))):
            self._send_next()

    def _send_next(self):
        if not any(self.alive):
            return
        index = next(self.indices, _NOTHING)
        if index is _NOTHING:
            return
        while not self.alive[self.turn]:
            self.turn = (self.turn + 1) % len(self.tasks)
        self.owner[self.sent] = self.turn
        self.tasks[self.turn].put((self.results.epoch, self.sent, index))
        self.sent += 1
        self.turn = (self.turn + 1) % len(self.tasks)

    def _fetch(self):
        if self.process != os.getpid():
            raise RuntimeError(
                "this iterator's workers are threads of the process that was forked; iterate over the DataLoader anew"
            )
        while self.owner:
            task = next(iter(self.owner)) if self.loader.in_order else None
            task, kind, value = self.results.take(task, self.loader.timeout)
            worker = self.owner.pop(task)
            if kind == "end":
                if self.alive[worker]:  # the tasks that it still has will be answered in the same way
                    self.alive[worker] = False
                    self._send_next()
                continue
            self._send_next()
            if kind == "error":
                raise value
            return value
        raise StopIteration


def _own(dataset):
    """A worker's shallow copy: an attribute it sets, such as an open file, is its own; the data are shared."""
    if hasattr(dataset, "__dict__") and not isinstance(dataset, (Tensor, np.ndarray)):
        with contextlib.suppress(Exception):  # what cannot be copied is shared
            return copy.copy(dataset)
    return dataset


_NOTHING = object()
_NEW_EPOCH = object()
_STOP = object()


def _tell(queues, message):
    """Give every worker a message, in place of the tasks that it has not begun."""
    for tasks in queues:
        while not tasks.empty():
            with contextlib.suppress(queue.Empty):
                tasks.get_nowait()
        tasks.put(message)


class _Results:
    """Finished tasks of all workers, waiting for the consumer."""

    def __init__(self):
        self.changed = threading.Condition()
        self.done = {}
        self.epoch = 0

    def clear(self):
        with self.changed:
            self.epoch += 1
            self.done.clear()

    def put(self, epoch, task, kind, value):
        with self.changed:
            if epoch == self.epoch:  # else the consumer has begun anew meanwhile
                self.done[task] = (kind, value)
                self.changed.notify_all()

    def take(self, task, timeout):
        """(task, kind, value) of the given task, or of any if it is None."""

        def ready():
            return bool(self.done) if task is None else task in self.done

        with self.changed:
            if not self.changed.wait_for(ready, timeout or None):
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            key = next(iter(self.done)) if task is None else task
            return key, *self.done.pop(key)


def _work(info, worker_init_fn, new_fetcher, tasks, results):
    """The life of one worker thread."""
    set_worker_info(info)
    with cnn.random.thread_generator(info.seed):
        fetcher = None
        ended = False
        while (job := tasks.get()) is not _STOP:
            if job is _NEW_EPOCH:
                fetcher = None
                continue
            epoch, task, index = job
            try:
                if ended:
                    raise StopIteration
                if worker_init_fn is not None:
                    ended, init, worker_init_fn = True, worker_init_fn, None
                    init(info.id)  # a worker that could not begin gives nothing after this error
                    ended = False
                if fetcher is None:
                    fetcher = new_fetcher(info.dataset)
                results.put(epoch, task, "batch", fetcher(index))
            except StopIteration:
                results.put(epoch, task, "end", None)
            except BaseException as error:
                error.add_note(f"raised in DataLoader worker {info.id} of {info.num_workers}")
                results.put(epoch, task, "error", error)
