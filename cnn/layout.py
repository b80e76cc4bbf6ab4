"""How results lie in memory, where torch's order can be seen: in which order random values are drawn into a tensor, and
of what `view` is possible."""

import numpy as np

from cnn import aliases


def walk_order(shape, operands):
    """The dimensions from the outermost to the innermost in which torch's elementwise loops walk: of `operands`, given
    by their strides, the first that has a preference decides."""
    order = list(range(len(shape)))[::-1]  # the innermost first

    def compare(a, b):
        for strides in operands:
            if strides[a] and strides[b]:
                if strides[a] != strides[b]:
                    return 1 if strides[a] > strides[b] else -1
                if shape[a] > shape[b]:
                    return 1
        return 0

    for i in range(1, len(order)):
        here = i
        for before in range(i - 1, -1, -1):
            result = compare(order[before], order[here])
            if result > 0:
                order[before], order[here] = order[here], order[before]
                here = before
            elif result < 0:
                break
    return order[::-1]


def seen_order(array):
    """The dimensions from the outermost to the innermost as torch would have the array lie in memory; None where that
    is row order, whatever order a layer chose here."""
    if array.flags.c_contiguous:
        return None
    seen = aliases.apparent(array)
    return None if seen.flags.c_contiguous else walk_order(seen.shape, [seen.strides])


def new_like(make, array, *options):
    """make(shape, *options), for an array that lies as torch lays out what is made like another tensor."""
    order = seen_order(array)
    if order is None:
        return make(array.shape, *options)
    made = make(tuple(array.shape[d] for d in order), *options)
    return made.transpose(sorted(range(len(order)), key=order.__getitem__))


def copied(array):
    """A copy that lies as torch would lay it out."""
    if seen_order(array) is None:
        return array.copy(order="K")
    made = new_like(np.empty, array, array.dtype)
    made[...] = array
    return made


def lay_out(array, order):
    """The array, or a copy of it whose dimensions lie in memory in this order, the outermost first."""
    back = sorted(range(len(order)), key=order.__getitem__)
    return np.ascontiguousarray(array.transpose(order)).transpose(back) if array.ndim else array


def index_order(x, y, index):
    """y = x[index] as torch lays it out: in the order of the dimensions of x that are left, arrays of indices last."""
    places = [i for i, p in enumerate(index) if isinstance(p, np.ndarray)]
    arrays = [index[i] for i in places]
    if x.flags.c_contiguous and all(a.flags.c_contiguous for a in arrays):
        return np.ascontiguousarray(y)
    common = np.broadcast_shapes(*[a.shape for a in arrays])
    left = [s for i, s in enumerate(x.strides) if i not in places]
    first = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    after = len(left) - first
    operands = [(*left[:first], *(0,) * len(common), *left[first:])]
    operands += [(*(0,) * first, *np.broadcast_to(a, common).strides, *(0,) * after) for a in arrays]
    return lay_out(y, walk_order(y.shape, operands))
