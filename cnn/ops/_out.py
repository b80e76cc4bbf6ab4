"""out=: what a function computed goes into a tensor that is there already. One way for all functions that take it."""

import warnings

import numpy as np

from cnn.autograd.grad_mode import mode, no_grad
from cnn.errors import kind_name
from cnn.tensor import Tensor

from .promotion import refuse_cast


def into(function, out, args, kwargs):
    """The call function(*args, **kwargs), its result in `out` (its results, in a tuple of them). Returns out."""
    name = function.__name__
    outs = (out,) if isinstance(out, Tensor) else out
    if not isinstance(outs, (tuple, list)) or not all(isinstance(o, Tensor) for o in outs):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {kind_name(out)}")
    given = [*outs, *_tensors(args), *_tensors(kwargs.values())]
    if mode.enabled and any(t._requires_grad for t in given):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )
    if name in _IN_ITS_TYPE:
        _agree_on_type(name, outs, kwargs)
    for o in outs:
        _refuse_overlap(name, o, given[len(outs) :])
    with no_grad():
        result = function(*args, **kwargs)
        results = (result,) if isinstance(result, Tensor) else result
        if len(results) != len(outs):
            raise TypeError(f"{name}(): argument 'out' must be {len(results)} Tensors, not {len(outs)}")
        for o, r in zip(outs, results, strict=True):
            _fill(name, o, r)
    if isinstance(out, Tensor):
        return out
    return type(result)(*outs) if hasattr(result, "_fields") else tuple(outs)


# They read elements in another order than they write them: torch refuses the memory of an argument as out.
_NEVER_ITS_ARGUMENT = frozenset(
    """
    cat concat concatenate gather hstack index_select kthvalue masked_select scatter stack take take_along_dim vstack
    """.split()
)


def _refuse_overlap(name, out, arguments):
    """torch's error for an out in the memory of an argument, unless it is that argument as a whole."""
    for t in arguments:
        if t is out and name in _NEVER_ITS_ARGUMENT:
            raise RuntimeError(_overlaps(name))
        if not np.may_share_memory(out._a, t._a) or not out._a.size or not t._a.size:
            continue
        same = t._a.ctypes.data == out._a.ctypes.data and t._a.strides == out._a.strides and t._a.shape == out._a.shape
        if (name in _NEVER_ITS_ARGUMENT or not same) and np.shares_memory(out._a, t._a):
            raise RuntimeError(_overlaps(name))


def _overlaps(name):
    return (
        f"{name}(): unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
        "single memory location. Please clone() the tensor before performing the operation."
    )


def _tensors(values):
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


# They compute in out's type from the start.
_IN_ITS_TYPE = frozenset(
    """
    arange cumprod cumsum empty eye full linspace logspace mean nanmean nansum normal ones prod rand randint randn
    randperm range sum zeros
    """.split()
)


def _agree_on_type(name, outs, kwargs):
    """What is computed has out's type, unless a type is asked for."""
    wanted = kwargs.get("dtype")
    if wanted is None:
        kwargs["dtype"] = outs[0].dtype
    elif wanted != outs[0].dtype:
        raise RuntimeError(f"{name}(): dtype {wanted} does not match dtype of out tensor ({outs[0].dtype})")


# Where torch casts the result to out's type if its category allows that; the others want exactly the result's type.
_CASTS = frozenset(
    """
    acos add addcdiv addcmul arccos arcsin arctan arctan2 asin atan atan2 bitwise_and bitwise_left_shift
    bitwise_or bitwise_right_shift bitwise_xor cat concat concatenate cos cosh div divide eq exp exp2 expm1 floor_divide
    fmod ge greater greater_equal gt hstack le lerp less less_equal log log10 log1p log2 logical_and logical_not
    logical_or logical_xor logsumexp lt maximum minimum mul multiply ne not_equal outer pow reciprocal remainder rsqrt
    sigmoid sin sinh sqrt square stack std sub subtract tan tanh true_divide var vstack
    """.split()
)


def _fill(name, out, result):
    """Copies the result into out, which is resized where it has another shape. The errors are torch's."""
    kind, wanted = result.dtype, out.dtype
    if kind is not wanted:
        if name in _CASTS:
            refuse_cast(result._a.dtype, out._a.dtype)
        elif name != "bernoulli" and not (name in ("all", "any") and wanted.name == "uint8"):
            raise RuntimeError(f"{name}(): Expected out tensor to have dtype {kind}, but got {wanted} instead")
    if out._a.shape != result._a.shape:
        if out._a.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(out._a.shape)}, which does "
                f"not match the required output shape {list(result._a.shape)}. This behavior is deprecated, and in a "
                "future PyTorch release outputs will not be resized unless they have zero elements. You can explicitly "
                "reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                UserWarning,
                stacklevel=4,
            )
        out._a = np.empty(result._a.shape, out._a.dtype)
    out.copy_(result)
