"""Labels as rows of zeros with a single one. See
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html."""

import numpy as np

from cnn.errors import DTypeError, ShapeError
from cnn.tensor import Tensor

from .sizes import check_tensor, whole

__all__ = ["one_hot"]


def one_hot(tensor, num_classes=-1):
    """int64 labels (*) to int64 (*, num_classes): 1 at the label, 0 elsewhere. -1 takes as many classes as the labels
    need.

    Raises:
        DTypeError: the labels are not int64.
        RuntimeError: a label is negative or too large, or there are none to count the classes from.
    """
    check_tensor(tensor, "one_hot")
    labels = tensor._a
    if labels.dtype != np.int64:
        raise DTypeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}: use .long()"
        )
    num_classes = whole(num_classes, "one_hot", "num_classes")
    if labels.size == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if labels.size and labels.min() < 0:
        raise RuntimeError(f"Class values must be non-negative, got {labels.min()}.")
    if num_classes == -1:
        num_classes = int(labels.max()) + 1
    elif labels.size and labels.max() >= num_classes:
        raise RuntimeError(
            f"Class values must be smaller than num_classes, got {labels.max()} with {num_classes} classes."
        )
    if num_classes > 2**48:  # more than a machine addresses: NumPy's own message would name nothing
        raise ShapeError(f"one_hot: num_classes={num_classes} is too large")
    result = np.zeros((*labels.shape, num_classes), np.int64)
    np.put_along_axis(result, labels[..., None], 1, -1)
    return Tensor._wrap(result)
