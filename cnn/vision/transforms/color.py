"""Transforms of colours and sharpness. Mirrors torchvision.transforms; random ones draw as torchvision does."""

from collections.abc import Sequence
from numbers import Number

from cnn.vision.transforms import draw, functional
from cnn.vision.transforms.base import Transform, check_probability, pair
from cnn.vision.transforms.image import dimensions


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed by random factors, in random order.

    A number v means factors from max(0, 1 - v) to 1 + v (hue: from -v to v, at most 0.5); a pair is the range itself.
    """

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        super().__init__()
        self.brightness = _factor_range(brightness, "brightness")
        self.contrast = _factor_range(contrast, "contrast")
        self.saturation = _factor_range(saturation, "saturation")
        self.hue = _factor_range(hue, "hue", center=0, bound=(-0.5, 0.5))

    @staticmethod
    def get_params(brightness, contrast, saturation, hue):
        """(order, then a factor for each range that is not None), at random."""
        order = draw.order(4)
        return order, *(
            None if bounds is None else draw.uniform(*bounds) for bounds in (brightness, contrast, saturation, hue)
        )

    def forward(self, img):
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        adjust = (
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
            functional.adjust_hue,
        )
        for k in order:
            if factors[k] is not None:
                img = adjust[k](img, factors[k])
        return img

    def __repr__(self):
        return self.described(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, hue=self.hue
        )


def _factor_range(value, name, center=1, bound=(0, float("inf"))):
    """(low, high), or None where it means no change."""
    if isinstance(value, Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(value), center + float(value)
        if center == 1:
            low = max(low, 0.0)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= low <= high <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
    return None if low == high == center else (low, high)


class Grayscale(Transform):
    """Black and white, as one channel or as three equal ones."""

    def __init__(self, num_output_channels=1):
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img):
        return functional.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self):
        return self.described(num_output_channels=self.num_output_channels)


class RandomGrayscale(Transform):
    """Black and white with probability p, with as many channels as before."""

    def __init__(self, p=0.1):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def forward(self, img):
        return functional.rgb_to_grayscale(img, dimensions(img)[0]) if draw.chance(self.p) else img

    def __repr__(self):
        return self.described(p=self.p)


class GaussianBlur(Transform):
    """Blurred with a Gaussian of a random standard deviation from `sigma` = (low, high)."""

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        super().__init__()
        self.kernel_size = pair(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(k <= 0 or k % 2 == 0 for k in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min, sigma_max):
        """The standard deviation, at random."""
        return draw.uniform(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(*self.sigma)
        return functional.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self):
        return self.described(kernel_size=self.kernel_size, sigma=self.sigma)


class _Sometimes(Transform):
    """A change without further draws, made with probability p."""

    names = ()  # its settings, in the order of the arguments

    def forward(self, img):
        return self.change(img) if draw.chance(self.p) else img

    def __repr__(self):
        # torchvision writes no space here.
        return f"{type(self).__name__}({','.join(f'{name}={getattr(self, name)}' for name in (*self.names, 'p'))})"


class RandomInvert(_Sometimes):
    """The negative with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.invert(img)


class RandomPosterize(_Sometimes):
    """Only the highest `bits` bits of each colour, with probability p."""

    names = ("bits",)

    def __init__(self, bits, p=0.5):
        super().__init__()
        self.bits = bits
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.posterize(img, self.bits)


class RandomSolarize(_Sometimes):
    """The negative of all pixels from `threshold` on, with probability p."""

    names = ("threshold",)

    def __init__(self, threshold, p=0.5):
        super().__init__()
        self.threshold = threshold
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.solarize(img, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """Sharpness changed by a factor, with probability p."""

    names = ("sharpness_factor",)

    def __init__(self, sharpness_factor, p=0.5):
        super().__init__()
        self.sharpness_factor = sharpness_factor
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.adjust_sharpness(img, self.sharpness_factor)


class RandomAutocontrast(_Sometimes):
    """Each channel stretched to the whole range, with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.autocontrast(img)


class RandomEqualize(_Sometimes):
    """Each channel's values spread evenly over the range, with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def change(self, img):
        return functional.equalize(img)
