"""Broadcasting: the shape that operands have in common, and the way of a gradient back to the shape of one of them."""

import numpy as np

from cnn.errors import ShapeError


def check_broadcast(name, a, b):
    """ShapeError, in torch's words, for two shapes that have none in common."""
    for i in range(1, min(len(a), len(b)) + 1):
        m, n = a[-i], b[-i]
        if m != n and m != 1 and n != 1:
            raise ShapeError(
                f"{name}(): The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton "
                f"dimension {max(len(a), len(b)) - i}: shapes {list(a)} and {list(b)}"
            )


def broadcast_shape(name, first, *others):
    """The common shape of all, or a ShapeError."""
    common = first
    for shape in others:
        if shape != common:
            check_broadcast(name, common, shape)
            common = np.broadcast_shapes(common, shape)
    return common


def sum_to_shape(gradient, shape):
    """The gradient of broadcasting: sum over the dimensions that were stretched."""
    if gradient.shape == shape:
        return gradient
    lead = gradient.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and gradient.shape[i + lead] != 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape) if axes else gradient.reshape(shape)
