"""The transforms on Pillow images. Pillow does the work; this says how torchvision asks it to."""

import numpy as np

from cnn.vision.transforms.image import PIL_FILTERS, image_from_array, pillow


def hflip(image):
    return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)


def vflip(image):
    return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)


def crop(image, top, left, height, width):
    return image.crop((left, top, left + width, top + height))


def resize(image, height, width, mode, antialias):
    return image.resize((width, height), PIL_FILTERS[mode])


def pad(image, left, top, right, bottom, fill, mode):
    if mode == "constant":
        from PIL import ImageOps

        palette = image.getpalette() if image.mode == "P" else None
        padded = ImageOps.expand(image, (left, top, right, bottom), fill=colour(image, fill))
        if palette:
            padded.putpalette(palette)
        return padded
    # Negative padding crops.
    image = image.crop((max(-left, 0), max(-top, 0), image.width - max(-right, 0), image.height - max(-bottom, 0)))
    array = np.asarray(image)
    widths = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))] + [(0, 0)] * (array.ndim - 2)
    padded = image_from_array(np.pad(array, widths, mode))
    if image.mode == "P":
        padded.putpalette(image.getpalette())
    return padded


def colour(image, fill):
    """`fill` (None, a number, or one for each channel) as Pillow wants it for this image."""
    channels = len(image.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)):
        values = [fill] * channels
    else:
        values = list(fill) * channels if len(fill) == 1 else list(fill)
    if len(values) != channels:
        raise ValueError(
            "The number of elements in 'fill' does not match the number of channels of the image "
            f"({len(values)} != {channels})"
        )
    if image.mode != "F":
        values = [int(value) for value in values]
    return values[0] if channels == 1 else tuple(values)


def affine(image, matrix, mode, fill):
    return image.transform(
        image.size, pillow().Transform.AFFINE, matrix, PIL_FILTERS[mode], fillcolor=colour(image, fill)
    )


def rotate(image, angle, mode, expand, center, fill):
    return image.rotate(angle, PIL_FILTERS[mode], expand, center, fillcolor=colour(image, fill))


def perspective(image, coefficients, mode, fill):
    return image.transform(
        image.size, pillow().Transform.PERSPECTIVE, coefficients, PIL_FILTERS[mode], fillcolor=colour(image, fill)
    )


def grayscale(image, channels):
    grey = image.convert("L")
    return grey if channels == 1 else pillow().merge("RGB", [grey] * 3)


def _enhance(kind, image, factor):
    from PIL import ImageEnhance

    return getattr(ImageEnhance, kind)(image).enhance(factor)


def brightness(image, factor):
    return _enhance("Brightness", image, factor)


def contrast(image, factor):
    return _enhance("Contrast", image, factor)


def saturation(image, factor):
    return _enhance("Color", image, factor)


def sharpness(image, factor):
    return _enhance("Sharpness", image, factor)


def hue(image, factor):
    if image.mode in ("L", "1", "I", "F"):
        return image
    h, s, v = image.convert("HSV").split()
    turned = np.asarray(h) + np.int32(factor * 255).astype(np.uint8)  # uint8: beyond 255 it starts again at 0
    return pillow().merge("HSV", (image_from_array(turned), s, v)).convert(image.mode)


def gamma(image, exponent, gain):
    table = [int((255 + 1 - 1e-3) * gain * (value / 255.0) ** exponent) for value in range(256)]
    return image.convert("RGB").point(table * 3).convert(image.mode)


def _operation(name, image, *arguments):
    from PIL import ImageOps

    return getattr(ImageOps, name)(image, *arguments)


def invert(image):
    return _operation("invert", image)


def posterize(image, bits):
    return _operation("posterize", image, bits)


def solarize(image, threshold):
    return _operation("solarize", image, threshold)


def autocontrast(image):
    return _operation("autocontrast", image)


def equalize(image):
    return _operation("equalize", image)
