"""The functions of `cnn` and the methods of `Tensor`, a file per kind. Importing this package attaches them."""

from . import (
    arithmetic,
    comparison,
    conversion,
    creation,
    gather,
    indexing,
    items,
    joining,
    linear_algebra,
    norms,
    old_constructors,
    pointwise,
    promotion,
    random,
    reduction,
    shape,
    statistics,
)
from ._register import FUNCTIONS

__all__ = [
    "FUNCTIONS",
    "arithmetic",
    "comparison",
    "conversion",
    "creation",
    "gather",
    "indexing",
    "items",
    "joining",
    "linear_algebra",
    "norms",
    "old_constructors",
    "pointwise",
    "promotion",
    "random",
    "reduction",
    "shape",
    "statistics",
]
