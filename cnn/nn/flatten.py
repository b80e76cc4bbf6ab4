"""Flatten and Unflatten. See https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html."""

import math

from cnn import _cnn
from cnn.ops._register import both
from cnn.ops.shape import View, reshape_to

from .module import Module

__all__ = ["Flatten", "Unflatten"]


@both
def flatten(input, start_dim=0, end_dim=-1):
    """Join the dimensions from start_dim to end_dim into one. See torch.flatten."""
    array = input._a
    shape = array.shape
    start, end = _cnn.wrap_dim(start_dim, len(shape)), _cnn.wrap_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end and shape:
        return input
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return View.apply(input, joined) if _cnn.lies(array) == 0 else reshape_to(input, joined)


class Flatten(Module):
    """(N, *) to (N, product): the dimensions from `start_dim` to `end_dim` become one."""

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input):
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """(N, product, *) to (N, *unflattened_size, *): the dimension `dim` becomes several; one of the sizes may be -1."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an int, got {type(dim).__name__}: cnn has no named dimensions")
        if not isinstance(unflattened_size, (tuple, list)) or not all(isinstance(n, int) for n in unflattened_size):
            raise TypeError(f"unflattened_size must be a tuple of ints, but found {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input):
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
