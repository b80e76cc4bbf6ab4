"""Random numbers: torch's CPU generator, draw for draw. See torch.random and torch.Generator.

With the same `manual_seed`, a script gets the numbers that PyTorch would give it on the CPU: initial weights, shuffled
batches, dropout masks. csrc/random.h says how each value comes from the stream. They do not depend on the number of
threads.

The functions `..._array` and `fill_...` below work on NumPy arrays; cnn/ops/random.py builds torch's functions on them.
"""

import contextlib
import math
import os
import threading

import numpy as np

from cnn import _cnn, types
from cnn.layout import seen_order
from cnn.tensor import Tensor

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


class Generator(_cnn.Generator):
    """A stream of random numbers of its own. See torch.Generator.

    `manual_seed(seed)` returns the generator; `initial_seed()` is the seed it was last given.
    """

    def __new__(cls, device="cpu"):
        self = super().__new__(cls)
        kind = types.device(device)
        if kind.type != "cpu":
            from cnn.ops.conversion import accept_device

            accept_device(kind)
        return self

    device = property(lambda self: types.cpu, doc="The CPU, always.")

    def seed(self):
        """Seed with a number from the operating system, and return it."""
        number = int.from_bytes(os.urandom(8), "little") & (2**53 - 1)
        self.manual_seed(number)
        return number

    def get_state(self):
        """The state, as the 5056 bytes (uint8) that torch has for it too."""
        return Tensor._wrap(self._get_state())

    def set_state(self, new_state):
        """Go on from a state that get_state returned, here or in torch."""
        if not isinstance(new_state, Tensor) or new_state._a.dtype != np.uint8:
            got = new_state.dtype if isinstance(new_state, Tensor) else type(new_state).__name__
            raise TypeError(f"expected a torch.ByteTensor (uint8), but got {got}")
        self._set_state(new_state._a)

    def clone_state(self):
        """Another generator in the same state."""
        return _from_state(type(self), self._get_state())

    def __reduce__(self):
        return _from_state, (type(self), self._get_state())


def _from_state(cls, state):
    generator = cls()
    generator._set_state(state)
    return generator


default_generator = Generator()
default_generator.seed()

_here = threading.local()


def _current():
    """What is drawn from where no generator is named: in a worker of a DataLoader its own, else the default one."""
    return getattr(_here, "generator", default_generator)


@contextlib.contextmanager
def thread_generator(seed):
    """Inside, this thread draws from a new generator in place of the default one, as torch's worker processes do."""
    _here.generator = Generator().manual_seed(seed)
    try:
        yield _here.generator
    finally:
        del _here.generator


def manual_seed(seed):
    """Seed the default generator, from which everything is drawn that names no other; returns it. The seed is an
    integer from -2**63 to 2**64 - 1. See torch.manual_seed."""
    return _current().manual_seed(int(seed))


def seed():
    """Seed the default generator with a number from the operating system; returns the number. See torch.seed."""
    return _current().seed()


def initial_seed():
    """The seed the default generator was last given. See torch.initial_seed."""
    return _current().initial_seed()


def get_rng_state():
    """The default generator's state: 5056 bytes. See torch.get_rng_state."""
    return _current().get_state()


def set_rng_state(new_state):
    """Have the default generator go on from a state. See torch.set_rng_state."""
    _current().set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
    """Inside `with fork_rng():` draw what you like; afterwards the default generator goes on as if nothing had been
    drawn. See torch.random.fork_rng."""
    if not enabled:
        yield
        return
    state = _current()._get_state()
    try:
        yield
    finally:
        _current()._set_state(state)


# ---- Filling arrays ------------------------------------------------------------------------------------------------


def _stream(generator):
    if generator is None:
        return _current()
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a Generator or None, got {type(generator).__name__}")
    return generator


def _order(array):
    """The axes of an array in the order in which torch walks through it, by address, the outermost first; and whether
    torch sees elements that do not lie one after the other."""
    order = seen_order(array)
    return (range(array.ndim), False) if order is None else (order, True)


def _fill(array, draw):
    """draw(x, scattered) with array itself, or with a buffer in C order whose values then go where torch puts them."""
    if array.flags.c_contiguous and array.dtype != np.float16:
        draw(array, False)
        return
    axes, scattered = _order(array)
    view = array.transpose(axes)
    buffer = _cnn.empty(view.shape, np.float32 if array.dtype == np.float16 else array.dtype)
    draw(buffer, scattered)
    view[...] = buffer


def fill_uniform(array, low=0.0, high=1.0, generator=None):
    """Values from [low, high) into a real array."""
    stream = _stream(generator)
    if not -1e4 <= low <= high <= 1e4:  # fits every type
        limit = float(np.finfo(array.dtype).max) if array.dtype.kind == "f" else math.inf
        if not low <= high:
            raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
        if not (-limit <= low and high <= limit and high - low <= limit):
            raise RuntimeError(f"uniform_ expects from={low}, to={high} and to-from within the range of {array.dtype}")
    _fill(array, lambda x, scattered: stream._uniform(x, low, high))


def fill_normal(array, mean=0.0, std=1.0, generator=None):
    """Normal values into a real array."""
    stream = _stream(generator)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    whole = array.size - array.size % 16
    if array.dtype == np.float16 and whole and whole < array.size:
        # torch draws these block by block, and the values past the last whole block not at all before they are redrawn
        buffer = _cnn.empty((array.size,), np.float32)
        stream._normal(buffer[:whole], mean, std, False)
        stream._normal(buffer[-16:], mean, std, False)
        array[...] = buffer.reshape(array.shape)
        return
    _fill(array, lambda x, scattered: stream._normal(x, mean, std, scattered))


def fill_integers(array, low, high, generator=None):
    """Integers from [low, high) into an array of any type."""
    stream = _stream(generator)
    low, high = _integer(low), _integer(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if array.dtype.kind == "f":
        low, high = _representable(low, high, array.dtype)
    smallest, largest = _limits(array.dtype)
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not smallest <= value <= largest:
            raise RuntimeError(
                f"{name} is out of bounds for {array.dtype}: expected {smallest} to {largest}, got {value}"
            )
    _fill(array, lambda x, scattered: stream._integers(x, low, high - low))


def fill_integers_of_type(array, generator=None):
    """Integers from 0 to the largest of the type (2**24 and 2**53 for float32 and float64) into an array."""
    stream = _stream(generator)
    if array.dtype == np.float16:
        _fill(array, lambda x, scattered: stream._integers(x, 0, 2**11 + 1))
        return
    _fill(array, lambda x, scattered: stream._integers_of_type(x))


def fill_all_integers(array, generator=None):
    """All 64 bits of each draw, as an int64, into an array of 8-byte integers or of a real type."""
    stream = _stream(generator)
    if array.dtype not in (np.int64, np.float32, np.float64):
        raise TypeError(f"random_ over the full 64-bit range needs int64, float32 or float64, got {array.dtype}")
    _fill(array, lambda x, scattered: stream._integers(x, 0, 0))


def fill_bernoulli(array, p=0.5, generator=None):
    """Ones with probability p, a number or an array that broadcasts to array's shape, into an array of any type."""
    stream = _stream(generator)
    if not isinstance(p, np.ndarray):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        _fill(array, lambda x, scattered: stream._bernoulli(x, p))
        return
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("bernoulli expects all probabilities to be in [0, 1]")
    if p.dtype == np.float16:
        p = p.astype(np.float32)
    axes, _ = _order(array)
    view, p = array.transpose(axes), np.broadcast_to(p, array.shape).transpose(axes)
    ones = _cnn.empty(view.shape, np.bool_)
    stream._bernoulli_each(ones, p)
    view[...] = ones


def fill_exponential(array, lambd=1.0, generator=None):
    """Exponential values of rate lambd into a real array."""
    stream = _stream(generator)
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    _fill(array, lambda x, scattered: stream._exponential(x, lambd))


def fill_geometric(array, p, generator=None):
    """The number of trials up to the first success of probability p, into an array of any type."""
    stream = _stream(generator)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    _fill(array, lambda x, scattered: stream._geometric(x, p))


def fill_cauchy(array, median=0.0, sigma=1.0, generator=None):
    """Cauchy values into a real array."""
    stream = _stream(generator)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    _fill(array, lambda x, scattered: stream._cauchy(x, median, sigma))


def fill_log_normal(array, mean=1.0, std=2.0, generator=None):
    """exp of normal values into a real array."""
    stream = _stream(generator)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    _fill(array, lambda x, scattered: stream._log_normal(x, mean, std))


def _integer(value):
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value.__index__()


def _limits(dtype):
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return -int(np.finfo(dtype).max), int(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _representable(low, high, dtype):
    """The range narrowed so that no value of it rounds to one outside of it."""
    digits = np.finfo(dtype).nmant + 1
    above, below = int(dtype.type(low + 1)), int(dtype.type(high - 1))
    if above < low:
        low = above + (1 << (abs(low + 1).bit_length() - digits))
    if below >= high:
        high = below - (1 << (abs(high - 1).bit_length() - digits))
    if low >= high:
        raise RuntimeError(f"random_: {dtype} has no value from {low} to {high}")
    return low, high


# ---- New arrays ----------------------------------------------------------------------------------------------------


def uniform_array(shape, low=0.0, high=1.0, dtype=np.float32, generator=None):
    """A new array of values from [low, high)."""
    array = _cnn.empty(shape, dtype)
    fill_uniform(array, low, high, generator)
    return array


def normal_array(shape, mean=0.0, std=1.0, dtype=np.float32, generator=None):
    """A new array of normal values."""
    array = _cnn.empty(shape, dtype)
    fill_normal(array, mean, std, generator)
    return array


def randint_array(shape, low, high, dtype=np.int64, generator=None):
    """A new array of integers from [low, high)."""
    array = _cnn.empty(shape, dtype)
    fill_integers(array, low, high, generator)
    return array


def bernoulli_array(shape, p=0.5, dtype=np.float32, generator=None):
    """A new array of ones with probability p, zeros elsewhere. A dropout mask of keep-probability p, if bool."""
    array = _cnn.empty(shape, dtype)
    fill_bernoulli(array, p, generator)
    return array


def exponential_array(shape, lambd=1.0, dtype=np.float32, generator=None):
    """A new array of exponential values."""
    array = _cnn.empty(shape, dtype)
    fill_exponential(array, lambd, generator)
    return array


def randperm_array(n, generator=None):
    """0 .. n - 1 in random order, int64."""
    return _stream(generator)._permutation(n)


def multinomial_array(weights, num_samples, replacement=False, generator=None):
    """Indices (int64) of num_samples categories, drawn by their weights: (n,) gives (num_samples,), (m, n) gives
    (m, num_samples)."""
    stream = _stream(generator)
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, got {weights.ndim}")
    if weights.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {weights.dtype}")
    n = weights.shape[-1]
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if n > 2**24:
        raise RuntimeError(f"number of categories cannot exceed 2^24, got {n}")
    if not replacement and num_samples > n:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if weights.dtype == np.float16:
        weights = weights.astype(np.float32)
    if not ((weights >= 0) & (weights < np.inf)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) == 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement and num_samples > 1:
        chosen = stream._choices(np.atleast_2d(weights), num_samples)
        return chosen.reshape(*weights.shape[:-1], num_samples)
    # The category whose exponential waiting time, at its rate, ends first: the largest weight / exponential.
    scores = weights / exponential_array(weights.shape, 1.0, weights.dtype, stream)
    if num_samples == 1:
        return scores.argmax(-1)[..., None]
    return np.argsort(-scores, axis=-1, kind="stable")[..., :num_samples]
