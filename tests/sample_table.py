"""torch_samples.json: small calls and what torch makes of them, so that the walk over all functions needs no torch.

A record is {"f": name, "a": arguments, "k": keywords, "out": outputs, "grad": gradients}. The name is torch's, with the
method or function that was called; a tensor is ["T", type, shape, values, wants a gradient]. Of every output and every
gradient the table has its type, shape and one number: the sum of its elements, each with a weight of its own.
"""

import json
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("torch_samples.json")
UNDEFINED_VALUES = {"empty", "empty_like", "Tensor.new_empty", "Tensor.new"}
UP_TO_SIGN = {"linalg.eigh", "linalg.svd", "linalg.qr"}  # of the columns, which LAPACK chooses


def find(module, name):
    """The function or method of this name, in cnn or torch; None where there is none."""
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def encode(x, torch):
    """One argument as JSON has it; NotImplementedError for what cnn does not have."""
    if isinstance(x, torch.Tensor):
        if x.is_complex() or x.layout is not torch.strided or x.dtype is torch.bfloat16 or x.ndim > 64:
            raise NotImplementedError
        return ["T", _name(x.dtype), list(x.shape), x.detach().reshape(-1).tolist(), int(x.requires_grad)]
    if isinstance(x, torch.dtype):
        return ["D", _name(x)]
    if isinstance(x, torch.memory_format):
        return ["M", _name(x)]
    if isinstance(x, torch.device):
        return ["V", str(x)]
    if isinstance(x, slice):
        return ["slice", x.start, x.stop, x.step]
    if x is Ellipsis:
        return ["..."]
    if isinstance(x, (tuple, torch.Size)):
        return ["U", *[encode(v, torch) for v in x]]
    if isinstance(x, list):
        return ["L", *[encode(v, torch) for v in x]]
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    raise NotImplementedError


def _name(x):
    return str(x).removeprefix("torch.")


def decode(x, module, leaves):
    """The argument for `module`, cnn or torch; tensors that want a gradient are appended to `leaves`."""
    if not isinstance(x, list):
        return x
    kind, *rest = x
    if kind == "T":
        name, shape, values, wants = rest
        t = module.from_numpy(np.array(values, name).reshape(shape))
        if wants:
            leaves.append(t.requires_grad_(True))
        return t
    if kind == "slice":
        return slice(*rest)
    if kind == "...":
        return Ellipsis
    if kind == "V":
        return module.device(*rest)
    if kind in "DM":
        return getattr(module, rest[0])
    items = [decode(v, module, leaves) for v in rest]
    return items if kind == "L" else tuple(items)


def tensors_in(x, module):
    if isinstance(x, module.Tensor):
        return [x]
    return [t for v in x for t in tensors_in(v, module)] if isinstance(x, (list, tuple)) else []


def number(array):
    """One number for all elements: NaN and infinity count as well, and where each element stands."""
    a = np.asarray(array, np.float64).reshape(-1)
    a = np.where(np.isnan(a), 0.123, np.clip(a, -1e3, 1e3))
    return float((a * np.cos(1 + np.arange(a.size))).sum())


def call(record, module, name=None, in_place=False):
    """(outputs, leaves) of a record; a method or an in-place method of `name` in its place."""
    leaves = []
    args = decode(record["a"], module, leaves)
    kwargs = {k: decode(v, module, leaves) for k, v in record["k"].items()}
    if in_place:
        args = (args[0].clone(), *args[1:])
    module.manual_seed(3)
    result = find(module, name or record["f"])(*args, **kwargs)
    outputs = [t.abs() if record["f"] in UP_TO_SIGN else t for t in tensors_in(result, module)]
    return outputs, leaves


def summary(record, outputs, leaves, module):
    """(what the record has under "out", and under "grad")."""

    def of(t):
        t, kind = t.detach(), _name(t.dtype)
        values = None if record["f"] in UNDEFINED_VALUES else number((t.float() if kind == "bfloat16" else t).numpy())
        return [kind, list(t.shape), values]

    out = [[*of(t), int(t.requires_grad)] for t in outputs]
    wanting = [t for t in outputs if t.requires_grad]
    if wanting:
        weights = [np.cos(2 + np.arange(t.numel())).reshape(tuple(t.shape)) for t in wanting]
        weights = [module.from_numpy(w).to(t.dtype) for w, t in zip(weights, wanting, strict=True)]
        module.autograd.backward(wanting, weights)
    return out, [None if t.grad is None else of(t.grad) for t in leaves] if wanting else []


def load():
    return json.loads(TABLE.read_text())
