"""Transforms that move pixels. Mirrors torchvision.transforms; random ones draw as torchvision does."""

import math
import warnings
from collections.abc import Sequence
from numbers import Number

from cnn.vision.transforms import draw, functional
from cnn.vision.transforms.base import (
    Transform,
    angle_range,
    check_fill,
    check_probability,
    check_sequence,
    fill_for,
    pair,
)
from cnn.vision.transforms.image import InterpolationMode, dimensions, interpolation_mode

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


class Resize(Transform):
    """The image in another size: (height, width), or the length of the shorter side, the longer at most `max_size`."""

    def __init__(self, size, interpolation=BILINEAR, max_size=None, antialias=True):
        super().__init__()
        if not isinstance(size, (int, Sequence)) or isinstance(size, str):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.interpolation = interpolation_mode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def forward(self, img):
        return functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self):
        return self.described(
            size=self.size, interpolation=self.interpolation.value, max_size=self.max_size, antialias=self.antialias
        )


class CenterCrop(Transform):
    """The rectangle (height, width) in the middle; a smaller image is padded with 0."""

    def __init__(self, size):
        super().__init__()
        self.size = pair(size)

    def forward(self, img):
        return functional.center_crop(img, self.size)

    def __repr__(self):
        return self.described(size=self.size)


class FiveCrop(Transform):
    """The four corners and the middle, as a tuple."""

    def __init__(self, size):
        super().__init__()
        self.size = pair(size)

    def forward(self, img):
        return functional.five_crop(img, self.size)

    def __repr__(self):
        return self.described(size=self.size)


class TenCrop(Transform):
    """FiveCrop of the image and of its mirror image, as a tuple."""

    def __init__(self, size, vertical_flip=False):
        super().__init__()
        self.size = pair(size)
        self.vertical_flip = vertical_flip

    def forward(self, img):
        return functional.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self):
        return self.described(size=self.size, vertical_flip=self.vertical_flip)


class Pad(Transform):
    """A margin around the image; see functional.pad."""

    def __init__(self, padding, fill=0, padding_mode="constant"):
        super().__init__()
        if not isinstance(padding, (Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (Number, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(
                f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple"
            )
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img):
        return functional.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self):
        return self.described(padding=self.padding, fill=self.fill, padding_mode=self.padding_mode)


class RandomCrop(Transform):
    """A rectangle of `size` at a random place, after padding the image.

    `padding`, `fill`, `padding_mode`: as for functional.pad; `pad_if_needed` pads a smaller image up to `size`.
    Raises ValueError if the image is too small.
    """

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant"):
        super().__init__()
        self.size = tuple(pair(size))
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img, output_size):
        """(top, left, height, width), at random."""
        _, h, w = dimensions(img)
        return RandomCrop._place(h, w, output_size)

    @staticmethod
    def _place(h, w, output_size):
        height, width = output_size
        if h < height or w < width:
            raise ValueError(f"Required crop size {(height, width)} is larger than input image size {(h, w)}")
        if (h, w) == (height, width):
            return 0, 0, h, w
        top = draw.integer(0, h - height + 1)
        left = draw.integer(0, w - width + 1)
        return top, left, height, width

    def forward(self, img):
        if self.padding is not None:
            img = functional.pad(img, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            _, h, w = dimensions(img)
            for missing in ((self.size[1] - w, 0), (0, self.size[0] - h)):
                if max(missing) > 0:
                    img = functional.pad(img, missing, self.fill, self.padding_mode)
        return functional.crop(img, *self.get_params(img, self.size))

    def __repr__(self):
        return self.described(size=self.size, padding=self.padding)


class RandomHorizontalFlip(Transform):
    """Left and right exchanged with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def forward(self, img):
        return functional.hflip(img) if draw.chance(self.p) else img

    def __repr__(self):
        return self.described(p=self.p)


class RandomVerticalFlip(Transform):
    """Top and bottom exchanged with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p

    def forward(self, img):
        return functional.vflip(img) if draw.chance(self.p) else img

    def __repr__(self):
        return self.described(p=self.p)


class RandomResizedCrop(Transform):
    """A random rectangle, of `scale` of the area and with a `ratio` of width to height, resized to `size`.

    Szegedy et al., "Going Deeper with Convolutions", 2015.
    """

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0), interpolation=BILINEAR, antialias=True):
        super().__init__()
        self.size = pair(size)
        check_ranges(scale, ratio)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation_mode(interpolation)
        self.antialias = antialias

    @staticmethod
    def get_params(img, scale, ratio):
        """(top, left, height, width), at random; the middle where ten draws do not fit."""
        _, h, w = dimensions(img)
        for _ in range(10):
            area = h * w * draw.uniform(*scale)
            aspect = draw.exp_uniform(*ratio)
            width, height = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
            if 0 < width <= w and 0 < height <= h:
                top = draw.integer(0, h - height + 1)
                left = draw.integer(0, w - width + 1)
                return top, left, height, width
        height, width = h, w
        if w / h < min(ratio):
            height = int(round(w / min(ratio)))
        elif w / h > max(ratio):
            width = int(round(h * max(ratio)))
        return (h - height) // 2, (w - width) // 2, height, width

    def forward(self, img):
        place = self.get_params(img, self.scale, self.ratio)
        return functional.resized_crop(img, *place, self.size, self.interpolation, self.antialias)

    def __repr__(self):
        scale, ratio = (tuple(round(value, 4) for value in values) for values in (self.scale, self.ratio))
        return self.described(
            size=self.size, scale=scale, ratio=ratio, interpolation=self.interpolation.value, antialias=self.antialias
        )


def check_ranges(scale, ratio):
    for name, values in (("Scale", scale), ("Ratio", ratio)):
        if not isinstance(values, Sequence):
            raise TypeError(f"{name} should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


class RandomRotation(Transform):
    """Turned by a random angle from `degrees` = (low, high), or from -degrees to degrees."""

    def __init__(self, degrees, interpolation=NEAREST, expand=False, center=None, fill=0):
        super().__init__()
        self.degrees = angle_range(degrees, "degrees")
        if center is not None:
            check_sequence(center, "center", (2,))
        self.center = center
        self.interpolation = interpolation_mode(interpolation)
        self.expand = expand
        self.fill = check_fill(fill)

    @staticmethod
    def get_params(degrees):
        """The angle, at random."""
        return draw.uniform(float(degrees[0]), float(degrees[1]))

    def forward(self, img):
        angle = self.get_params(self.degrees)
        return functional.rotate(img, angle, self.interpolation, self.expand, self.center, fill_for(img, self.fill))

    def __repr__(self):
        center = {} if self.center is None else {"center": self.center}
        return self.described(
            degrees=self.degrees, interpolation=self.interpolation.value, expand=self.expand, **center, fill=self.fill
        )


class RandomAffine(Transform):
    """Turned, moved, scaled and sheared at random.

    Args:
        degrees: range of angles, as for RandomRotation.
        translate: (a, b), moved by up to a times the width and b times the height.
        scale: (low, high).
        shear: degrees along x: a number or (low, high); with four numbers along y as well.
        interpolation, fill, center: as for functional.affine.
    """

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation=NEAREST, fill=0, center=None):
        super().__init__()
        self.degrees = angle_range(degrees, "degrees")
        if translate is not None:
            check_sequence(translate, "translate", (2,))
            if not all(0.0 <= t <= 1.0 for t in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            check_sequence(scale, "scale", (2,))
            if any(s <= 0 for s in scale):
                raise ValueError("scale values should be positive")
        if center is not None:
            check_sequence(center, "center", (2,))
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else angle_range(shear, "shear", (2, 4))
        self.interpolation = interpolation_mode(interpolation)
        self.fill = check_fill(fill)
        self.center = center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """(angle, (x, y) translation, scale, (x, y) shear), at random; `img_size` is (width, height)."""
        angle = draw.uniform(float(degrees[0]), float(degrees[1]))
        moved = (0, 0)
        if translate is not None:
            reach = [float(share * size) for share, size in zip(translate, img_size, strict=True)]
            moved = tuple(int(round(draw.uniform(-most, most))) for most in reach)
        scale = 1.0 if scale_ranges is None else draw.uniform(*scale_ranges)
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = draw.uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear_y = draw.uniform(shears[2], shears[3])
        return angle, moved, scale, (shear_x, shear_y)

    def forward(self, img):
        _, h, w = dimensions(img)
        parameters = self.get_params(self.degrees, self.translate, self.scale, self.shear, [w, h])
        return functional.affine(
            img, *parameters, interpolation=self.interpolation, fill=fill_for(img, self.fill), center=self.center
        )

    def __repr__(self):
        settings = {"degrees": self.degrees}
        settings |= {
            name: value for name in ("translate", "scale", "shear") if (value := getattr(self, name)) is not None
        }
        if self.interpolation != NEAREST:
            settings["interpolation"] = self.interpolation.value
        if self.fill != 0:
            settings["fill"] = self.fill
        if self.center is not None:
            settings["center"] = self.center
        return self.described(**settings)


class RandomPerspective(Transform):
    """Seen from a random side with probability p; each corner moves by up to `distortion_scale` half sides."""

    def __init__(self, distortion_scale=0.5, p=0.5, interpolation=BILINEAR, fill=0):
        super().__init__()
        self.distortion_scale = distortion_scale
        check_probability(type(self).__name__, p)
        self.p = p
        self.interpolation = interpolation_mode(interpolation)
        self.fill = check_fill(fill)

    @staticmethod
    def get_params(width, height, distortion_scale):
        """(old corners, new corners), clockwise from the top left."""
        dx, dy = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        left, right = (0, dx + 1), (width - dx - 1, width)
        top, bottom = (0, dy + 1), (height - dy - 1, height)
        new = [
            [draw.integer(*xs), draw.integer(*ys)]
            for xs, ys in ((left, top), (right, top), (right, bottom), (left, bottom))
        ]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], new

    def forward(self, img):
        if not draw.chance(self.p):
            return img
        _, h, w = dimensions(img)
        old, new = self.get_params(w, h, self.distortion_scale)
        return functional.perspective(img, old, new, self.interpolation, fill_for(img, self.fill))

    def __repr__(self):
        return self.described(p=self.p)
