"""The transforms as functions, on Pillow images and on tensors (..., C, H, W).

Mirrors torchvision.transforms.functional.
"""

import numbers
import sys
import warnings

import numpy as np

from cnn import types
from cnn.ops._quiet import quiet_all
from cnn.tensor import Tensor
from cnn.vision.transforms import array, pil
from cnn.vision.transforms.array import inverse_affine_matrix as _get_inverse_affine_matrix
from cnn.vision.transforms.image import (
    InterpolationMode,
    check_image,
    dimensions,
    image_from_array,
    interpolation_mode,
    is_pil,
    pillow,
)

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


def _apply(name, image, *arguments):
    """The function of this name for the image's kind."""
    if isinstance(check_image(image), Tensor):
        return Tensor._wrap(getattr(array, name)(image._a, *arguments))
    return getattr(pil, name)(image, *arguments)


# ---- what an image is -----------------------------------------------------------------------------------------------


def get_dimensions(img):
    """[channels, height, width]."""
    return dimensions(img)


def get_image_size(img):
    """[width, height]."""
    return dimensions(img)[:0:-1]


def get_image_num_channels(img):
    """The number of channels."""
    return dimensions(img)[0]


# ---- between Pillow and tensors -------------------------------------------------------------------------------------

# What Pillow's modes of more than eight bits become.
WIDE_MODES = {"I": np.int32, "F": np.float32, "I;16": np.int16, "I;16B": np.int16}


def to_tensor(pic):
    """A Pillow image or array (H, W, C) as a tensor (C, H, W); bytes become floats from 0 to 1.

    Raises TypeError for anything else, ValueError for an array that does not have two or three dimensions.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pixels = pic if pic.ndim == 3 else pic[:, :, None]
    elif is_pil(pic):
        pixels = np.asarray(pic, WIDE_MODES.get(pic.mode, np.uint8)).reshape(pic.height, pic.width, -1)
        if pic.mode == "1":
            pixels = pixels * np.uint8(255)
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    planes = pixels.transpose(2, 0, 1)
    if planes.dtype != np.uint8:
        return Tensor._wrap(planes.copy())
    dtype = types.get_default_dtype().numpy
    return Tensor._wrap(np.divide(planes, dtype.type(255), dtype=dtype, order="C"))


def pil_to_tensor(pic):
    """A Pillow image as a tensor (C, H, W) of the same type. Raises TypeError for anything else."""
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    return Tensor._wrap(np.array(pic).reshape(pic.height, pic.width, -1).transpose(2, 0, 1))


def to_pil_image(pic, mode=None):
    """A tensor (C, H, W) or array (H, W, C) as a Pillow image; floats are taken to lie between 0 and 1.

    Raises TypeError or ValueError for what is no image, or does not fit `mode`.
    """
    if isinstance(pic, Tensor):
        pixels = pic._a.transpose(1, 2, 0) if pic._a.ndim == 3 else pic._a
    elif isinstance(pic, np.ndarray):
        pixels = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3:
        raise ValueError(f"pic should be 2/3 dimensional. Got {pixels.ndim} dimensions.")
    channels = pixels.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if pixels.dtype.kind == "f" and mode != "F":
        pixels = (pixels * 255).astype(np.uint8)
    if channels == 1:
        return _grey_image(pixels[:, :, 0], mode)
    allowed = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}[channels]
    if mode is not None and mode not in allowed:
        raise ValueError(f"Only modes {list(allowed)} are supported for {channels}D inputs")
    if pixels.dtype != np.uint8:
        raise TypeError(f"Input type {pixels.dtype} is not supported")
    return image_from_array(pixels, mode or allowed[0])


def _grey_image(pixels, mode):
    wide = "I;16" if sys.byteorder == "little" else "I;16B"
    expected = {"uint8": "L", "int16": wide, "uint16": wide, "int32": "I", "float32": "F"}.get(pixels.dtype.name)
    if mode not in (None, expected):
        raise ValueError(f"Incorrect mode ({mode}) supplied for input type {pixels.dtype}. Should be {expected}")
    if expected is None:
        raise TypeError(f"Input type {pixels.dtype} is not supported")
    if expected == wide:
        return pillow().frombytes(wide, pixels.shape[::-1], pixels.tobytes())
    return image_from_array(pixels, expected)


def convert_image_dtype(image, dtype=types.float32):
    """A tensor image in another type, scaled so that white stays white. Raises RuntimeError for unsafe casts."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return Tensor._wrap(array.convert_dtype(image._a, dtype.numpy))


def normalize(tensor, mean, std, inplace=False):
    """(tensor - mean) / std for each channel of a float tensor (..., C, H, W).

    Raises TypeError for other types, ValueError if a `std` is 0.
    """
    if not isinstance(tensor, Tensor):
        hint = ": put ToTensor() in front of Normalize" if is_pil(tensor) else ""
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}{hint}")
    mean, std = (values._a if isinstance(values, Tensor) else values for values in (mean, std))
    out = array.normalize(tensor._a, mean, std, inplace)
    return tensor if inplace else Tensor._wrap(out)


# ---- geometry -------------------------------------------------------------------------------------------------------


def hflip(img):
    """Left and right exchanged."""
    return _apply("hflip", img)


def vflip(img):
    """Top and bottom exchanged."""
    return _apply("vflip", img)


def crop(img, top, left, height, width):
    """A rectangle of the image; 0 outside of it."""
    return _apply("crop", img, top, left, height, width)


def center_crop(img, output_size):
    """The rectangle (height, width) in the middle; a smaller image is padded with 0 first."""
    height, width = _pair(output_size)
    _, h, w = dimensions(img)
    if width > w or height > h:
        more_w, more_h = max(width - w, 0), max(height - h, 0)
        img = pad(img, [more_w // 2, more_h // 2, (more_w + 1) // 2, (more_h + 1) // 2])
        _, h, w = dimensions(img)
    return crop(img, int(round((h - height) / 2.0)), int(round((w - width) / 2.0)), height, width)


def five_crop(img, size):
    """The four corners and the middle: (top left, top right, bottom left, bottom right, centre)."""
    height, width = _pair(size)
    _, h, w = dimensions(img)
    if width > w or height > h:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(h, w)}")
    corners = [(0, 0), (0, w - width), (h - height, 0), (h - height, w - width)]
    return (*(crop(img, top, left, height, width) for top, left in corners), center_crop(img, (height, width)))


def ten_crop(img, size, vertical_flip=False):
    """five_crop of the image and of its mirror image."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def pad(img, padding, fill=0, padding_mode="constant"):
    """Add a margin: `padding` is a number, (left and right, top and bottom), or (left, top, right, bottom).

    `padding_mode`: constant (`fill`), edge, reflect (edge not repeated) or symmetric (edge repeated).
    """
    left, top, right, bottom = _margins(padding)
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    return _apply("pad", img, left, top, right, bottom, fill, padding_mode)


def _margins(padding):
    if isinstance(padding, int):
        return (padding,) * 4
    if not isinstance(padding, (tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    return tuple(padding) * (4 // len(padding))


def resize(img, size, interpolation=BILINEAR, max_size=None, antialias=True):
    """The image in another size: (height, width), or a length of the shorter side, the longer at most `max_size`."""
    interpolation = interpolation_mode(interpolation)
    size = [size] if isinstance(size, int) else list(size)
    if len(size) not in (1, 2):
        raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list")
    if max_size is not None and len(size) != 1:
        raise ValueError("max_size should only be passed if size specifies the length of the smaller edge")
    _, h, w = dimensions(img)
    height, width = size if len(size) == 2 else _size_with_short_side(h, w, size[0], max_size)
    if (h, w) == (height, width):
        return img
    if is_pil(img) and antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is ignored.", stacklevel=2
        )
    return _apply("resize", img, height, width, interpolation, bool(antialias))


def _size_with_short_side(h, w, short, max_size):
    long = int(short * max(h, w) / min(h, w))
    if max_size is not None:
        if max_size <= short:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge "
                f"size = {short}"
            )
        if long > max_size:
            short, long = int(max_size * short / long), max_size
    return (long, short) if w <= h else (short, long)


def resized_crop(img, top, left, height, width, size, interpolation=BILINEAR, antialias=True):
    """A rectangle of the image, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def rotate(img, angle, interpolation=NEAREST, expand=False, center=None, fill=None):
    """Turned counter-clockwise by `angle` degrees around `center` (default: the middle); `expand` keeps the corners."""
    interpolation = interpolation_mode(interpolation)
    if not isinstance(angle, numbers.Real):
        raise TypeError("Argument angle should be int or float")
    _check_center(center)
    if is_pil(img):
        return pil.rotate(img, angle, interpolation, expand, center, fill)
    matrix = _get_inverse_affine_matrix(_from_middle(img, center), -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    return Tensor._wrap(array.rotate(check_image(img)._a, matrix, interpolation.value, expand, fill))


def affine(img, angle, translate, scale, shear, interpolation=NEAREST, fill=None, center=None):
    """Turned clockwise, sheared, scaled and moved.

    `angle` and `shear` = (x, y) are in degrees, `translate` and `center` = (x, y) in pixels (default: the middle).
    """
    interpolation = interpolation_mode(interpolation)
    if not isinstance(angle, numbers.Real):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    _check_center(center)
    shear = _shears(shear)
    if is_pil(img):
        middle = [img.width * 0.5, img.height * 0.5] if center is None else center
        matrix = _get_inverse_affine_matrix(middle, angle, translate, scale, shear)
        return pil.affine(img, matrix, interpolation, fill)
    matrix = _get_inverse_affine_matrix(_from_middle(img, center), angle, [float(t) for t in translate], scale, shear)
    return Tensor._wrap(array.affine(check_image(img)._a, matrix, interpolation.value, fill))


def _shears(shear):
    if isinstance(shear, numbers.Real):
        return [shear, 0.0]
    if not isinstance(shear, (list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    if len(shear) not in (1, 2):
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    return [shear[0], shear[-1]]


def _check_center(center):
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")


def _from_middle(img, center):
    """A tensor's coordinates count from the middle of the image."""
    _, h, w = dimensions(img)
    return [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]


def perspective(img, startpoints, endpoints, interpolation=BILINEAR, fill=None):
    """The image seen so that four corners `startpoints` come to lie on `endpoints`, each [[x, y], ...] clockwise."""
    interpolation = interpolation_mode(interpolation)
    coefficients = _perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return pil.perspective(img, coefficients, interpolation, fill)
    return Tensor._wrap(array.perspective(check_image(img)._a, coefficients, interpolation.value, fill))


def _perspective_coefficients(startpoints, endpoints):
    """a .. h with x_old = (a x + b y + c) / (g x + h y + 1) and y_old = (d x + e y + f) / (g x + h y + 1)."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution = np.linalg.lstsq(np.array(rows, np.float64), np.array(startpoints, np.float64).ravel(), rcond=None)[0]
    return solution.astype(np.float32).tolist()


def erase(img, i, j, h, w, v, inplace=False):
    """A rectangle of a tensor image overwritten with `v`."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    out = array.erase(img._a, i, j, h, w, v._a if isinstance(v, Tensor) else v, inplace)
    return img if inplace else Tensor._wrap(out)


def gaussian_blur(img, kernel_size, sigma=None):
    """Blurred with a Gaussian of `kernel_size` = (x, y) pixels and deviation `sigma` (default: from the size)."""
    kernel = _pair(kernel_size)
    if any(k % 2 == 0 or k < 1 for k in kernel):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {list(kernel)}")
    if sigma is None:
        sigma = [k * 0.15 + 0.35 for k in kernel]
    sigma = [float(sigma)] * 2 if isinstance(sigma, numbers.Real) else [float(s) for s in sigma] * (2 // len(sigma))
    if any(s <= 0 for s in sigma):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    if is_pil(img):
        blurred = array.gaussian_blur(pil_to_tensor(img)._a, kernel, sigma)
        return to_pil_image(Tensor._wrap(blurred), img.mode)
    return Tensor._wrap(array.gaussian_blur(check_image(img)._a, kernel, sigma))


# ---- colour ---------------------------------------------------------------------------------------------------------


def adjust_brightness(img, brightness_factor):
    """0 gives black, 1 the image, 2 twice its brightness."""
    return _apply("brightness", img, _not_negative("brightness_factor", brightness_factor))


def adjust_contrast(img, contrast_factor):
    """0 gives grey, 1 the image, 2 twice its contrast."""
    return _apply("contrast", img, _not_negative("contrast_factor", contrast_factor))


def adjust_saturation(img, saturation_factor):
    """0 gives black and white, 1 the image, 2 twice its saturation."""
    return _apply("saturation", img, _not_negative("saturation_factor", saturation_factor))


def adjust_hue(img, hue_factor):
    """All colours turned by `hue_factor` of a full turn, from -0.5 to 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return _apply("hue", img, hue_factor)


def adjust_gamma(img, gamma, gain=1):
    """white * gain * (pixel / white) ** gamma."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return _apply("gamma", img, gamma, gain)


def adjust_sharpness(img, sharpness_factor):
    """0 gives a blurred image, 1 the image, 2 twice its sharpness."""
    return _apply("sharpness", img, _not_negative("sharpness_factor", sharpness_factor))


def _not_negative(name, factor):
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")
    return factor


def rgb_to_grayscale(img, num_output_channels=1):
    """Black and white, as one channel or as three equal ones."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return _apply("grayscale", img, num_output_channels)


def to_grayscale(img, num_output_channels=1):
    """rgb_to_grayscale for Pillow images."""
    if not is_pil(img):
        raise TypeError("Input should be PIL Image")
    return rgb_to_grayscale(img, num_output_channels)


def invert(img):
    """The negative."""
    return _apply("invert", img)


def posterize(img, bits):
    """Only the highest `bits` bits of each colour."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return _apply("posterize", img, bits)


def solarize(img, threshold):
    """The negative of all pixels from `threshold` on."""
    return _apply("solarize", img, threshold)


def autocontrast(img):
    """Each channel stretched to the whole range."""
    return _apply("autocontrast", img)


def equalize(img):
    """Each channel's values spread evenly over the range."""
    return _apply("equalize", img)


def _pair(size):
    """(height, width) of a number or a sequence."""
    values = [int(size)] if isinstance(size, numbers.Number) else list(size)
    if len(values) == 1:
        values *= 2
    if len(values) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    return tuple(values)


quiet_all(globals())
