"""The transforms on arrays (..., H, W) or (..., C, H, W), in NumPy. They follow torchvision's formulas for tensors."""

import math

import numpy as np


def largest(dtype):
    """The value of white."""
    return int(np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else 1


def _float(image):
    """The image in the type that is computed in."""
    return image if image.dtype.kind == "f" else image.astype(np.float32)


def _back(values, dtype):
    """Computed values as `dtype` again, rounded for integers."""
    return values if values.dtype == dtype else np.rint(values).astype(dtype)


def _check_channels(image):
    channels = 1 if image.ndim == 2 else image.shape[-3]
    if channels not in (1, 3):
        raise TypeError(f"Input image tensor permitted channel values are [1, 3], but found {channels}")
    return channels


def convert_dtype(image, dtype):
    """Between types, each with its own value for white."""
    dtype = np.dtype(dtype)
    if image.dtype == dtype:
        return image
    if image.dtype.kind == "f":
        return image.astype(dtype) if dtype.kind == "f" else _integers_of_floats(image, dtype)
    if dtype.kind == "f":
        if dtype == np.float16 and image.dtype.itemsize > 1:  # float16 does not reach their white
            return convert_dtype(convert_dtype(image, np.float32), dtype)
        return image.astype(dtype) / dtype.type(largest(image.dtype))
    have, want = largest(image.dtype), largest(dtype)
    if have > want:
        return (image // ((have + 1) // (want + 1))).astype(dtype)
    return image.astype(dtype) * dtype.type((want + 1) // (have + 1))


def _integers_of_floats(image, dtype):
    """Each value gets an equal share of 0..1. Refused where the floats have fewer bits than the integers."""
    if image.dtype.itemsize <= 4 and dtype.itemsize >= 4 or dtype.itemsize == 8:
        raise RuntimeError(f"The cast from torch.{image.dtype} to torch.{dtype} cannot be performed safely.")
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    kind = image.dtype.type
    beyond = kind(largest(dtype) + 1)
    # Rounded, the factor for 65535 would be 65536, and white would turn black.
    with np.errstate(all="ignore"):  # what is no number, or outside of 0..1, is the caller's
        return (image * min(kind(largest(dtype) + 1 - 1e-3), np.nextafter(beyond, kind(0)))).astype(dtype)


def normalize(image, mean, std, inplace):
    if image.dtype.kind != "f":
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {list(image.shape)}"
        )
    mean, std = (np.asarray(values, image.dtype) for values in (mean, std))
    if (std == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {image.dtype}, leading to division by zero.")
    for name, values in (("mean", mean), ("std", std)):
        if values.ndim == 1 and len(values) not in (1, image.shape[-3]):
            raise ValueError(
                f"Normalize: {name} must have one value for each of the image's {image.shape[-3]} channels, "
                f"got {len(values)}"
                + (": are they last? x.permute(2, 0, 1) brings them to the front" * (len(values) == image.shape[-1]))
            )
    mean, std = (values.reshape(-1, 1, 1) if values.ndim == 1 else values for values in (mean, std))
    out = np.subtract(image, mean, out=image if inplace else None)
    return np.divide(out, std, out=out)


def hflip(image):
    return image[..., ::-1].copy()


def vflip(image):
    return image[..., ::-1, :].copy()


def crop(image, top, left, height, width):
    """Outside of the image it is 0."""
    h, w = image.shape[-2:]
    bottom, right = top + height, left + width
    if top >= 0 and left >= 0 and bottom <= h and right <= w:
        return image[..., top:bottom, left:right]
    out = np.zeros((*image.shape[:-2], height, width), image.dtype)
    t, b = (min(max(row, 0), h) for row in (top, bottom))
    u, v = (min(max(column, 0), w) for column in (left, right))
    out[..., t - top : b - top, u - left : v - left] = image[..., t:b, u:v]
    return out


def pad(image, left, top, right, bottom, fill, mode):
    if fill is not None and not isinstance(fill, (int, float)):
        raise TypeError("Got inappropriate fill arg: a tensor image takes one number")
    # Negative padding crops.
    h, w = image.shape[-2:]
    image = image[..., max(-top, 0) : h - max(-bottom, 0), max(-left, 0) : w - max(-right, 0)]
    widths = [(0, 0)] * (image.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    if mode == "constant":
        return np.pad(image, widths, constant_values=fill or 0)
    return np.pad(image, widths, mode)


# ---- resize: one matrix for the rows, one for the columns ------------------------------------------------------------


def triangle(x):
    return np.maximum(1 - np.abs(x), 0)


def cubic(a):
    """Keys' cubic with parameter a. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981."""

    def kernel(x):
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = a * (((x - 5) * x + 8) * x - 4)
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return kernel


def resize_matrix(size, new, mode, antialias):
    """(new, size): each row holds the weights of the old pixels in one new pixel."""
    scale = size / new
    if mode in ("nearest", "nearest-exact"):
        # As float32, which decides where i * scale is nearly whole.
        places = (np.arange(new, dtype=np.float32) + np.float32(0.5 if mode == "nearest-exact" else 0)) * np.float32(
            scale
        )
        return np.eye(size, dtype=np.float32)[np.minimum(places.astype(np.int64), size - 1)]
    if mode not in ("bilinear", "bicubic"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    kernel, reach = (triangle, 1) if mode == "bilinear" else (cubic(-0.5 if antialias else -0.75), 2)
    stretch = max(scale, 1) if antialias else 1
    centres = (np.arange(new) + 0.5) * scale - 0.5
    if not antialias:
        return _interpolation_matrix(centres, size, kernel, reach, clamp=mode == "bilinear")
    weights = kernel((np.arange(size) - centres[:, None]) / stretch)
    return weights / weights.sum(1, keepdims=True)


def _interpolation_matrix(centres, size, kernel, reach, clamp):
    """Weights of the 2 * reach nearest pixels; a pixel outside counts for the one at the edge."""
    if clamp:
        centres = np.maximum(centres, 0)
    matrix = np.zeros((len(centres), size))
    base = np.floor(centres).astype(np.int64)
    for step in range(1 - reach, reach + 1):
        place = base + step
        np.add.at(matrix, (np.arange(len(centres)), np.clip(place, 0, size - 1)), kernel(place - centres))
    return matrix


def resize(image, height, width, mode, antialias):
    h, w = image.shape[-2:]
    if mode.value in ("nearest", "nearest-exact"):
        rows, columns = (resize_matrix(old, new, mode.value, False).argmax(1) for old, new in ((h, height), (w, width)))
        return image[..., rows[:, None], columns]
    values = _float(image)
    rows, columns = (
        resize_matrix(old, new, mode.value, antialias).astype(values.dtype) for old, new in ((h, height), (w, width))
    )
    values = rows @ (values @ columns.T)
    if image.dtype == np.uint8:
        values = np.clip(values, 0, 255)
    return _back(values, image.dtype)


# ---- rotation and the like: where does each new pixel come from? ----------------------------------------------------


def _sample(image, x, y, mode, fill):
    """The image's values at (x, y), in pixels; outside is `fill`."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    values = _float(image)
    if values.ndim == 2:
        values = values[None]
    h, w = values.shape[-2:]

    def at(column, row):
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        picked = values[..., np.clip(row, 0, h - 1).astype(np.int64), np.clip(column, 0, w - 1).astype(np.int64)]
        return np.where(inside, picked, 0), inside

    if mode == "nearest":
        out, inside = at(np.rint(x), np.rint(y))
        share = inside.astype(values.dtype)
    else:
        x0, y0 = np.floor(x), np.floor(y)
        out, share = 0, 0
        for column, row, weight in (
            (x0, y0, (x0 + 1 - x) * (y0 + 1 - y)),
            (x0 + 1, y0, (x - x0) * (y0 + 1 - y)),
            (x0, y0 + 1, (x0 + 1 - x) * (y - y0)),
            (x0 + 1, y0 + 1, (x - x0) * (y - y0)),
        ):
            picked, inside = at(column, row)
            out = out + picked * weight
            share = share + inside * weight
    if fill is not None:
        colours = np.asarray(fill, values.dtype).reshape(-1, 1, 1)
        if len(colours) not in (1, values.shape[-3]):
            raise ValueError(
                "The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
                f"({len(colours)} != {values.shape[-3]})"
            )
        out = np.where(share < 0.5, colours, out) if mode == "nearest" else out * share + (1 - share) * colours
    out = _back(out.astype(values.dtype), image.dtype)
    return out[0] if image.ndim == 2 else out


def _grid(height, width, dtype):
    """Centres of the pixels, counted from the middle of the image."""
    x = np.arange(width, dtype=dtype) - dtype.type((width - 1) / 2)
    y = np.arange(height, dtype=dtype) - dtype.type((height - 1) / 2)
    return x, y[:, None]


def affine(image, matrix, mode, fill):
    return _affine_to(image, matrix, mode, fill, *image.shape[-2:])


def rotate(image, matrix, mode, expand, fill):
    h, w = image.shape[-2:]
    width, height = expanded_size(matrix, w, h) if expand else (w, h)
    return _affine_to(image, matrix, mode, fill, height, width)


def _affine_to(image, matrix, mode, fill, height, width):
    dtype = image.dtype if image.dtype.kind == "f" else np.dtype(np.float32)
    h, w = image.shape[-2:]
    # torch goes through coordinates from -1 to 1; so do we, for the same rounding.
    half = np.array([[w * 0.5], [h * 0.5]], dtype)
    (a, b, c), (d, e, f) = np.asarray(matrix, dtype).reshape(2, 3) / half
    x, y = _grid(height, width, dtype)
    column = ((x * a + y * b + c + 1) * w - 1) / 2
    row = ((x * d + y * e + f + 1) * h - 1) / 2
    return _sample(image, column.astype(dtype), row.astype(dtype), mode, fill)


def expanded_size(matrix, w, h):
    """(width, height) that hold the whole turned image."""
    corners = np.array(
        [[-0.5 * w, -0.5 * h, 1], [-0.5 * w, 0.5 * h, 1], [0.5 * w, 0.5 * h, 1], [0.5 * w, -0.5 * h, 1]], np.float32
    )
    turned = corners @ np.asarray(matrix, np.float32).reshape(2, 3).T + np.float32([w * 0.5, h * 0.5])
    whole = np.trunc(np.stack([turned.min(0), turned.max(0)]) / np.float32(1e-4)) * np.float32(
        1e-4
    )  # 1e-15 too much is no pixel
    size = np.ceil(whole[1]) - np.floor(whole[0])
    return int(size[0]), int(size[1])


def perspective(image, coefficients, mode, fill):
    dtype = image.dtype if image.dtype.kind == "f" else np.dtype(np.float32)
    a, b, c, d, e, f, g, i = (dtype.type(value) for value in coefficients)
    h, w = image.shape[-2:]
    x, y = np.arange(w, dtype=dtype) + dtype.type(0.5), (np.arange(h, dtype=dtype) + dtype.type(0.5))[:, None]
    below = g * x + i * y + 1
    return _sample(
        image, (a * x + b * y + c) / below - dtype.type(0.5), (d * x + e * y + f) / below - dtype.type(0.5), mode, fill
    )


# ---- colour ---------------------------------------------------------------------------------------------------------


def grayscale(image, channels):
    if image.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {image.ndim}")
    if _check_channels(image) == 1:
        return image.copy()
    r, g, b = (_float(image[..., k, :, :]) for k in range(3))
    grey = (r.dtype.type(0.2989) * r + r.dtype.type(0.587) * g + r.dtype.type(0.114) * b).astype(image.dtype)
    return np.repeat(grey[..., None, :, :], channels, axis=-3)


def _blend(image, other, ratio):
    """ratio * image + (1 - ratio) * other, within the type's range."""
    x, y = _float(image), _float(np.asarray(other))
    mixed = x.dtype.type(ratio) * x + x.dtype.type(1.0 - ratio) * y
    return np.clip(mixed, 0, largest(image.dtype)).astype(image.dtype)


def brightness(image, factor):
    _check_channels(image)
    return _blend(image, np.zeros((), image.dtype), factor)


def contrast(image, factor):
    grey = grayscale(image, 1) if _check_channels(image) == 3 else image
    axes = (-3, -2, -1) if image.ndim > 2 else (-2, -1)
    return _blend(image, _float(grey).mean(axes, keepdims=True), factor)


def saturation(image, factor):
    return image if _check_channels(image) == 1 else _blend(image, grayscale(image, 1), factor)


def hue(image, factor):
    if _check_channels(image) == 1:
        return image
    h, s, v = _rgb_to_hsv(convert_dtype(image, np.float32))
    return convert_dtype(_hsv_to_rgb((h + np.float32(factor)) % np.float32(1), s, v), image.dtype)


def _rgb_to_hsv(image):
    r, g, b = (image[..., k, :, :] for k in range(3))
    v, low = image.max(-3), image.min(-3)
    grey = v == low
    span = np.where(grey, np.float32(1), v - low)
    s = (v - low) / np.where(grey, np.float32(1), v)
    rc, gc, bc = ((v - colour) / span for colour in (r, g, b))
    sixth = np.where(v == r, bc - gc, np.where(v == g, 2 + rc - bc, 4 + gc - rc))
    return np.fmod(sixth / np.float32(6) + 1, np.float32(1)), s, v


def _hsv_to_rgb(h, s, v):
    sector = np.floor(h * np.float32(6))
    f = h * np.float32(6) - sector
    p, q, t = (np.clip(v * x, 0, 1) for x in (1 - s, 1 - s * f, 1 - s * (1 - f)))
    sector = sector.astype(np.int64) % 6
    return np.stack(
        [np.choose(sector, row) for row in ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))], axis=-3
    )


def gamma(image, exponent, gain):
    _check_channels(image)
    values = image if image.dtype.kind == "f" else convert_dtype(image, np.float32)
    return convert_dtype(np.clip(values.dtype.type(gain) * values ** values.dtype.type(exponent), 0, 1), image.dtype)


def sharpness(image, factor):
    _check_channels(image)
    if min(image.shape[-2:]) <= 2:
        return image
    kernel = np.ones((3, 3), np.float32)
    kernel[1, 1] = 5
    smooth = image.copy()
    smooth[..., 1:-1, 1:-1] = _back(_filter(_float(image), kernel / kernel.sum()), image.dtype)
    return _blend(image, smooth, factor)


def _filter(values, kernel):
    """Correlation with a small kernel, where it fits."""
    kh, kw = kernel.shape
    h, w = values.shape[-2] - kh + 1, values.shape[-1] - kw + 1
    out = np.zeros((*values.shape[:-2], h, w), values.dtype)
    for i in range(kh):
        for j in range(kw):
            out += values.dtype.type(kernel[i, j]) * values[..., i : i + h, j : j + w]
    return out


def gaussian_blur(image, kernel_size, sigma):
    values = _float(image)
    (kx, ky), (sx, sy) = kernel_size, sigma
    kernels = [np.exp(-0.5 * (np.linspace(-(k - 1) / 2, (k - 1) / 2, k) / s) ** 2) for k, s in ((ky, sy), (kx, sx))]
    rows, columns = (kernel / kernel.sum() for kernel in kernels)
    padded = pad(values, kx // 2, ky // 2, kx // 2, ky // 2, 0, "reflect")
    return _back(_filter(_filter(padded, rows[:, None]), columns[None]), image.dtype)


def invert(image):
    _check_channels(image)
    return (image.dtype.type(largest(image.dtype)) - image).astype(image.dtype)


def posterize(image, bits):
    _check_channels(image)
    if image.dtype != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    return image & np.uint8(256 - 2 ** (8 - bits))


def solarize(image, threshold):
    if threshold > largest(image.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return np.where(image >= threshold, invert(image), image)


def autocontrast(image):
    _check_channels(image)
    white = largest(image.dtype)
    values = _float(image)
    low, high = (f(values, axis=(-2, -1), keepdims=True) for f in (np.min, np.max))
    flat = low == high
    scale = np.where(flat, 1, white / np.where(flat, 1, high - low)).astype(values.dtype)
    return np.clip((values - np.where(flat, 0, low)) * scale, 0, white).astype(image.dtype)


def equalize(image):
    _check_channels(image)
    if image.dtype != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    planes = image.reshape(-1, *image.shape[-2:])
    return np.stack([_equalize_plane(plane) for plane in planes]).reshape(image.shape)


def _equalize_plane(plane):
    counts = np.bincount(plane.ravel(), minlength=256)
    used = counts[counts > 0]
    step = used[:-1].sum() // 255
    if step == 0:
        return plane
    table = (np.cumsum(counts) + step // 2) // step
    return np.clip(np.concatenate([[0], table[:-1]]), 0, 255).astype(np.uint8)[plane]


def erase(image, i, j, h, w, value, inplace):
    out = image if inplace else image.copy()
    out[..., i : i + h, j : j + w] = value
    return out


def inverse_affine_matrix(center, angle, translate, scale, shear, inverted=True):
    """Six numbers: where in the old image a pixel of the new one lies, for M = T C R S C^-1.

    T moves by `translate`, C to `center`; R S turns by `angle`, shears and scales (degrees).
    `inverted=False` gives M itself.
    """
    turn, sx, sy = (math.radians(value) for value in (angle, *shear))
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    if inverted:
        p, q, r, s = d / scale, -b / scale, -c / scale, a / scale  # the determinant of R S is 1 before scaling
        return [p, q, p * (-cx - tx) + q * (-cy - ty) + cx, r, s, r * (-cx - tx) + s * (-cy - ty) + cy]
    p, q, r, s = a * scale, b * scale, c * scale, d * scale
    return [p, q, p * -cx + q * -cy + cx + tx, r, s, r * -cx + s * -cy + cy + ty]
