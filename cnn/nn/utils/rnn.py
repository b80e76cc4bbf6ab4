"""torch.nn.utils.rnn: sequences of different lengths in one tensor. Packed sequences, which only recurrent layers take,
are not provided. See https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html.
"""

from cnn.ops import FUNCTIONS
from cnn.tensor import Tensor

__all__ = ["pad_sequence", "unpad_sequence"]


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Tensors (L_i, *) as one, (L, N, *) with the longest L, or (N, L, *) with `batch_first`; filled with
    `padding_value` at the side that is named.

    Raises RuntimeError for sequences whose other dimensions differ.
    """
    sequences = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: expected at least one sequence, got none")
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    rest = sequences[0].shape[1:]
    if any(s.ndim == 0 or s.shape[1:] != rest for s in sequences):
        shapes = ", ".join(str(list(s.shape)) for s in sequences[:3])
        raise RuntimeError(f"pad_sequence: all but the first dimension must be equal, got the shapes {shapes}, ...")
    longest = max(len(s) for s in sequences)
    padded = []
    for s in sequences:
        gap = s.new_full((longest - len(s), *rest), padding_value)
        padded.append(FUNCTIONS["cat"]([s, gap] if padding_side == "right" else [gap, s]))
    return FUNCTIONS["stack"](padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences of `lengths` out of what pad_sequence has made of them."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [padded[: int(length)] for padded, length in zip(padded_sequences, lengths, strict=True)]
