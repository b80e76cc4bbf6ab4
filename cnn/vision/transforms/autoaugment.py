"""Learned and random sequences of transforms. Mirrors torchvision.transforms."""

import math
from enum import Enum

import numpy as np

import cnn
from cnn.vision.transforms import draw, functional
from cnn.vision.transforms.base import Transform, fill_for
from cnn.vision.transforms.image import InterpolationMode, dimensions

NEAREST = InterpolationMode.NEAREST


class AutoAugmentPolicy(Enum):
    """The data set that a policy was learned on."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


def _moved(x=0, y=0, shear_x=0.0, shear_y=0.0, center=None):
    """An affine operation of torchvision's set, from the magnitude's effect on each parameter."""

    def operation(img, interpolation, fill):
        shear = [math.degrees(math.atan(shear_x)), math.degrees(math.atan(shear_y))]
        return functional.affine(img, 0.0, [int(x), int(y)], 1.0, shear, interpolation, fill, center)

    return operation


# name: what it does to (img, magnitude, interpolation, fill)
OPERATIONS = {
    "Identity": lambda img, m, mode, fill: img,
    "ShearX": lambda img, m, mode, fill: _moved(shear_x=m, center=[0, 0])(img, mode, fill),
    "ShearY": lambda img, m, mode, fill: _moved(shear_y=m, center=[0, 0])(img, mode, fill),
    "TranslateX": lambda img, m, mode, fill: _moved(x=m)(img, mode, fill),
    "TranslateY": lambda img, m, mode, fill: _moved(y=m)(img, mode, fill),
    "Rotate": lambda img, m, mode, fill: functional.rotate(img, m, mode, fill=fill),
    "Brightness": lambda img, m, mode, fill: functional.adjust_brightness(img, 1.0 + m),
    "Color": lambda img, m, mode, fill: functional.adjust_saturation(img, 1.0 + m),
    "Contrast": lambda img, m, mode, fill: functional.adjust_contrast(img, 1.0 + m),
    "Sharpness": lambda img, m, mode, fill: functional.adjust_sharpness(img, 1.0 + m),
    "Posterize": lambda img, m, mode, fill: functional.posterize(img, int(m)),
    "Solarize": lambda img, m, mode, fill: functional.solarize(img, m),
    "AutoContrast": lambda img, m, mode, fill: functional.autocontrast(img),
    "Equalize": lambda img, m, mode, fill: functional.equalize(img),
    "Invert": lambda img, m, mode, fill: functional.invert(img),
}


def _magnitudes(bins, shear, shift_x, shift_y, angle, colour, bits):
    """{name: (values or None, may the sign be turned?)}, from the largest values."""

    def up_to(largest):  # torch.linspace, whose last bit depends on the processor
        return np.linspace(0.0, largest, bins, dtype=np.float32)

    return {
        "ShearX": (up_to(shear), True),
        "ShearY": (up_to(shear), True),
        "TranslateX": (up_to(shift_x), True),
        "TranslateY": (up_to(shift_y), True),
        "Rotate": (up_to(angle), True),
        "Brightness": (up_to(colour), True),
        "Color": (up_to(colour), True),
        "Contrast": (up_to(colour), True),
        "Sharpness": (up_to(colour), True),
        "Posterize": (8 - np.rint(np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / bits)), False),
        "Solarize": (up_to(255.0)[::-1], False),
        "AutoContrast": (None, False),
        "Equalize": (None, False),
    }


def _relative(bins, h, w):
    """Magnitudes of AutoAugment and RandAugment: shifts in proportion to the image."""
    return _magnitudes(bins, 0.3, 150.0 / 331.0 * w, 150.0 / 331.0 * h, 30.0, 0.9, 4)


# Pairs of (operation, probability, magnitude): the appendix of the paper, in the form of its published code.
POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 0.4 8, Rotate 0.6 9; Solarize 0.6 5, AutoContrast 0.6 -; Equalize 0.8 -, Equalize 0.6 -;
        Posterize 0.6 7, Posterize 0.6 6; Equalize 0.4 -, Solarize 0.2 4; Equalize 0.4 -, Rotate 0.8 8;
        Solarize 0.6 3, Equalize 0.6 -; Posterize 0.8 5, Equalize 1.0 -; Rotate 0.2 3, Solarize 0.6 8;
        Equalize 0.6 -, Posterize 0.4 6; Rotate 0.8 8, Color 0.4 0; Rotate 0.4 9, Equalize 0.6 -;
        Equalize 0.0 -, Equalize 0.8 -; Invert 0.6 -, Equalize 1.0 -; Color 0.6 4, Contrast 1.0 8;
        Rotate 0.8 8, Color 1.0 2; Color 0.8 8, Solarize 0.8 7; Sharpness 0.4 7, Invert 0.6 -;
        ShearX 0.6 5, Equalize 1.0 -; Color 0.4 0, Equalize 0.6 -; Equalize 0.4 -, Solarize 0.2 4;
        Solarize 0.6 5, AutoContrast 0.6 -; Invert 0.6 -, Equalize 1.0 -; Color 0.6 4, Contrast 1.0 8;
        Equalize 0.8 -, Equalize 0.6 -""",
    AutoAugmentPolicy.CIFAR10: """
        Invert 0.1 -, Contrast 0.2 6; Rotate 0.7 2, TranslateX 0.3 9; Sharpness 0.8 1, Sharpness 0.9 3;
        ShearY 0.5 8, TranslateY 0.7 9; AutoContrast 0.5 -, Equalize 0.9 -; ShearY 0.2 7, Posterize 0.3 7;
        Color 0.4 3, Brightness 0.6 7; Sharpness 0.3 9, Brightness 0.7 9; Equalize 0.6 -, Equalize 0.5 -;
        Contrast 0.6 7, Sharpness 0.6 5; Color 0.7 7, TranslateX 0.5 8; Equalize 0.3 -, AutoContrast 0.4 -;
        TranslateY 0.4 3, Sharpness 0.2 6; Brightness 0.9 6, Color 0.2 8; Solarize 0.5 2, Invert 0.0 -;
        Equalize 0.2 -, AutoContrast 0.6 -; Equalize 0.2 -, Equalize 0.6 -; Color 0.9 9, Equalize 0.6 -;
        AutoContrast 0.8 -, Solarize 0.2 8; Brightness 0.1 3, Color 0.7 0; Solarize 0.4 5, AutoContrast 0.9 -;
        TranslateY 0.9 9, TranslateY 0.7 9; AutoContrast 0.9 -, Solarize 0.8 3; Equalize 0.8 -, Invert 0.1 -;
        TranslateY 0.7 9, AutoContrast 0.9 -""",
    AutoAugmentPolicy.SVHN: """
        ShearX 0.9 4, Invert 0.2 -; ShearY 0.9 8, Invert 0.7 -; Equalize 0.6 -, Solarize 0.6 6;
        Invert 0.9 -, Equalize 0.6 -; Equalize 0.6 -, Rotate 0.9 3; ShearX 0.9 4, AutoContrast 0.8 -;
        ShearY 0.9 8, Invert 0.4 -; ShearY 0.9 5, Solarize 0.2 6; Invert 0.9 -, AutoContrast 0.8 -;
        Equalize 0.6 -, Rotate 0.9 3; ShearX 0.9 4, Solarize 0.3 3; ShearY 0.8 8, Invert 0.7 -;
        Equalize 0.9 -, TranslateY 0.6 6; Invert 0.9 -, Equalize 0.6 -; Contrast 0.3 3, Rotate 0.8 4;
        Invert 0.8 -, TranslateY 0.0 2; ShearY 0.7 6, Solarize 0.4 8; Invert 0.6 -, Rotate 0.8 4;
        ShearY 0.3 7, TranslateX 0.9 3; ShearX 0.1 6, Invert 0.6 -; Solarize 0.7 2, TranslateY 0.6 7;
        ShearY 0.8 4, Invert 0.8 -; ShearX 0.7 9, TranslateY 0.8 3; ShearY 0.8 5, AutoContrast 0.7 -;
        ShearX 0.7 2, Invert 0.1 -""",
}


def _parsed(policy):
    def step(text):
        name, p, magnitude = text.split()
        return name, float(p), None if magnitude == "-" else int(magnitude)

    return [tuple(step(text) for text in pair.split(",")) for pair in policy.split(";")]


class AutoAugment(Transform):
    """One of 25 learned pairs of operations.

    Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2018.
    Images: Pillow L or RGB, or uint8 tensors with 1 or 3 channels.
    """

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation=NEAREST, fill=None):
        super().__init__()
        if policy not in POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.interpolation = interpolation
        self.fill = fill
        self.policies = _parsed(POLICIES[policy])

    @staticmethod
    def get_params(transform_num):
        """(number of the pair, two probabilities, two signs), at random."""
        return draw.integer(0, transform_num), cnn.rand((2,)), cnn.randint(2, (2,))

    def forward(self, img):
        which, chances, signs = self.get_params(len(self.policies))
        _, h, w = dimensions(img)
        magnitudes = _relative(10, h, w) | {"Invert": (None, False)}
        for i, (name, p, level) in enumerate(self.policies[which]):
            if chances._a[i] <= np.float32(p):
                values, signed = magnitudes[name]
                magnitude = 0.0 if level is None else float(values[level])
                if signed and signs._a[i] == 0:
                    magnitude = -magnitude
                img = OPERATIONS[name](img, magnitude, self.interpolation, fill_for(img, self.fill))
        return img

    def __repr__(self):
        return self.described(policy=self.policy, fill=self.fill)


class RandAugment(Transform):
    """`num_ops` random operations of one magnitude.

    Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2019.
    """

    def __init__(self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation=NEAREST, fill=None):
        super().__init__()
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img):
        _, h, w = dimensions(img)
        magnitudes = {"Identity": (None, False)} | _relative(self.num_magnitude_bins, h, w)
        for _ in range(self.num_ops):
            name = list(magnitudes)[draw.integer(0, len(magnitudes))]
            values, signed = magnitudes[name]
            magnitude = 0.0 if values is None else float(values[self.magnitude])
            if signed and draw.integer(0, 2):
                magnitude = -magnitude
            img = OPERATIONS[name](img, magnitude, self.interpolation, fill_for(img, self.fill))
        return img

    def __repr__(self):
        names = ("num_ops", "magnitude", "num_magnitude_bins", "interpolation", "fill")
        return self.described(**{name: getattr(self, name) for name in names})


class TrivialAugmentWide(Transform):
    """One random operation of random magnitude.

    Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021.
    """

    def __init__(self, num_magnitude_bins=31, interpolation=NEAREST, fill=None):
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img):
        magnitudes = {"Identity": (None, False)} | _magnitudes(
            self.num_magnitude_bins, 0.99, 32.0, 32.0, 135.0, 0.99, 6
        )
        name = list(magnitudes)[draw.integer(0, len(magnitudes))]
        values, signed = magnitudes[name]
        magnitude = 0.0 if values is None else float(values[draw.integer(0, len(values))])
        if signed and draw.integer(0, 2):
            magnitude = -magnitude
        return OPERATIONS[name](img, magnitude, self.interpolation, fill_for(img, self.fill))

    def __repr__(self):
        names = ("num_magnitude_bins", "interpolation", "fill")
        return self.described(**{name: getattr(self, name) for name in names})
