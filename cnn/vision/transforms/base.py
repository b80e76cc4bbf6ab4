"""Transform: what the image transforms have in common, and the checks of their arguments."""

import numbers
from collections.abc import Sequence

from cnn.nn import Module
from cnn.nn.sizes import check_number
from cnn.tensor import Tensor
from cnn.vision.transforms.image import dimensions


class Transform(Module):
    """A function of an image with settings. A Module, so that Sequential takes it, as in torchvision."""

    def described(self, **settings):
        """The repr: the class and its settings."""
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})"


def pair(size, message="Please provide only two dimensions (h, w) for size."):
    """(height, width) of a number or of a sequence of one or two."""
    if isinstance(size, str):
        raise TypeError(f"Size should be int or sequence. Got {size!r}")
    if isinstance(size, numbers.Number):
        return int(size), int(size)
    if len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(message)
    return size


def check_probability(name, p):
    """A TypeError for a probability that is no number."""
    check_number(p, name, "p")


def angle_range(value, name, sizes=(2,)):
    """[low, high] of a number (then symmetric) or of a sequence of one of the given lengths."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-value), float(value)]  # 0, not -0
    check_sequence(value, name, sizes)
    return [float(v) for v in value]


def check_sequence(value, name, sizes):
    message = f"{name} should be a sequence of length {' or '.join(map(str, sizes))}."
    if not isinstance(value, Sequence):
        raise TypeError(message)
    if len(value) not in sizes:
        raise ValueError(message)


def check_fill(fill):
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def fill_for(image, fill):
    """A tensor image takes floats, one for each channel."""
    if not isinstance(image, Tensor) or fill is None:
        return fill
    if isinstance(fill, (int, float)):
        return [float(fill)] * dimensions(image)[0]
    return [float(value) for value in fill]
