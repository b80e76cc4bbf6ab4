"""The errors that cnn raises of its own.

`ShapeError` is both a ValueError and a RuntimeError, `DTypeError` both a TypeError and a RuntimeError: torch raises
RuntimeError for wrong shapes and types, where Python users expect the other.
"""

from cnn._cnn import DTypeError, ShapeError

__all__ = ["CheckpointError", "DTypeError", "InputError", "ShapeError", "is_torchs", "kind_name", "one_line"]


class InputError(ValueError):
    """A value or a file from outside is not what it should be. The text is one line: what, expected, got."""


def one_line(problem):
    """The text of an error on one line; the name of its type where it has none."""
    return " ".join(str(problem).split()) or type(problem).__name__


def is_torchs(value):
    """Is it a tensor or Module of PyTorch itself? Ours come from modules of cnn, also under torch's names."""
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(value).__mro__)


def kind_name(value):
    """The name of a value's type, for an error that expected a Tensor; and what makes it one, where that is known."""
    kind = type(value)
    if is_torchs(value):
        makes = "cnn.from_numpy(x.detach().numpy()) makes it one of cnn's"
        hint = makes if hasattr(value, "numpy") else "it does not go together with cnn's"
        return f"PyTorch's {kind.__module__}.{kind.__qualname__}: {hint}"
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return "ndarray: cnn.from_numpy(x) makes it one"
    return kind.__name__


class RangeError(IndexError, RuntimeError):
    """An index that is out of range, where torch raises the one or the other, depending on the memory."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read: the message names the file, what was expected and what came."""
