"""Tensors of random numbers, and tensors filled with them. What is drawn is torch's, bit for bit: cnn/random.py."""

import numpy as np

from cnn import _cnn, random, types
from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.layout import new_like
from cnn.tensor import Tensor

from ._register import both, function, method
from .broadcasting import broadcast_shape
from .creation import _checked_size, _finish, _numpy_type
from .promotion import refuse_types

# ---- New tensors ---------------------------------------------------------------------------------------------------


def _of_size(make, name, doc):
    def f(*size, generator=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
        array = make(_checked_size(name, size), dtype=_numpy_type(dtype), generator=generator)
        return _finish(array, dtype, device, requires_grad, layout)

    f.__name__, f.__doc__ = name, f"{doc} See torch.{name}."
    return function(f)


def _like(fill, name, doc):
    def f(input, *, generator=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
          memory_format=None):  # fmt: skip
        array = new_like(_cnn.empty, input._a, _numpy_type(dtype, input.dtype))
        fill(array, generator=generator)
        return _finish(array, dtype or input.dtype, device, requires_grad, layout, memory_format)

    f.__name__, f.__doc__ = name, f"{doc} See torch.{name}."
    return function(f)


rand = _of_size(random.uniform_array, "rand", "A tensor of values from [0, 1).")
randn = _of_size(random.normal_array, "randn", "A tensor of standard normal values.")
rand_like = _like(random.fill_uniform, "rand_like", "`rand` in the shape and type of input.")
randn_like = _like(random.fill_normal, "randn_like", "`randn` in the shape and type of input.")


def _bounds(name, args, low, high, rest):
    """(high,), (low, high), each with what follows it in the call, and the same by keyword."""
    args = list(args)
    numbers = []
    while args and len(numbers) < 2 and not isinstance(args[0], (tuple, list)):
        numbers.append(args.pop(0))
    if len(numbers) == 2:
        low, high = numbers
    elif numbers and high is None:
        (high,) = numbers
    elif numbers:
        (low,) = numbers
    if args:
        rest = args.pop(0)
    if args or high is None:
        raise TypeError(f"{name}() takes (high, size) or (low, high, size)")
    return 0 if low is None else low, high, rest


@function
def randint(*args, low=None, high=None, size=None, generator=None, dtype=None, layout=None, device=None,
            requires_grad=False, pin_memory=False):  # fmt: skip
    """randint(high, size), randint(low, high, size): a tensor of integers from [low, high). See torch.randint."""
    low, high, size = _bounds("randint", args, low, high, size)
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): size must be a tuple of integers, got {size!r}")
    kind = _numpy_type(dtype, types.int64)
    array = random.randint_array(_checked_size("randint", (tuple(size),)), low, high, kind, generator)
    return _finish(array, dtype, device, requires_grad, layout)


@function
def randint_like(input, *args, low=None, high=None, generator=None, dtype=None, layout=None, device=None,
                 pin_memory=False, requires_grad=False, memory_format=None):  # fmt: skip
    """randint_like(input, high), randint_like(input, low, high): integers from [low, high) in the shape and type of
    input. See torch.randint_like."""
    low, high, _ = _bounds("randint_like", args, low, high, None)
    array = new_like(_cnn.empty, input._a, _numpy_type(dtype, input.dtype))
    random.fill_integers(array, low, high, generator)
    return _finish(array, dtype, device, requires_grad, layout, memory_format)


@function
def randperm(n, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """The integers 0 .. n - 1 in random order. See torch.randperm."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    kind = _numpy_type(dtype, types.int64)
    if kind.kind in "iub" and n - 1 > random._limits(kind)[1]:
        raise RuntimeError(f"n is too large for result tensor type: {n} values in {kind}")
    refuse_types("randperm", kind)
    array = random.randperm_array(n, generator).astype(kind, copy=False)
    return _finish(array, dtype, device, requires_grad, layout)


class Drawn(Operation):
    """What was drawn with these parameters: as torch has it, their gradients are zero."""

    @staticmethod
    def forward(ctx, drawn, *parameters):
        ctx.shapes = [np.shape(p) for p in parameters]
        return drawn

    @staticmethod
    def backward(ctx, dy):
        return None, *[np.zeros(shape, dy.dtype) for shape in ctx.shapes]


@function
def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, layout=None, device=None,
           requires_grad=False, pin_memory=False):  # fmt: skip
    """Normal values: of one mean and std in a given size, or with a tensor for mean, std or both. See torch.normal."""
    if size is not None:
        size = _checked_size("normal", (tuple(size),))
        array = random.normal_array(size, mean, std, _numpy_type(dtype), generator)
        return _finish(array, dtype, device, requires_grad, layout)
    m, s = (x._a if isinstance(x, Tensor) else x for x in (mean, std))
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        raise TypeError("normal() needs a size, or a tensor for mean or std")
    if isinstance(std, Tensor) and not (s >= 0).all():
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shape = broadcast_shape("normal", np.shape(m), np.shape(s))
    kind = (m if isinstance(mean, Tensor) else s).dtype
    # As torch: a tensor of means is added afterwards, and a tensor of deviations is multiplied in before it.
    array = random.normal_array(shape, 0.0, 1.0 if isinstance(std, Tensor) else s, kind, generator)
    if isinstance(std, Tensor):
        array *= s
    array += np.asarray(m, kind)
    return Drawn.apply(_finish(array, None, device, requires_grad, layout)._a, mean, std)


@both
def bernoulli(input, p=None, *, generator=None):
    """Ones with the probabilities in input, zeros elsewhere, in input's type; with p, ones with probability p in
    input's shape. See torch.bernoulli."""
    array = np.empty(input._a.shape, input._a.dtype)
    random.fill_bernoulli(array, input._a if p is None else p, generator)
    return Drawn.apply(array, input)


@both
def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Indices of categories drawn by their weights in input: (n,) or (m, n) gives (num_samples,) or (m, num_samples).
    See torch.multinomial."""
    return Tensor._wrap(random.multinomial_array(input._a, num_samples, replacement, generator))


# ---- In place ------------------------------------------------------------------------------------------------------


class RandomFill(Operation):
    """The tensor's values become random ones: no gradient goes back."""

    @staticmethod
    def forward(ctx, x, title, fill, arguments, generator):  # called where x cannot be written to
        raise RuntimeError(
            "random fill: the memory of this tensor is read-only, or several of its elements share one place in it "
            "(expand). Fill a clone() of it."
        )

    @staticmethod
    def forward_(ctx, x, title, fill, arguments, generator):
        ctx.title = title
        fill(x, *arguments, generator)
        return x

    @staticmethod
    def backward(ctx, dy):
        return np.zeros_like(dy), None, None, None, None

    def name(self):
        return f"{self.title}Backward0"


def _number(x):
    return x.item() if isinstance(x, Tensor) else x


def _between(name, args, keywords, defaults):
    """The arguments `from` and `to`, of which the first is a word of Python and can only be a key."""
    values = dict(zip(("from", "to"), defaults, strict=True))
    if len(args) > 2:
        raise TypeError(f"{name}() takes at most 2 positional arguments, got {len(args)}")
    values.update(zip(values, args, strict=False))
    for key, value in keywords.items():
        if key not in values:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        values[key] = value
    for key, value in values.items():
        if isinstance(value, (str, bytes, list, tuple)):
            raise TypeError(f"{name}(): argument '{key}' must be Number, not {type(value).__name__}")
    return _number(values["from"]), _number(values["to"])


@method()
def uniform_(self, *args, generator=None, **keywords):
    """uniform_(from=0, to=1): values from [from, to). See torch.Tensor.uniform_."""
    bounds = _between("uniform_", args, keywords, (0.0, 1.0))
    return RandomFill.apply_(self, "Uniform", random.fill_uniform, bounds, generator)


@method()
def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Normal values. See torch.Tensor.normal_."""
    return RandomFill.apply_(self, "Normal", random.fill_normal, (_number(mean), _number(std)), generator)


@method()
def random_(self, *args, generator=None, **keywords):
    """random_(): integers from 0 to the type's largest (2**24, 2**53 for real types); random_(to): from [0, to);
    random_(from, to): from [from, to). See torch.Tensor.random_."""
    if len(args) == 1 and not keywords:
        args = (0, *args)
    low, high = _between("random_", args, keywords, (None, None))
    if low is None and high is None:
        return RandomFill.apply_(self, "Random", random.fill_integers_of_type, (), generator)
    if high is None:
        if low == -(2**63):
            return RandomFill.apply_(self, "Random", random.fill_all_integers, (), generator)
        kind = self._a.dtype
        high = 1 + (2 ** (np.finfo(kind).nmant + 1) if kind.kind == "f" else random._limits(kind)[1])
    return RandomFill.apply_(self, "Random", random.fill_integers, (low or 0, high), generator)


@method()
def bernoulli_(self, p=0.5, *, generator=None):
    """Ones with probability p (a number, or a tensor that broadcasts to this shape). See torch.Tensor.bernoulli_."""
    if isinstance(p, Tensor):
        if broadcast_shape("bernoulli_", self._a.shape, p._a.shape) != self._a.shape:
            raise ShapeError(f"bernoulli_: p of shape {list(p._a.shape)} does not fit {list(self._a.shape)}")
        p = p._a
    return RandomFill.apply_(self, "Bernoulli", random.fill_bernoulli, (p,), generator)


@method()
def exponential_(self, lambd=1.0, *, generator=None):
    """Exponential values of rate lambd. See torch.Tensor.exponential_."""
    return RandomFill.apply_(self, "Exponential", random.fill_exponential, (_number(lambd),), generator)


@method()
def geometric_(self, p, *, generator=None):
    """Numbers of trials up to the first success. See torch.Tensor.geometric_."""
    return RandomFill.apply_(self, "Geometric", random.fill_geometric, (_number(p),), generator)


@method()
def cauchy_(self, median=0.0, sigma=1.0, *, generator=None):
    """Cauchy values. See torch.Tensor.cauchy_."""
    return RandomFill.apply_(self, "Cauchy", random.fill_cauchy, (_number(median), _number(sigma)), generator)


@method()
def log_normal_(self, mean=1.0, std=2.0, *, generator=None):
    """exp of normal values. See torch.Tensor.log_normal_."""
    return RandomFill.apply_(self, "LogNormal", random.fill_log_normal, (_number(mean), _number(std)), generator)
