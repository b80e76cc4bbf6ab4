"""Layers that are computed together: results that wait for the layer behind them, and gradients that wait for the
layer before. Everything here is about several layers at once; what one of them computes is in its own file.

*Forward.* Inside a Module a convolution is checked when it is called, and computed when somebody looks at its result.
If that is a ReLU, both are one pass over memory, and the values between them are never stored; if a 2x2 max-pooling
follows, it goes along (`conv2d_epilogue` in csrc/kernels/conv2d.h). A batch norm between them that only scales and
shifts, in evaluation mode, does not look either: where no gradients are recorded, the convolution takes it along, and
waits on. So does a 1x1 convolution behind a depthwise one (MobileNets: Howard et al. 2017, section 3.1). A batch norm
in training takes its statistics at once, and waits for the ReLU with the rest.

    conv2d ──> PendingConvolution ──relu──> PendingRelu ──max_pool2d──> one pass
      batch_norm, eval ──> another one, scaled             batch_norm, training ──> PendingNorm ──relu──> one pass

Nobody can tell the difference: what waits is computed before a tensor changes in place, before memory is handed out,
and at the latest when the outermost Module returns (csrc/binding/waiting.c). Outside of a Module nothing waits, nor
does anything on memory that somebody outside may write to (aliases.py).

*Backward.* A pooling layer or a convolution hands a ReLU a gradient that can pass it more cheaply than the ReLU itself
would let it (Unrectified); a ReLU hands a batch norm one that the norm's own passes mask (Rectified).
"""

from types import SimpleNamespace

from cnn import _cnn, aliases
from cnn.autograd.deferred import Gradient
from cnn.autograd.grad_mode import mode
from cnn.tensor import Tensor

POINTWISE = (1, 1, 0, 0, 0, 0, 1, 1, 1)  # the geometry of a 1x1 convolution of all pixels


# ---- What waits ------------------------------------------------------------------------------------------------------


class PendingConvolution(SimpleNamespace):
    """A convolution that is checked and not yet computed. Calling it does that.

    `arguments` are x, w, b, the geometry and the number of the algorithm, as _cnn.conv2d_forward takes them. Its input
    may wait as well: `before` is then the depthwise convolution that makes it, or the PendingRelu of one, and the array
    among the arguments is None.
    """

    scale = before = None
    ndim = 4

    def __call__(self, relu=False):
        if self.before is not None:
            has_relu = isinstance(self.before, PendingRelu)
            first = self.before.convolution if has_relu else self.before
            _, w, b, *geometry = self.arguments
            y = _cnn.conv2d_separable_forward(*first.arguments, first.scale, has_relu, w, b, self.scale, relu)
            if y is not None:
                return y
            self.arguments, self.before = (self.before(), w, b, *geometry), None
        return _cnn.conv2d_forward(*self.arguments, relu, self.scale)

    def pooled(self, keep):
        """Through a ReLU and 2x2 max-pooling: (y, argmax or None, H, W); None where there is no way to that."""
        if self.before is not None:
            return None
        result = _cnn.conv2d_pool_forward(*self.arguments, self.scale, keep)
        x, w, b, *rest = self.arguments
        if keep and result is not None and b is not None:  # backward may have to compute what was between
            self.arguments = (x, w, b.copy(), *rest)
        return result

    def is_depthwise(self):
        _, w, *_, groups, _ = self.arguments
        return w.shape[:2] == (groups, 1) and self.before is None

    def scaled(self, weight, bias, running_mean, running_var, eps):
        """This convolution and a batch_norm in evaluation mode behind it, as one; None where that cannot be."""
        if self.scale is not None:
            return None
        x, w, b, *rest = self.arguments
        folded = _cnn.batch_norm_fold(w, b, weight, bias, running_mean, running_var, eps)
        if folded is None:
            return None
        scale, shift = folded
        return PendingConvolution(arguments=(x, w, shift, *rest), scale=scale, before=self.before)


class PendingRelu(SimpleNamespace):
    """A convolution and the ReLU behind it: the array, once it is asked for, or its 2x2 max-pooling right away."""

    array = None
    ndim = 4

    def __call__(self):
        if self.array is None:
            self.array = self.convolution(relu=True)
        return self.array

    def pooled(self, keep):
        """As PendingConvolution.pooled, without the array before; None where that is there already."""
        return self.convolution.pooled(keep) if self.array is None else None


class PendingNorm(SimpleNamespace):
    """A batch norm in training, of `ndim` dimensions, whose statistics are taken: `arguments` of batch_norm_forward."""

    def __call__(self, relu=False):
        return _cnn.batch_norm_forward(*self.arguments, relu)[0]


# ---- What the layers ask ---------------------------------------------------------------------------------------------


def convolution(operation, x, w, b, geometry, algorithm):
    """A convolution as a Tensor that waits; None where it has to be computed now."""
    if not _cnn.may_wait():
        return None
    arrays = (x._a, w._a, None if b is None else b._a)
    how = (*geometry, algorithm)
    _cnn.conv2d_check(*arrays, *how)
    arguments = arrays
    outside = _cnn.owners_in(aliases.exposed, *arrays)
    if outside:  # somebody may change them before the result is looked at
        if outside != 1 or 4 * x._a.shape[1] > w._a.shape[0]:
            return None
        arguments = (x._a.copy(order="K"), *arrays[1:])  # an image: less than a pass over the result
    pending = PendingConvolution(arguments=(*arguments, *how))
    return _cnn.wait(pending, operation, (x, w, b, geometry), {"geometry": geometry, "saved": arrays[:2]})


def pointwise(input, weight, bias, algorithm):
    """A 1x1 convolution of what a depthwise one, still waiting, will compute: both are one pass, and what is between
    them is not stored. None where that is not what is asked for, or where somebody may want gradients."""
    before = getattr(input, "_pending", None)
    first = before.convolution if isinstance(before, PendingRelu) and before.array is None else before
    if not _cnn.may_wait() or not isinstance(first, PendingConvolution) or not first.is_depthwise():
        return None
    if not all(isinstance(t, Tensor) for t in (weight, bias) if t is not None):
        return None
    if mode.enabled and any(t is not None and t._requires_grad for t in (input, weight, bias)):
        return None
    w, b = weight._a, None if bias is None else bias._a
    channels = first.arguments[1]
    if w.ndim != 4 or w.shape[1:] != (channels.shape[0], 1, 1) or w.dtype != channels.dtype:
        return None
    if b is not None and (b.shape != w.shape[:1] or b.dtype != w.dtype) or _cnn.owners_in(aliases.exposed, w, b):
        return None
    return _cnn.wait(PendingConvolution(arguments=(None, w, b, *POINTWISE, algorithm), before=before))


def scaled(tensors, eps):
    """batch_norm in evaluation mode of (x, weight, bias, running mean, running variance), where x is a convolution that
    still waits, as another one that waits; None if x is something else, or if somebody may want gradients of the values
    in between."""
    input, *parameters = tensors
    pending = getattr(input, "_pending", None)
    if not isinstance(pending, PendingConvolution) or not _cnn.may_wait() or (mode.enabled and input._requires_grad):
        return None
    arrays = []
    for t in parameters:
        if t is not None and (not isinstance(t, Tensor) or (mode.enabled and t._requires_grad)):
            return None
        arrays.append(None if t is None else t._a)
    folded = pending.scaled(*arrays, eps)
    return None if folded is None else _cnn.wait(folded)


def norm(operation, tensors, momentum, eps):
    """batch_norm in training of (x, weight, bias, running mean, running variance), with its statistics taken and the
    rest waiting for a ReLU; None where all of it has to be computed now."""
    x, weight, bias, running_mean, running_var = tensors
    x, weight, bias = x._a, None if weight is None else weight._a, None if bias is None else bias._a
    if not _cnn.may_wait() or _cnn.owners_in(aliases.exposed, x, weight, bias):
        return None
    running_mean, running_var = (
        None if running_mean is None else running_mean._a,
        None if running_var is None else running_var._a,
    )
    mean, var, invstd = _cnn.batch_norm_statistics(x, weight, bias, running_mean, running_var, momentum, eps)
    pending = PendingNorm(arguments=(x, weight, bias, mean, var, False, momentum, eps), ndim=x.ndim)
    attributes = {"saved": (x, weight, mean, invstd), "training": True}
    return _cnn.wait(pending, operation, (*tensors, True, momentum, eps), attributes)


def rectified(operation, x):
    """A ReLU behind x, which still waits: behind a convolution it waits on, behind a norm both are computed now, in
    one pass. None behind another ReLU."""
    pending = x._pending
    if isinstance(pending, PendingRelu):
        return None
    if isinstance(pending, PendingConvolution):
        source = PendingRelu(convolution=pending)
        y = _cnn.wait(source, operation, (x,), {"saved": (source,)})
        if y._node is not None:
            box = y._version_box()
            y._node._versions = ((box, box[0]),)
        return y
    y = Tensor._wrap(pending(relu=True))
    if mode.enabled and x._requires_grad:
        node = operation()
        node.needs, node.saved = (True,), (y._a,)
        node.record((x,), (y,))
    return y


def pooled(operation, x, *arguments):
    """max_pool2d in windows of 2x2 of a convolution and a ReLU that still wait: all three in one pass. None where there
    is something else, or no way to that."""
    pending = x._pending
    if not isinstance(pending, PendingRelu):
        return None
    keep = mode.enabled and x._requires_grad
    result = pending.pooled(keep)
    if result is None:
        return None
    y, argmax, height, width = result
    y = Tensor._wrap(y)
    if keep:
        node = operation()
        node.needs, node.saved, node.window = (True, *[False] * len(arguments)), (argmax,), arguments[0]
        node.input = (height, width, _cnn.lies_channels_last(argmax))
        node.record((x, *arguments), (y,))
    return y


def relu_in_place(pending):
    """The array of what waits, for a ReLU in place: it has passed the ReLU already. None where it cannot."""
    return None if pending is None or isinstance(pending, PendingRelu) else pending(relu=True)


# ---- Gradients that wait ---------------------------------------------------------------------------------------------


class Snapshot(SimpleNamespace):
    """`saved`, the array of a tensor that backward can do without, if the tensor should change before: `box` has its
    version now, `version` is that from then."""

    def array(self):
        """The array as it was, or None."""
        return self.saved if self.box[0] == self.version else None


class Unrectified(Gradient):
    """A gradient for what a ReLU made, from a layer that can pass it through the ReLU at less than the ReLU's cost."""

    def rectified(self, y):
        """What `array()` becomes behind the ReLU whose output is y; None where this layer cannot tell."""
        raise NotImplementedError


class Rectified(SimpleNamespace, Gradient):
    """A gradient for what went into a ReLU: dy where its output y is above 0."""

    def array(self):
        return _cnn.relu_backward(self.dy, self.y)


class ConvolutionGradient(SimpleNamespace, Unrectified):
    """dx of a convolution. Where x came out of a ReLU, the kernel can pass dx through it while it is in the cache."""

    def _compute(self, rectified):
        return _cnn.conv2d_backward(self.dy, self.x, self.w, *self.how, True, False, False, rectified)[0]

    def array(self):
        return self._compute(False)

    def rectified(self, y):
        return self._compute(True) if y is self.x else None


class PooledGradient(SimpleNamespace, Unrectified):
    """dy of a max-pooling, before it goes back to where each maximum was. A maximum that no ReLU let through is 0, so
    passing the ReLU can come first, where there is less of it. `pooled` is the Snapshot of the pooling's output."""

    def array(self):
        return _cnn.max_pool2d_backward(self.dy, self.argmax, *self.sizes)

    def rectified(self, y):
        pooled = self.pooled.array()
        if pooled is None:
            return None
        return _cnn.max_pool2d_backward(_cnn.relu_backward(self.dy, pooled), self.argmax, *self.sizes)
