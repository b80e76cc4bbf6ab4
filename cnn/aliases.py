"""Memory that several tensors see, or somebody outside of cnn.

*Handed out.* What `numpy()` or `data_ptr()` gave away, or `from_numpy` took, can be written to without our notice. So
what waits (nn/fusion.py) is computed before memory is handed out, and nothing waits on such memory for as long as
somebody has it: the array that goes out, and every view of it, hold on to a loan.

*Turned.* An activation may lie channels-last although its shape is (N, C, H, W), because its layer chose so
(docs/architecture.md, "Tensor"). Where somebody asks for what only row order can give, as `view(N, -1)` does, it is
laid out anew for all who see it at once: the arrays stay the same objects, and get other memory (_cnn.trade).
"""

import threading
import weakref

import numpy as np

from cnn import _cnn

# Both by the address of the array that owns the memory, for as long as it lives.
exposed = {}  # -> a weak reference to it, or to the loan: somebody outside may write there
turned = {}  # -> _Turned: who sees memory that lies channels-last, besides its owner


class _Turned:
    """The views of an array that lies channels-last: {address: (weak reference to the view, how it comes about)}."""

    def __init__(self, owner):
        key = id(owner)
        self.owner = weakref.ref(owner, lambda _: turned.pop(key, None))
        self.views = {}
        self.unknown = False  # a view of which we do not know how it comes about


class _Loan:
    """What lent arrays hold on to; `base` is the array that owns the memory."""

    __slots__ = ("__weakref__", "base")


def _note(key, holder):
    def forget(reference):
        if exposed.get(key) is reference:
            del exposed[key]

    exposed[key] = weakref.ref(holder, forget)


def expose(array):
    """Somebody outside may write to this memory for as long as it lives."""
    owner = _cnn.owner_of(array)
    _note(id(owner), owner)


def lend(array):
    """The array for somebody outside, who may write to it. What waits may read this memory, and is computed first."""
    _cnn.settle()
    owner = _cnn.owner_of(array)
    reference = exposed.get(id(owner))
    loan = None if reference is None else reference()
    if not isinstance(loan, _Loan):
        forever = loan is owner
        loan = _Loan()
        loan.base = owner
        if not forever:
            _note(id(owner), loan)
    return _cnn.lend(array, loan)


class _Scratch:
    """Stands in for ctx where a forward is run for its result only."""

    needs = (False,) * 8


def replay(array, steps):
    """What the view operations of `steps` (the field _view of a tensor) make of an array."""
    ctx = _Scratch()
    for operation, arguments, output in steps:
        array = operation.forward(ctx, array, *arguments)
        if output is not None:
            array = array[output]
    return array


def lies_turned(array):
    """Whether an array owns memory that lies channels-last."""
    return array.base is None and _cnn.lies_channels_last(array)


def remember_view(tensor):
    """Called for each view of turned memory as it is made."""
    array, owner, base = tensor._a, _cnn.owner_of(tensor._a), tensor._base._a
    if array is owner:
        return
    memory = turned.get(id(owner))
    if memory is None:
        memory = turned[id(owner)] = _Turned(owner)
    if base is owner:
        steps = tensor._view
    elif id(base) in memory.views:
        steps = memory.views[id(base)][1] + tensor._view
    else:
        memory.unknown = True
        return
    views, key = memory.views, id(array)
    views[key] = (weakref.ref(array, lambda _: views.pop(key, None)), steps)


def apparent(array):
    """What strides and offset tell the user: those in row order, where memory lies turned. The array itself otherwise,
    else one that looks so and must not be read."""
    owner = _cnn.owner_of(array)
    if not lies_turned(owner):
        return array
    _, c, h, w = owner.shape
    strides = [n * owner.itemsize for n in (c * h * w, h * w, w, 1)]
    stand_in = np.lib.stride_tricks.as_strided(np.empty(1, owner.dtype), owner.shape, strides)
    if array is owner:
        return stand_in
    memory = turned.get(id(owner))
    known = None if memory is None else memory.views.get(id(array))
    return array if known is None else replay(stand_in, known[1])


def lay_in_rows(array):
    """Turned memory that `array` sees is laid out in row order, for all who see it. False where that cannot be."""
    owner = _cnn.owner_of(array)
    if not lies_turned(owner):
        return True
    memory = turned.pop(id(owner), None)
    if memory is not None and memory.unknown:
        turned[id(owner)] = memory
        return False
    new = _cnn.copy_order(owner, False) if owner.dtype.char in "fd" else np.ascontiguousarray(owner)
    _cnn.trade(owner, new)
    if memory is not None:
        for reference, steps in tuple(memory.views.values()):
            view = reference()
            if view is not None:
                _cnn.trade(view, replay(owner, steps))
    if threading.active_count() > 1:  # a kernel of another thread may be reading what is now in `new`
        _old_memory[id(owner)] = new
        weakref.finalize(owner, _old_memory.pop, id(owner), None)
    return True


_old_memory = {}
