"""Transforms made of transforms. Mirrors torchvision.transforms."""

import random
from collections.abc import Iterable, Iterator, Sequence

from cnn.vision.transforms import draw
from cnn.vision.transforms.base import Transform, check_probability


def _listed(name, transforms, first=()):
    return "\n".join([f"{name}(", *first, *(f"    {transform}" for transform in transforms), ")"])


def checked(name, transforms):
    """The transforms. A TypeError for one in the place of a list, and for a class in the place of a transform."""
    if not isinstance(transforms, Iterable):
        got = type(transforms).__name__
        raise TypeError(f"{name}: transforms must be a list of transforms, got {got}: put it in []")
    if isinstance(transforms, Iterator):
        transforms = list(transforms)  # it can be walked once only
    for transform in transforms:
        if isinstance(transform, type):
            made = f"{transform.__name__}(...)"
            raise TypeError(f"{name}: {transform.__name__} is a class and no transform: make one, {made}")
        if not callable(transform):
            raise TypeError(f"{name}: transforms must be functions or transforms, got {type(transform).__name__}")
    return transforms


class Compose:
    """One transform after the other."""

    def __init__(self, transforms):
        self.transforms = checked(type(self).__name__, transforms)

    def __call__(self, img):
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self):
        return _listed(type(self).__name__, self.transforms)


class Lambda:
    """Any function as a transform. Raises TypeError if it cannot be called."""

    def __init__(self, lambd):
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img):
        return self.lambd(img)

    def __repr__(self):
        return f"{type(self).__name__}()"


class RandomApply(Transform):
    """All of the transforms with probability p, else none."""

    def __init__(self, transforms, p=0.5):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.transforms = checked(type(self).__name__, transforms)
        self.p = p

    def forward(self, img):
        if draw.above(self.p):
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self):
        return _listed(type(self).__name__, self.transforms, [f"    p={self.p}"])


class RandomTransforms:
    """Base of the two below. Their draws come from Python's `random`, as in torchvision."""

    def __init__(self, transforms):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __repr__(self):
        return _listed(type(self).__name__, self.transforms)


class RandomOrder(RandomTransforms):
    """All of the transforms in random order."""

    def __call__(self, img):
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(RandomTransforms):
    """One of the transforms, with weights `p`."""

    def __init__(self, transforms, p=None):
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args):
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self):
        return f"{super().__repr__()}(p={self.p})"
