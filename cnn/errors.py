"""The errors that cnn raises of its own.

`ShapeError` is both a ValueError and a RuntimeError, `DTypeError` both a TypeError and a RuntimeError: torch raises
RuntimeError for wrong shapes and types, where Python users expect the other.
"""

from cnn._cnn import DTypeError, ShapeError

__all__ = ["CheckpointError", "DTypeError", "ShapeError"]


class RangeError(IndexError, RuntimeError):
    """An index that is out of range, where torch raises the one or the other, depending on the memory."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read: the message names the file, what was expected and what came."""
