"""Files: torch's own format for tensors and checkpoints, written atomically, read without running what is in them."""

from .reader import RefusedCheckpointError, load
from .safetensors_file import load_file, save_file
from .writer import save

__all__ = ["RefusedCheckpointError", "load", "load_file", "save", "save_file"]
