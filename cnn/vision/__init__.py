"""What scripts use of torchvision: data sets, transforms, grids of images, and the shapes of well-known networks."""

from cnn.vision import datasets, transforms, utils

__all__ = ["datasets", "transforms", "utils"]
