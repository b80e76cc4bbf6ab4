"""From a list of samples to one batch."""

import collections.abc
import copy

import numpy as np

import cnn
from cnn.tensor import Tensor


def default_collate(batch):
    """Stack a list of samples along a new first axis.

    Tensors and NumPy arrays (which keep their type) become one tensor, floats float64, integers int64, strings stay a
    list; tuples and lists are collated by position into a list, dicts by key, named tuples by field.

    Raises TypeError for any other kind, RuntimeError for samples of unequal sizes.
    Mirrors torch.utils.data.default_collate.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data):
    """NumPy arrays and scalars inside `data` become tensors, the rest stays; for a DataLoader with batch_size=None.

    Mirrors torch.utils.data.default_convert.
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return cnn.as_tensor(data) if data.dtype.kind in "biufc" else data
    if isinstance(data, collections.abc.Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [default_convert(value) for value in data])
    return data


def collate(batch, *, collate_fn_map=None):
    """As default_collate, with a function for each type of leaf: {type or types: f(batch, collate_fn_map=...)}."""
    first = batch[0]
    function = _leaf_function(first, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, collections.abc.Mapping):
        return _like(
            first, {key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in first}
        )
    if isinstance(first, collections.abc.Sequence):
        named = isinstance(first, tuple) and hasattr(first, "_fields")
        if not named and any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=False)]
        if named:
            return type(first)(*columns)
        return columns if isinstance(first, tuple) else _like(first, columns)
    raise TypeError(unknown(type(first)))


def _leaf_function(value, functions):
    """The function for exactly this type, else for the first base class listed."""
    if type(value) in functions:
        return functions[type(value)]
    return next((function for kind, function in functions.items() if isinstance(value, kind)), None)


def unknown(kind):
    """The text of the error for what cannot be collated."""
    where, hint = getattr(kind, "__module__", ""), ""
    if where == "torch":
        hint = ": cnn.from_numpy(x.numpy()) makes it one of cnn's"
    elif where.startswith("PIL."):
        hint = ": give the data set transform=ToTensor() of vision.transforms"
    elif kind is type(None):
        hint = ": does a transform or __getitem__ return nothing?"
    return f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}{hint}"


def _like(container, values):
    """`values` (a dict or a list) in a container of the same kind, with what else the original carries, if possible."""
    try:
        if isinstance(container, collections.abc.MutableMapping):
            clone = copy.copy(container)
            clone.update(values)
            return clone
        if isinstance(container, collections.abc.MutableSequence):
            clone = copy.copy(container)
            for i, value in enumerate(values):
                clone[i] = value
            return clone
        return type(container)(values)
    except TypeError:  # a range, or a container that cannot be filled like this
        return values


def collate_tensor_fn(batch, *, collate_fn_map=None):
    if any(tensor.requires_grad for tensor in batch):
        return cnn.stack(list(batch))
    return Tensor._wrap(stack_arrays([tensor._a for tensor in batch]))


def stack_arrays(arrays):
    """np.stack for many small arrays of one shape, without making a view of each."""
    first = arrays[0]
    for i, array in enumerate(arrays):
        if array.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 "
                f"and {list(array.shape)} at entry {i}"
            )
    if first.ndim == 0:
        return np.array(arrays)
    return np.concatenate(arrays).reshape(len(arrays), *first.shape)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    if batch[0].dtype.kind not in "biufc":
        raise TypeError(unknown(batch[0].dtype))
    return collate([cnn.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    return cnn.as_tensor(np.array(batch))


def collate_float_fn(batch, *, collate_fn_map=None):
    return cnn.tensor(batch, dtype=cnn.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    array = np.array(batch)
    if array.dtype in (np.int64, np.bool_):
        return Tensor._wrap(array)
    return cnn.tensor(batch)  # something else among them


def collate_str_fn(batch, *, collate_fn_map=None):
    return batch


# In this order: np.float64 is a float too, bool an int.
default_collate_fn_map = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    (str, bytes): collate_str_fn,
}
