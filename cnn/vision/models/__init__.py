"""Well-known networks with torchvision's names, parameters and state_dict keys. They come untrained.

`resnet18(weights=...)` refuses: pretrained weights are not part of this package. A file of them, saved from torchvision
as a state_dict, can be loaded with `load_state_dict(cnn.load(file))`.
"""

from cnn.vision.models.alexnet import AlexNet, alexnet
from cnn.vision.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    wide_resnet50_2,
)
from cnn.vision.models.vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "VGG",
    "AlexNet",
    "ResNet",
    "alexnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
]


def __getattr__(name):
    if name.endswith("_Weights"):  # only to be passed on to a constructor, which refuses it
        return type(
            name, (), {version: f"{name}.{version}" for version in ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2")}
        )
    networks = ", ".join(network for network in __all__ if network.islower())
    raise AttributeError(f"cnn.vision.models has no {name!r}; it has {networks}")
