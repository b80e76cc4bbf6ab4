"""Data sets, samplers, collation and the DataLoader: the same batches as torch's from the same seed."""

import collections
import gc
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from harness import needs_torch, torch

import cnn
import cnn.utils.data as ours
from cnn.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    get_worker_info,
    random_split,
)

theirs = torch and torch.utils.data


def plain(value):
    """Batches of both libraries as something that can be compared: types, shapes and values."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ("named", type(value).__name__, *map(plain, value))
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    if hasattr(value, "numpy"):
        array = value.numpy()
        return ("tensor", str(array.dtype), array.shape, array.tolist())
    return value


def seed_both(seed):
    cnn.manual_seed(seed)
    torch.manual_seed(seed)


def check_streams():
    assert cnn.rand(1).item() == torch.rand(1).item(), "another number of random draws"


class Squares:
    """A data set without any library."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return np.full((2, 3), i, np.float32), i


# ---- the order of the batches ---------------------------------------------------------------------------------------

LOADERS = {
    "plain": {},
    "batches": {"batch_size": 4},
    "shuffled": {"batch_size": 4, "shuffle": True},
    "drop_last": {"batch_size": 5, "shuffle": True, "drop_last": True},
    "no batches": {"batch_size": None, "shuffle": True},
    "one batch": {"batch_size": 100, "shuffle": True},
    "workers": {"batch_size": 4, "shuffle": True, "num_workers": 2},
    "many workers": {"batch_size": 3, "shuffle": True, "num_workers": 5, "prefetch_factor": 3},
    "persistent": {"batch_size": 4, "shuffle": True, "num_workers": 2, "persistent_workers": True},
}


@needs_torch
@pytest.mark.parametrize("name", LOADERS)
def test_the_same_batches_as_torch(name):
    """Two epochs, with draws of the program's own between the batches."""
    options = LOADERS[name]
    mine = ours.DataLoader(Squares(), **options)
    other = theirs.DataLoader(
        Squares(), **{**options, "num_workers": 0, "prefetch_factor": None, "persistent_workers": False}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed_both(7)
        for _ in range(2):
            assert len(mine) == len(other)
            # Workers have the order drawn at the beginning, else it is at the first batch: draw nothing in between.
            if options.get("num_workers"):
                a, b = [plain(x) for x in mine], [plain(x) for x in other]
                if not options.get("persistent_workers"):  # torch draws no base seed for a second epoch of theirs
                    assert a == b
                assert sorted(map(str, flat(a))) == sorted(map(str, flat(b)))
                continue
            count = 0
            for a, b in zip(mine, other, strict=True):
                assert plain(a) == plain(b)
                check_streams()
                count += 1
            assert count == len(mine)


def flat(batches):
    return [label for batch in batches for label in batch[2][3]]


@needs_torch
@pytest.mark.parametrize(
    "options", [{}, {"replacement": True}, {"num_samples": 60}, {"replacement": True, "num_samples": 64}]
)
@pytest.mark.parametrize("given", [False, True])
def test_random_sampler(options, given):
    seed_both(3)
    a = ours.RandomSampler(range(25), **options, generator=cnn.Generator().manual_seed(5) if given else None)
    b = theirs.RandomSampler(range(25), **options, generator=torch.Generator().manual_seed(5) if given else None)
    assert len(a) == len(b)
    for _ in range(3):  # epoch after epoch: a generator of the caller's must be left where torch leaves it
        assert list(a) == list(b)
    check_streams()


@needs_torch
def test_other_samplers():
    weights = [0.1, 0.9, 0.4, 0.7, 3.0, 0.6]
    for make in (
        lambda lib: lib.SubsetRandomSampler([3, 1, 4, 15, 9, 2]),
        lambda lib: lib.WeightedRandomSampler(weights, 20),
        lambda lib: lib.WeightedRandomSampler(weights, 5, replacement=False),
        lambda lib: lib.SequentialSampler(range(9)),
        lambda lib: lib.BatchSampler(lib.SequentialSampler(range(9)), 4, drop_last=False),
        lambda lib: lib.BatchSampler(range(9), 4, drop_last=True),
        lambda lib: lib.BatchSampler(lib.RandomSampler(range(9)), 3, drop_last=True),
    ):
        seed_both(11)
        a, b = make(ours), make(theirs)
        assert len(a) == len(b)
        assert [list(a), list(a)] == [list(b), list(b)]
        check_streams()


@needs_torch
@pytest.mark.parametrize("lengths", [[20, 3], [0.5, 0.5], [0.9, 0.05, 0.05], [1 / 3, 1 / 3, 1 / 3], [23], [10, 13, 0]])
@pytest.mark.parametrize("given", [False, True])
def test_random_split(lengths, given):
    seed_both(2)
    a = ours.random_split(Squares(), lengths, *([cnn.Generator().manual_seed(42)] if given else []))
    b = theirs.random_split(Squares(), lengths, *([torch.Generator().manual_seed(42)] if given else []))
    assert [part.indices for part in a] == [part.indices for part in b]
    assert [a[0][i][1] for i in range(len(a[0]))] == a[0].indices
    check_streams()


@needs_torch
def test_a_generator_of_its_own():
    seed_both(1)
    a = ours.DataLoader(Squares(), 4, shuffle=True, generator=cnn.Generator().manual_seed(9))
    b = theirs.DataLoader(Squares(), 4, shuffle=True, generator=torch.Generator().manual_seed(9))
    for _ in range(3):
        assert [plain(x) for x in a] == [plain(x) for x in b]
    check_streams()


# ---- collation ------------------------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", ["x", "y"])

SAMPLES = {
    "ints": [1, 2, 3],
    "bools": [True, False],
    "floats": [1.0, 2.5],
    "strings": ["a", "b"],
    "bytes": [b"a", b"b"],
    "arrays": [np.arange(3, dtype=np.int16), np.arange(3, dtype=np.int16)],
    "arrays f64": [np.ones((2, 2)), np.zeros((2, 2))],
    "numpy scalars": [np.float32(3), np.float32(4)],
    "numpy f64": [np.float64(3), np.float64(4)],
    "numpy ints": [np.int8(3), np.int8(4)],
    "numpy bools": [np.bool_(True), np.bool_(False)],
    "0-d arrays": [np.array(3.0), np.array(4.0)],
    "tuples": [(1, 2.0, "a"), (3, 4.0, "b")],
    "lists": [[1, 2.0], [3, 4.0]],
    "named": [Point(1, 2.0), Point(3, 4.0)],
    "dicts": [{"x": 1, "y": [1.0, "a"]}, {"x": 2, "y": [2.0, "b"]}],
    "ordered": [collections.OrderedDict(x=1, y=2), collections.OrderedDict(x=3, y=4)],
    "nested": [((1, {"a": np.ones(2, np.float32)}), "s"), ((2, {"a": np.zeros(2, np.float32)}), "t")],
    "ranges": [range(2), range(2)],
}


@needs_torch
@pytest.mark.parametrize("name", SAMPLES)
def test_default_collate_and_convert(name):
    samples = SAMPLES[name]
    assert plain(ours.default_collate(samples)) == plain(theirs.default_collate(samples))
    a, b = ours.default_convert(samples[0]), theirs.default_convert(samples[0])
    assert plain(a) == plain(b)
    assert type(a).__name__ == type(b).__name__


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 4), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64, np.bool_])
def test_collating_tensors(shape, dtype):
    arrays = [np.random.default_rng(k).integers(0, 2, shape).astype(dtype) for k in range(3)]
    for order in (lambda a: a, lambda a: a.T.copy().T, lambda a: np.repeat(a[None], 2, 0)[1:].reshape(shape)):
        batch = ours.default_collate([cnn.from_numpy(order(a)) for a in arrays])
        assert batch.numpy().dtype == dtype
        np.testing.assert_array_equal(batch.numpy(), np.stack(arrays))


def test_collating_tensors_of_a_graph_keeps_it():
    x = cnn.ones(3, requires_grad=True)
    ours.default_collate([x * 2, x * 3]).sum().backward()
    assert x.grad.tolist() == [5, 5, 5]


def test_collation_mistakes():
    with pytest.raises(
        TypeError, match="must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'object'>"
    ):
        ours.default_collate([object()])
    with pytest.raises(TypeError, match="found object"):
        ours.default_collate([np.array(["a"], object)])
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        ours.default_collate([[1, 2], [1]])
    with pytest.raises(RuntimeError, match=r"equal size, but got \[2, 3\] at entry 0 and \[2, 4\] at entry 1"):
        ours.default_collate([cnn.ones(2, 3), cnn.ones(2, 4)])


def test_a_type_of_ones_own_can_be_collated():
    class Graph:
        pass

    table = {**ours.default_collate_fn_map, Graph: lambda batch, *, collate_fn_map: len(batch)}
    assert ours.collate([(Graph(), 1), (Graph(), 2)], collate_fn_map=table)[0] == 2


# ---- data sets ------------------------------------------------------------------------------------------------------


def test_tensor_dataset_in_batches_and_one_by_one():
    x, y = cnn.arange(30).reshape(10, 3), cnn.arange(10)
    data = TensorDataset(x, y)
    assert len(data) == 10
    assert [t.tolist() for t in data[3]] == [[9, 10, 11], 3]

    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return tuple(2 * t for t in super().__getitem__(i))

    for kind, factor in ((TensorDataset, 1), (Doubled, 2)):
        for data in (
            kind(x, y),
            Subset(kind(x, y), range(10)),
            ConcatDataset([kind(x[:4], y[:4]), kind(x[4:], y[4:])]),
        ):
            batches = list(DataLoader(data, 4))
            assert [type(batch) for batch in batches] == [list] * 3
            np.testing.assert_array_equal(np.concatenate([b[0].numpy() for b in batches]), factor * x.numpy())
            np.testing.assert_array_equal(np.concatenate([b[1].numpy() for b in batches]), factor * y.numpy())
    with pytest.raises(AssertionError, match="Size mismatch between tensors: their first sizes are 10, 9"):
        TensorDataset(x, y[:9])


def test_a_batch_of_a_tensor_dataset_is_a_copy():
    x = cnn.zeros(4, 2)
    (batch,) = next(iter(DataLoader(TensorDataset(x), 4)))
    batch += 1
    assert x.sum().item() == 0


class Many(Dataset):
    """Counts in what portions it was asked."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 10

    def __getitem__(self, i):
        self.asked.append(i)
        return i

    def __getitems__(self, indices):
        self.asked.append(list(indices))
        return list(indices)


def test_getitems_fetches_a_batch_at_once():
    data = Many()
    list(DataLoader(data, 4))
    assert data.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    data.asked.clear()
    list(DataLoader(Subset(data, [5, 3, 1]), 2))
    assert data.asked == [[5, 3], [1]]
    data.asked.clear()
    list(DataLoader(data, batch_size=None, sampler=[2, 4]))
    assert data.asked == [2, 4]


def test_a_subset_with_samples_of_its_own():
    class Negative(Subset):
        def __getitem__(self, i):
            return -super().__getitem__(i)

    assert DataLoader(Negative(Many(), [5, 3]), 2).__iter__().__next__().tolist() == [-5, -3]


def test_data_sets_of_data_sets():
    first, second = Many(), Many()
    both = first + second
    assert isinstance(both, ConcatDataset)
    assert (len(both), both[12], both[-1], both.cumulative_sizes) == (20, 2, 9, [10, 20])
    with pytest.raises(ValueError, match="absolute value of index"):
        both[-21]
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    stacked = ours.StackDataset(a=first, b=TensorDataset(cnn.arange(10)))
    assert stacked[2]["b"][0].item() == 2
    assert ours.StackDataset(first, second)[7] == (7, 7)
    batch = next(iter(DataLoader(ours.StackDataset(first, second), 3)))
    assert [t.tolist() for t in batch] == [[0, 1, 2], [0, 1, 2]]
    for wrong, words in (
        (lambda: ours.StackDataset(), "At least one"),
        (lambda: ours.StackDataset(first, b=second), "by position"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
    with pytest.raises(ValueError, match="Size mismatch between datasets: 10, 23"):
        ours.StackDataset(first, Squares())
    with pytest.raises(NotImplementedError):
        Dataset()[0]


# ---- streams --------------------------------------------------------------------------------------------------------


def stream_of(lib, n, shared=True):
    """Numbers 0 to n - 1, each worker its share."""

    class Stream(lib.IterableDataset):
        def __iter__(self):
            info = lib.get_worker_info()
            step, start = (info.num_workers, info.id) if info and shared else (1, 0)
            return iter(range(start, n, step))

        def __len__(self):
            return n

    return Stream()


@needs_torch
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 10])
@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}])
def test_streams(n, options):
    a, b = ours.DataLoader(stream_of(ours, n), **options), theirs.DataLoader(stream_of(theirs, n), **options)
    assert [plain(x) for x in a] == [plain(x) for x in b]
    assert len(a) == len(b)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@pytest.mark.parametrize("workers", [1, 2, 3, 12])
def test_streams_in_workers(workers):
    """As the table in torch's documentation: worker after worker, each its own share."""
    batches = [batch.tolist() for batch in DataLoader(stream_of(ours, 7), 2, num_workers=workers)]
    assert sorted(sum(batches, [])) == list(range(7))
    shares = [list(range(k, 7, workers)) for k in range(workers)]
    parts = [[share[i : i + 2] for i in range(0, len(share), 2)] for share in shares]
    expected = [part[i] for i in range(4) for part in parts if i < len(part)]
    assert batches == expected
    twice = list(DataLoader(stream_of(ours, 3, shared=False), None, num_workers=2))
    assert twice == [0, 0, 1, 1, 2, 2]


def test_worker_init_fn_may_configure_each_workers_copy():
    class Range(IterableDataset):
        def __init__(self):
            self.start, self.end = 0, 8

        def __iter__(self):
            return iter(range(self.start, self.end))

    def share(worker):
        info = get_worker_info()
        assert info.id == worker
        info.dataset.start, info.dataset.end = 4 * worker, 4 * worker + 4

    data = Range()
    batches = [batch.tolist() for batch in DataLoader(data, 2, num_workers=2, worker_init_fn=share)]
    assert batches == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert (data.start, data.end) == (0, 8)


def test_chained_streams():
    chain = stream_of(ours, 3) + stream_of(ours, 2)
    assert list(chain) == [0, 1, 2, 0, 1]
    assert len(chain) == 5
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ours.ChainDataset([Squares()]))


def test_a_stream_longer_than_it_says_is_warned_of():
    class Liar(IterableDataset):
        def __iter__(self):
            return iter(range(5))

        def __len__(self):
            return 2

    loader = DataLoader(Liar())
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2 .* but [345] samples have been fetched") as caught:
        list(loader)
    assert len(caught) == 3


# ---- workers --------------------------------------------------------------------------------------------------------


class Noisy:
    """Samples with a random number of the default generator."""

    def __len__(self):
        return 24

    def __getitem__(self, i):
        if cnn is not None and get_worker_info() is not None:
            return i, cnn.rand(1)
        return i, torch.rand(1)


@needs_torch
@pytest.mark.parametrize("workers", [1, 3])
def test_random_draws_in_workers_are_torchs(workers):
    """The seed of worker k is base seed + k, and batch n is worker n mod workers': torch's processes do the same."""
    seed_both(5)
    mine = [batch[1].numpy().ravel() for batch in ours.DataLoader(Noisy(), 4, num_workers=workers)]
    base = torch.empty((), dtype=torch.int64).random_().item()
    generators = [torch.Generator().manual_seed(base + k) for k in range(workers)]
    expected = [torch.rand(4, generator=generators[n % workers]).numpy() for n in range(6)]
    np.testing.assert_array_equal(mine, expected)
    check_streams()


def test_what_a_worker_knows():
    seen = {}

    class Curious:
        def __len__(self):
            return 8

        def __getitem__(self, i):
            info = get_worker_info()
            seen[info.id] = (info.num_workers, info.seed - info.id, cnn.initial_seed() == info.seed, type(info.dataset))
            return i

    list(DataLoader(Curious(), 2, num_workers=2))
    assert set(seen) == {0, 1}
    assert seen[0] == seen[1]
    assert seen[0][0] == 2
    assert seen[0][2:] == (True, Curious)
    assert get_worker_info() is None


class Broken:
    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i == 5:
            raise KeyError("no sample five")
        return i


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_errors_come_out_as_they_are(workers):
    iterator = iter(DataLoader(Broken(), 2, num_workers=workers))
    assert [next(iterator).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="no sample five") as caught:
        next(iterator)
    if workers:
        assert caught.value.__notes__ == [f"raised in DataLoader worker {2 % workers} of {workers}"]
        assert caught.traceback[-1].name == "__getitem__"
    assert next(iterator).tolist() == [6, 7]


def test_errors_of_worker_init_fn_and_of_the_stream():
    def init(worker):
        raise ValueError(f"worker {worker} will not")

    iterator = iter(DataLoader(Squares(), num_workers=2, worker_init_fn=init))
    for worker in range(2):
        with pytest.raises(ValueError, match=f"worker {worker} will not"):
            next(iterator)
    assert list(iterator) == []

    class NoStream(IterableDataset):
        def __iter__(self):
            raise OSError("no such stream")

    with pytest.raises(OSError, match="no such stream"):
        next(iter(DataLoader(NoStream(), num_workers=1)))


class Slow:
    def __len__(self):
        return 100

    def __getitem__(self, i):
        time.sleep(0.3 if i == 1 else 0.001)
        return i


def test_timeout():
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0.05 seconds"):
        list(DataLoader(Slow(), 1, num_workers=1, timeout=0.05))


def test_order_is_kept_unless_told_otherwise():
    assert [b.item() for b in DataLoader(Slow(), 1, sampler=range(20), num_workers=4)] == list(range(20))
    loose = [b.item() for b in DataLoader(Slow(), 1, sampler=range(20), num_workers=4, in_order=False)]
    assert sorted(loose) == list(range(20))
    assert loose != sorted(loose)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("cnn DataLoader")]


def wait_for_no_threads():
    gc.collect()
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() == []


def test_threads_end_when_nobody_wants_their_batches():
    for k, _ in enumerate(DataLoader(Squares(), 1, num_workers=3)):
        if k == 2:
            break
    wait_for_no_threads()
    loader = DataLoader(Squares(), 1, num_workers=3, persistent_workers=True)
    list(loader)
    assert len(loader_threads()) == 3
    names = {thread.ident for thread in loader_threads()}
    assert len(list(loader)) == 23
    next(iter(loader))  # an epoch that is not finished
    assert [batch[1].item() for batch in loader] == list(range(23))
    assert {thread.ident for thread in loader_threads()} == names
    del loader
    wait_for_no_threads()


CHILD = """
import sys, time
import cnn
class Slow:
    def __len__(self): return 1000
    def __getitem__(self, i):
        time.sleep(5)
        return i
print("ready", flush=True)
try:
    for batch in cnn.utils.data.DataLoader(Slow(), 4, num_workers=2):
        pass
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_while_waiting_for_workers():
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    child.stdout.readline()
    time.sleep(0.3)
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=4) == 130
    child.stdout.close()
    assert time.monotonic() - start < 2


FORKS = """
import os, signal
import cnn
for persistent in (False, True):
    loader = cnn.utils.data.DataLoader(list(range(100)), 10, num_workers=2, persistent_workers=persistent)
    batches = iter(loader)
    next(batches)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            next(batches)
        except RuntimeError as error:
            ok = "forked" in str(error) and sum(map(len, loader)) == 100
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sum(map(len, batches)) == 90
"""


def test_a_forked_child_begins_anew():
    """The threads stay with the parent. What the child inherited says so, where it would wait for ever."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=60)


# ---- the rest of the loader -----------------------------------------------------------------------------------------


class Locked:
    """It refuses to be copied."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return i

    def __copy__(self):
        raise RuntimeError("no copies")


@pytest.mark.parametrize("workers", [0, 2])
def test_any_thing_with_a_length_and_items_is_a_data_set(workers):
    for data in (list(range(5)), np.arange(5), cnn.arange(5), range(5), Locked(), dict(enumerate(range(5)))):
        assert [int(i) for batch in DataLoader(data, 2, num_workers=workers) for i in batch] == list(range(5))


@pytest.mark.parametrize("indices", [[3, 1], np.array([3, 1]), (3, 1), range(3, 0, -2), iter([3, 1])])
def test_samplers_of_many_kinds(indices):
    (batch,) = DataLoader(TensorDataset(cnn.arange(5)), 2, sampler=indices)
    assert batch[0].tolist() == [3, 1]


def test_a_tensor_as_sampler():
    (batch,) = DataLoader(TensorDataset(cnn.arange(5)), 2, sampler=cnn.tensor([3, 1]))
    assert batch[0].tolist() == [3, 1]


def test_small_things_scripts_rely_on():
    data = Squares()
    loader = DataLoader(
        data, batch_size=4, shuffle=True, pin_memory=True, drop_last=False, multiprocessing_context="fork"
    )
    assert loader.dataset is data
    assert isinstance(loader.sampler, RandomSampler)
    assert isinstance(loader.batch_sampler, BatchSampler)
    iterator = iter(loader)
    assert iterator.next()[0].shape == (4, 2, 3)
    assert len(iterator) == len(loader) == 6
    assert next(iter(loader))[1].dtype == cnn.int64
    assert [k for k, _ in enumerate(loader, 0)] == list(range(6))
    assert DataLoader(data, collate_fn=len).__iter__().__next__() == 1
    assert [list(map(int, b[1])) for b in DataLoader(data, batch_sampler=[[1, 2], [0]])] == [[1, 2], [0]]
    assert issubclass(DataLoader[int], DataLoader) if isinstance(DataLoader[int], type) else DataLoader[int]
    for name in ("batch_size", "sampler", "dataset"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"):
            setattr(loader, name, 3)


def test_a_parts_list_of_random_split_feeds_a_loader():
    train, val = random_split(TensorDataset(cnn.arange(10)), [8, 2])
    assert sorted(v.item() for (batch,) in [*DataLoader(train, 3), *DataLoader(val)] for v in batch) == list(range(10))
    assert train.dataset is val.dataset


MISTAKES = {
    "batch_size 0": (lambda lib: lib.DataLoader(Squares(), batch_size=0), ValueError),
    "batch_size -1": (lambda lib: lib.DataLoader(Squares(), batch_size=-1), ValueError),
    "batch_size True": (lambda lib: lib.DataLoader(Squares(), batch_size=True), ValueError),
    "batch_size 2.5": (lambda lib: lib.DataLoader(Squares(), batch_size=2.5), ValueError),
    "shuffle and sampler": (lambda lib: lib.DataLoader(Squares(), shuffle=True, sampler=[1]), ValueError),
    "batch_sampler and size": (lambda lib: lib.DataLoader(Squares(), 2, batch_sampler=[[1]]), ValueError),
    "batch_sampler and shuffle": (lambda lib: lib.DataLoader(Squares(), shuffle=True, batch_sampler=[[1]]), ValueError),
    "drop_last alone": (lambda lib: lib.DataLoader(Squares(), None, drop_last=True), ValueError),
    "drop_last 3": (lambda lib: lib.DataLoader(Squares(), drop_last=3), ValueError),
    "workers -1": (lambda lib: lib.DataLoader(Squares(), num_workers=-1), ValueError),
    "timeout": (lambda lib: lib.DataLoader(Squares(), timeout=-1), ValueError),
    "persistent": (lambda lib: lib.DataLoader(Squares(), persistent_workers=True), ValueError),
    "shuffled stream": (lambda lib: lib.DataLoader(stream_of(lib, 3), shuffle=True), ValueError),
    "empty shuffled": (lambda lib: lib.DataLoader([], shuffle=True), ValueError),
    "num_samples": (lambda lib: lib.RandomSampler([1], num_samples=0), ValueError),
    "replacement": (lambda lib: lib.RandomSampler([1], replacement=1), TypeError),
    "weights": (lambda lib: lib.WeightedRandomSampler([[1.0]], 1), ValueError),
    "weights num": (lambda lib: lib.WeightedRandomSampler([1.0], 0), ValueError),
    "fraction": (lambda lib: lib.random_split(Squares(), [1.5, -0.5]), ValueError),
}


@needs_torch
@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_torchs(case):
    call, kind = MISTAKES[case]
    messages = []
    for lib in (ours, theirs):
        with pytest.raises(kind) as caught:
            call(lib)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_mistakes_that_say_more_than_torchs():
    with pytest.raises(ValueError, match="prefetch_factor option could only be specified in multiprocessing"):
        DataLoader(Squares(), prefetch_factor=2)
    with pytest.raises(ValueError, match=r"does not equal the length of the input dataset! They sum to 22, it has 23"):
        random_split(Squares(), [20, 2])
    with pytest.raises(ValueError, match="expected unspecified sampler option, but got sampler="):
        DataLoader(stream_of(ours, 3), sampler=[1])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(Squares(), [1.0, 0.0])


def test_the_cost_of_a_batch_in_memory():
    """A batch of a TensorDataset is one indexing operation, not one a sample."""
    calls = []

    class Counted(cnn.Tensor):
        def __getitem__(self, index):
            calls.append(index)
            return super().__getitem__(index)

    x = cnn.zeros(1000, 3)
    counted = Counted._wrap(x._a)
    list(DataLoader(TensorDataset(counted), 100, shuffle=True))
    assert len(calls) == 10


def test_python_generators_stay_untouched():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    list(DataLoader(Squares(), 4, shuffle=True))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize(("n", "batches"), [(5, 1), (6, 2), (7, 2), (8, 2), (9, 3)])
def test_a_stream_drops_its_last_batch_where_it_is_short(n, batches):
    found = [batch.tolist() for batch in DataLoader(stream_of(ours, n), 3, drop_last=True)]
    assert found == [list(range(3 * i, 3 * i + 3)) for i in range(batches)]
