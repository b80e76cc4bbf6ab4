"""What scripts use of torchvision: data sets, transforms, grids of images, and the shapes of well-known networks."""

from cnn.vision import datasets, models, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]
