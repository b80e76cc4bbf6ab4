"""Gradients on their way through the graph that are not computed yet, for the node or the leaf that they go to.

Results that wait, on the way forward, are in csrc/binding/waiting.c and cnn/nn/fusion.py.
"""

from cnn import _cnn
from cnn.tensor import Tensor


class Gradient:
    """A gradient on its way through the graph, not computed yet.

    A node whose class names this one in `takes` receives it as it is and may have it in another form. Everyone else,
    hooks and sums included, gets `array()`.
    """

    def array(self):
        raise NotImplementedError


def as_array(gradient):
    """A gradient, or None, of which nothing waits any more."""
    return gradient.array() if isinstance(gradient, Gradient) else gradient


class LeafGradient(Gradient):
    """A gradient that ends in `.grad` of a leaf, and waits there for whoever looks at it."""

    def fits(self, leaf):
        """Whether it is one for the array of this leaf, in shape and type."""
        raise NotImplementedError

    def tensor(self):
        """A Tensor whose array is `array()`, called when it is first needed."""
        tensor = _cnn.Tensor.__new__(Tensor)
        tensor._gradient = self
        return tensor


class OuterProducts(LeafGradient):
    """The gradient of a linear layer's weight, dw = dy' x, for so few samples that an optimiser forms it as it goes
    (csrc/kernels/gradient.h). dy and x are copied: what they lie in may be changed before somebody looks.
    """

    MOST_ROWS = 32
    SMALLEST_WEIGHT = 1 << 18

    def __init__(self, dy, x):
        self.dy, self.x = dy.copy(), x.copy()

    def fits(self, leaf):
        return leaf.shape == (self.dy.shape[1], self.x.shape[1]) and leaf.dtype == self.x.dtype

    def array(self):
        return _cnn.linear_backward(self.dy, self.x, None, False, True, False)[1]
