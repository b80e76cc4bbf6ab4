"""How tensors print: as torch prints them (torch/_tensor_str.py's documented behaviour)."""

import math

import numpy as np

from cnn import types
from cnn.ops._quiet import quiet

_options = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """How many digits, elements and columns a printed tensor shows. See torch.set_printoptions."""
    profiles = {
        "default": (4, 1000, 3, 80),
        "short": (2, 1000, 2, 80),
        "full": (4, math.inf, 3, 80),
    }
    if profile is not None:
        _options.update(zip(("precision", "threshold", "edgeitems", "linewidth"), profiles[profile], strict=True))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({k: v for k, v in given.items() if v is not None})
    _options["sci_mode"] = sci_mode


class _Formatter:
    """One format for all shown elements: the same width, the same number of digits."""

    def __init__(self, values):
        self.floating = values.dtype.kind == "f"
        self.integers_only, self.scientific, self.width = True, False, 1
        if not self.floating:
            self.width = max([1, *[len(str(v)) for v in values.tolist()]])
            return
        finite = values[np.isfinite(values) & (values != 0)]
        if finite.size == 0:
            return
        size = np.abs(finite.astype(np.float64))
        smallest, largest = size.min(), size.max()
        self.integers_only = bool((finite == np.ceil(finite)).all())
        wide = largest / smallest > 1000.0 or largest > 1.0e8
        self.scientific = wide or (not self.integers_only and smallest < 1.0e-4)
        if _options["sci_mode"] is not None:
            self.scientific = _options["sci_mode"]
        # zeros, infinities and NaN do not count for the width
        self.width = max(len(self._plain(v)) for v in finite.tolist())

    def _plain(self, value):
        if not self.floating:
            return str(value)
        precision = _options["precision"]
        if not math.isfinite(value):
            return str(value)
        if self.scientific:
            return f"{value:.{precision}e}"
        if self.integers_only:
            return f"{value:.0f}."
        return f"{value:.{precision}f}"

    def __call__(self, value):
        return self._plain(value).rjust(self.width)


def _row(array, formatter, indent, summarize):
    per_line = max(1, (_options["linewidth"] - indent) // (formatter.width + 2))
    edge = _options["edgeitems"]
    values = array.tolist()
    if summarize and len(values) > 2 * edge:
        cells = [*map(formatter, values[:edge]), " ...", *map(formatter, values[-edge:])]
    else:
        cells = list(map(formatter, values))
    lines = [cells[i : i + per_line] for i in range(0, len(cells), per_line)] or [[]]
    return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"


def _body(array, formatter, indent, summarize):
    if array.ndim == 0:
        return formatter(array.item())
    if array.ndim == 1:
        return _row(array, formatter, indent, summarize)
    edge = _options["edgeitems"]
    if summarize and len(array) > 2 * edge:
        parts = [_body(a, formatter, indent + 1, summarize) for a in array[:edge]]
        parts.append("...")
        parts += [_body(a, formatter, indent + 1, summarize) for a in array[-edge:]]
    else:
        parts = [_body(a, formatter, indent + 1, summarize) for a in array]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"


def _shown(array):
    """The elements that a summary shows, flat."""
    edge = _options["edgeitems"]
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.take(array, [*range(edge), *range(n - edge, n)], axis=axis)
    return array.reshape(-1)


@quiet
def tensor_text(tensor, prefix="tensor("):
    """The repr of a tensor."""
    array = tensor._a
    suffixes = []
    dtype = tensor.dtype
    default = types.get_default_dtype()
    if array.size == 0:
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if dtype is not default:
            suffixes.append(f"dtype={dtype}")
        body = "[]"
    else:
        if dtype not in (default, types.int64, types.bool):
            suffixes.append(f"dtype={dtype}")
        summarize = array.size > _options["threshold"]
        formatter = _Formatter(_shown(array) if summarize else array.reshape(-1))
        body = _body(array, formatter, len(prefix), summarize)
    if tensor.grad_fn is not None:
        name = tensor.grad_fn.name()
        suffixes.append(f"grad_fn=<{name}>")
    elif tensor._requires_grad:
        suffixes.append("requires_grad=True")
    # Suffixes go on the last line where they fit, else on lines of their own.
    text = prefix + body
    last = len(text) - text.rfind("\n")  # as torch counts it
    for suffix in suffixes:
        if last + len(suffix) + 2 > _options["linewidth"]:
            text += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            last += len(suffix) + 2
    return text + ")"
