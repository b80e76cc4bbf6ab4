"""Why a run learns nothing: the place of the first number that is not finite, and networks that only guess."""

import math

import numpy as np

import cnn

__all__ = ["TrainingStopped", "is_guessing", "not_finite"]


class TrainingStopped(RuntimeError):
    """Training has been given up: the text says what happened and what to change."""


def is_guessing(accuracy, loss, classes):
    """Is neither accuracy nor cross-entropy visibly better than the same scores for every image would be?

    Args:
        accuracy, loss: means over an epoch.
        classes: how many there are to guess from.

    Example:
        >>> is_guessing(accuracy=0.11, loss=2.302, classes=10)
        True
    """
    return classes > 1 and accuracy < 1.25 / classes and loss > 0.99 * math.log(classes)


def not_finite(net, x):
    """Where the first number that is not finite stands: a weight, the input, or a layer's output.

    Args:
        net: a Module; its forward pass is run once more, with hooks that are taken away behind it.
        x: a batch of its inputs.

    Returns:
        A text such as 'conv1.weight is not finite'.

    Example:
        if not math.isfinite(loss.item()):
            print(training.not_finite(net, x))
    """
    for name, weight in net.named_parameters():
        if not _finite(weight):
            return f"{name} is not finite"
    if not _finite(x):
        return "the input is not finite"
    found = []
    layers = [(name, layer) for name, layer in net.named_modules() if not list(layer.children())]
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, y, name=name: None if _finite(y) else found.append(name))
        for name, layer in layers
    ]
    try:
        with cnn.no_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return f"{(found + ['the loss'])[0]} gives values that are not finite"


def _finite(tensor):
    return np.isfinite(tensor.detach().numpy()).all()
