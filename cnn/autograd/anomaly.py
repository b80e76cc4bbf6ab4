"""Where a gradient that is not a number comes from: `detect_anomaly`, `set_detect_anomaly`. See torch.autograd.

While the mode is on, every node notes where its forward was called (csrc/binding/node.c calls `Node._note_forward`),
and backward looks at what each node computes (csrc/binding/backward.c calls `Node._check_results`). While it is off,
both places cost the look at one flag.
"""

import traceback
import warnings
from pathlib import Path

import numpy as np

from cnn import _cnn

from .deferred import as_array

_FOLDERS = tuple(str(Path(__file__).parents[1] / name) for name in ("autograd", "ops"))
_state = {"enabled": False, "check_nan": True}


def is_anomaly_enabled():
    """Whether the mode is on. See torch.is_anomaly_enabled."""
    return _state["enabled"]


def is_anomaly_check_nan_enabled():
    """Whether NaN is looked for in the mode. See torch.is_anomaly_check_nan_enabled."""
    return _state["check_nan"]


def _set(enabled, check_nan):
    _state.update(enabled=bool(enabled), check_nan=bool(check_nan))
    _cnn.set_anomaly(_state["enabled"])


class set_detect_anomaly:
    """Switches the mode on or off, at once; as a context manager it is set back at the end. See
    torch.autograd.set_detect_anomaly."""

    def __init__(self, mode, check_nan=True):
        self.previous = _state["enabled"], _state["check_nan"]
        _set(mode, check_nan)

    def __enter__(self):
        pass

    def __exit__(self, *exc):
        _set(*self.previous)


class detect_anomaly:
    """Inside, backward raises RuntimeError at the first operation whose gradient is NaN (unless check_nan=False), and a
    warning shows where that operation, or any whose backward fails, was called. See torch.autograd.detect_anomaly."""

    def __init__(self, check_nan=True):
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )

    def __enter__(self):
        self.previous = _state["enabled"], _state["check_nan"]
        _set(True, self.check_nan)

    def __exit__(self, *exc):
        _set(*self.previous)
        return False


def calls():
    """The stack, outermost call first, without what is below the call of an operation."""
    frames = traceback.extract_stack()
    while frames and frames[-1].filename.startswith(_FOLDERS):
        frames.pop()
    return traceback.format_list(frames)


def explain(node):
    """The warning about a node that failed."""
    if node.forward_calls is None:
        text = (
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information."
        )
    else:
        text = f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
        text += "".join(node.forward_calls)
    warnings.warn(text, stacklevel=2)


def check(node, results):
    """The gradients that a node computed, as arrays; RuntimeError where one is NaN."""
    results = tuple(map(as_array, results))
    for i, (array, edge) in enumerate(zip(results, node.edges, strict=False) if _state["check_nan"] else ()):
        if array is not None and edge is not None and np.isnan(array).any():
            explain(node)
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
    return results
