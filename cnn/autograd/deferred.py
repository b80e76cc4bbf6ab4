"""Results that wait for whoever looks at them first.

A convolution inside a network is not computed when it is called but when its result is looked at. If that is the ReLU
behind it, both are computed in one pass over memory (`s->relu` in csrc/kernels/conv2d.h), and the values before the
ReLU are never stored. If a 2x2 max-pooling follows, it goes along as well (`s->pool`). A batch_norm between the two
that is a mere multiplication and addition, in evaluation mode, does not look either: where no gradients are recorded,
the convolution takes it along (`s->scale`), and waits on. So does a 1x1 convolution behind a depthwise one
(`s->before`).

Nobody can tell the difference: everything is checked when it is called, and what still waits is computed before a
tensor is changed in place, and at the latest when the outermost Module returns. Outside of a Module with children
nothing waits at all.

On the way back a gradient may wait as well, for the node that it goes to: see Gradient.
"""

import threading
import weakref

from cnn import _cnn
from cnn.tensor import Tensor


class _State(threading.local):
    depth = 0  # calls of Modules with children that are under way in this thread
    waiting = ()  # weak references to the tensors that may still wait


state = _State()


def enter():
    """A Module with children is called."""
    if state.depth == 0:
        state.waiting = []
    state.depth += 1


def leave(depth):
    """It returns. `depth` is that from before the call: an interrupt may have come before or after it changed."""
    state.depth = depth
    if depth == 0:
        settle()
        state.waiting = ()


def forget():
    """On the way out, when there is no time or memory for what waits: it is computed if somebody looks at it."""
    if state.depth:
        state.waiting = []


def settle():
    """Compute what still waits and can still be looked at."""
    references = state.waiting
    state.waiting = [] if state.depth else ()
    for reference in references:
        tensor = reference()
        if tensor is not None:
            tensor._a  # noqa: B018  (looking at it computes it)


def wait(compute):
    """A Tensor whose array is `compute()`, called when it is first needed."""
    tensor = _cnn.Tensor.__new__(Tensor)
    tensor._pending = compute
    state.waiting.append(weakref.ref(tensor))
    return tensor


class Snapshot:
    """The array of a tensor that backward can do without, if the tensor should change before."""

    def __init__(self, tensor):
        self._array, self._box = tensor._a, tensor._version_box()
        self._version = self._box[0]

    def array(self):
        """The array as it was, or None."""
        return self._array if self._box[0] == self._version else None


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


class Unrectified(Gradient):
    """A gradient for what a ReLU made, from a layer that can pass it through the ReLU at less than the ReLU's cost."""

    def rectified(self, y):
        """What `array()` becomes behind the ReLU whose output is y; None where this layer cannot tell."""
        raise NotImplementedError


class Rectified(Gradient):
    """A gradient for what went into a ReLU: dy where its output y is above 0."""

    def __init__(self, dy, y):
        self.dy, self.y = dy, y

    def array(self):
        return _cnn.relu_backward(self.dy, self.y)


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
