"""Writes tests/torch_samples.json from torch's own samples (op_db) and the calls of EXTRA.

    python tests/learn_samples.py

For every operator that is here: its smallest samples of each kind (which arguments, which of them want a gradient) in
float64, and one in int64, uint8 and bool, with values that are short to write.
"""

import itertools
import json
import warnings

import numpy as np
import opinfo
import torch
from sample_extra import EXTRA
from sample_table import TABLE, call, decode, encode, find, summary

import cnn

KINDS = {"float64": 3, "int64": 1, "uint8": 1, "bool": 1}


def short(x):
    """Values that take few digits."""
    if isinstance(x, torch.Tensor) and x.shape == (20, 20):
        return short(x.detach()[:3, :4].clone().requires_grad_(x.requires_grad))
    if isinstance(x, torch.Tensor) and x.is_floating_point():
        return (x.detach() * 64).round().div(64).requires_grad_(x.requires_grad)
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(map(short, x))
    return x


def size(x):
    if isinstance(x, torch.Tensor):
        return x.numel() + 1
    return sum(map(size, x)) if isinstance(x, (list, tuple)) else 0


def kind(encoded):
    """What makes one call different from another: types of arguments, not values."""
    if isinstance(encoded, list):
        return (encoded[0], encoded[-1], len(encoded[2]) > 0) if encoded[0] == "T" else tuple(map(kind, encoded))
    return type(encoded).__name__


def in_order(op, sample):
    """The arguments as the function takes them; op_db turns some round."""
    first, args = sample.input, sample.args
    if op.name == "where":
        return args[0], first, *args[1:]
    if op.name == "einsum":
        return args[0], *first
    return first, *args


def records(op):
    name = op.name if find(torch, op.name) and find(cnn, op.name) else f"Tensor.{op.name}"
    if find(torch, name) is None or find(cnn, name) is None:
        return
    for dtype, count in KINDS.items():
        real = getattr(torch, dtype)
        if real not in op.supported_dtypes("cpu"):
            continue
        found = {}
        torch.manual_seed(0)
        wants = opinfo._differentiable(op, real)
        for sample in itertools.islice(op.sample_inputs("cpu", real, requires_grad=wants), 200):
            args, kwargs = in_order(op, sample), sample.kwargs
            if name.removeprefix("linalg.") in ("svd", "eigh", "qr") and args[0].shape[-1] != args[0].shape[-2]:
                continue
            elements = size(short(tuple(args))) + size(short(tuple(kwargs.values())))
            for simplify in (short, lambda x: x):
                try:
                    record = {
                        "f": name,
                        "a": encode(simplify(tuple(args)), torch),
                        "k": {k: encode(simplify(v), torch) for k, v in kwargs.items()},
                    }
                    outputs, leaves = call(record, torch)
                    if any(t.is_complex() for t in outputs):
                        break
                    record["out"], record["grad"] = summary(record, outputs, leaves, torch)
                except Exception:
                    continue
                sort = (str(kind(record["a"])), str(sorted(record["k"])))
                full = elements > len(leaves) + 1  # rather with elements than without
                best = found.get(sort)
                if elements <= 400 and (best is None or (full, -elements) > best[0]):
                    found[sort] = (full, -elements), record
                break
        yield from [r for _, r in sorted(found.values(), key=lambda f: f[0], reverse=True)[:count]]


def extras():
    for name, text in EXTRA.items():
        for one in text if isinstance(text, list) else [text]:
            args, kwargs = eval(f"(lambda *a, **k: (a, k))({one})", {"T": _tensor, "m": torch, "f64": torch.float64})
            record = {"f": name, "a": encode(args, torch), "k": {k: encode(v, torch) for k, v in kwargs.items()}}
            outputs, leaves = call(record, torch, in_place=name.endswith("_"))
            record["out"], record["grad"] = summary(record, outputs, leaves, torch)
            yield record


def _tensor(values, wants=True):
    a = np.asarray(values)
    return torch.from_numpy(a.copy()).requires_grad_(wants and a.dtype.kind == "f")


def main():
    warnings.simplefilter("ignore")
    opinfo.database()
    table = []
    for op in opinfo.database():
        if opinfo.exists(op):
            table += records(op)
    table += extras()
    for record in table:
        decode(record["a"], cnn, [])
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in table)
    TABLE.write_text(f"[\n{lines}\n]\n")
    print(f"{len(table)} records of {len({r['f'] for r in table})} functions, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
