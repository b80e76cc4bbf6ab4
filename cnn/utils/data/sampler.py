"""Samplers: in which order a data set is read, as indices or as lists of indices.

The random ones draw from torch's stream in torch's order, so that the same seed gives the same batches.
"""

import itertools
from typing import Generic, TypeVar

import cnn

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """Iterates over indices, or over lists of indices; may have a length. Mirrors torch.utils.data.Sampler."""

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... Mirrors torch.utils.data.SequentialSampler."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A new random order each time, or with `replacement` independent draws.

    `num_samples` indices (default: as many as the data set has) are drawn from `generator`; without one, a fresh
    generator is seeded by one draw from the default generator. Mirrors torch.utils.data.RandomSampler.

    Raises TypeError if `replacement` is no bool, ValueError if `num_samples` is no positive integer.
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self):
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        generator = self.generator
        if generator is None:
            generator = cnn.Generator().manual_seed(random_seed(None))
        for block, count in self._blocks():
            yield from self._draw(block, generator)[:count]

    def _blocks(self):
        """(values to draw, values to use), in torch's portions: the caller's generator ends where torch leaves it."""
        block = 32 if self.replacement else len(self.data_source)
        whole, rest = divmod(self.num_samples, block)
        yield from [(block, block)] * whole
        yield (rest if self.replacement else block, rest)

    def _draw(self, count, generator):
        if self.replacement:
            return cnn.randint(len(self.data_source), (count,), generator=generator).tolist()
        return cnn.randperm(count, generator=generator).tolist()

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in a new random order each time. Mirrors torch.utils.data.SubsetRandomSampler."""

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def __iter__(self):
        for i in cnn.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, index i with a probability in proportion to weights[i].

    Mirrors torch.utils.data.WeightedRandomSampler. Raises ValueError for weights that are not a vector, a `num_samples`
    that is no positive integer, a `replacement` that is no bool.
    """

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        check_positive("num_samples", num_samples)
        check_bool("replacement", replacement)
        self.weights = cnn.as_tensor(weights, dtype=cnn.float64)
        if self.weights.dim() != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self):
        yield from cnn.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist()

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler[list]):
    """Lists of `batch_size` indices of another sampler; a smaller last one unless `drop_last`.

    Raises ValueError if `batch_size` is no positive integer or `drop_last` no bool.
    Mirrors torch.utils.data.BatchSampler.
    """

    def __init__(self, sampler, batch_size, drop_last):
        check_positive("batch_size", batch_size)
        check_bool("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self):
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else (n + self.batch_size - 1) // self.batch_size


def random_seed(generator):
    """One int64 of the generator's stream (default: the default generator), as torch draws its seeds."""
    return int(cnn.empty((), dtype=cnn.int64).random_(generator=generator).item())


def check_positive(name, value):
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value!r}")


def check_bool(name, value):
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
