"""What an image is here: a Pillow image, or a tensor (..., H, W). Pillow is imported when the first image is needed."""

import sys
from enum import Enum

import numpy as np

from cnn.tensor import Tensor


class InterpolationMode(Enum):
    """How values between pixels are found. Mirrors torchvision.transforms.InterpolationMode."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# Pillow's numbers for its filters; a script may pass them in place of the names.
PIL_FILTERS = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.NEAREST_EXACT: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
}


def interpolation_mode(value):
    """An InterpolationMode, also from Pillow's number for it."""
    if isinstance(value, InterpolationMode):
        return value
    if isinstance(value, int):
        for mode, number in PIL_FILTERS.items():
            if number == value:
                return mode
    raise TypeError(f"interpolation should be an InterpolationMode or a Pillow integer constant, got {value!r}")


def pillow():
    """The module PIL.Image."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("images need Pillow: pip install pillow") from error
    return Image


def is_pil(image):
    """Is it a Pillow image? Nobody can have one before Pillow was imported."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def check_image(image):
    """The image itself, if it is one."""
    if isinstance(image, Tensor):
        if image._a.ndim < 2:
            raise TypeError(f"Tensor is not a torch image: expected (..., H, W), got {tuple(image.shape)}")
    elif not is_pil(image):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(image)}")
    return image


def image_from_array(array, mode=None):
    """A Pillow image of a uint8 (or other) array (H, W) or (H, W, C)."""
    image = pillow().fromarray(array)
    return image if mode is None or image.mode == mode else _as_mode(array, mode)


def _as_mode(array, mode):
    """Pillow takes the mode from the array's type; other modes of the same layout are made from the bytes."""
    return pillow().frombytes(mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes())


def dimensions(image):
    """[channels, height, width]."""
    if isinstance(check_image(image), Tensor):
        shape = image._a.shape
        return [1 if len(shape) == 2 else shape[-3], shape[-2], shape[-1]]
    return [len(image.getbands()), image.height, image.width]
