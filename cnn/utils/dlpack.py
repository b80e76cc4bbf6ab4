"""torch.utils.dlpack: memory shared with other libraries. See https://docs.pytorch.org/docs/stable/dlpack.html."""

from cnn.ops import FUNCTIONS

__all__ = ["from_dlpack", "to_dlpack"]

from_dlpack = FUNCTIONS["from_dlpack"]


def to_dlpack(tensor):
    """A DLPack capsule of the tensor's memory."""
    return tensor.__dlpack__()
