"""Every function of nn.functional with inputs it accepts: what test_properties_empty and _special_values run through.

A call takes `F` first, which is cnn's nn.functional or torch's, then tensors. An array is described by its shape, in
which "N" is the batch, and a letter for its values:

    f  any numbers                    c  class numbers 0..4 (no gradient)
    u  numbers in 0..1                s  numbers over 0 that are changed in place (no gradient)
"""

import warnings

import numpy as np

LAYERS = {}  # name -> (call, descriptions of its arrays)


def layer(name, call, *arrays):
    LAYERS[name] = call, arrays


def layers(names, *arrays, **options):
    """Functions that need nothing but their arrays (and perhaps some constants)."""
    for name in names.split():
        layer(name, lambda F, *xs, name=name, **more: getattr(F, name)(*xs, **options, **more), *arrays)


IMAGE = "f N 4 6 5"

layers(
    "relu relu6 sigmoid tanh silu selu elu celu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid softplus",
    IMAGE,
)
for name in ("relu_", "selu_", "elu_", "celu_", "leaky_relu_", "hardtanh_"):
    layer(name, lambda F, x, name=name: getattr(F, name)(x * 1), IMAGE)
layers("prelu", IMAGE, "f 4")
layers("softmax log_softmax normalize", IMAGE, dim=1)
layers("cosine_similarity", "f N 5", "f N 5")
layers("dropout dropout2d", IMAGE, p=0.5)
layers("dropout1d", "f N 4 6", p=0.5)
layers("dropout3d", "f N 4 3 2 2", p=0.5)

layer("linear", lambda F, x, w, b: F.linear(x, w, b), "f N 6", "f 5 6", "f 5")
layer("conv1d", lambda F, x, w, b: F.conv1d(x, w, b), "f N 4 7", "f 6 4 3", "f 6")
layer("conv2d", lambda F, x, w, b: F.conv2d(x, w, b), IMAGE, "f 6 4 3 3", "f 6")
layer("conv_transpose2d", lambda F, x, w, b: F.conv_transpose2d(x, w, b, stride=2), IMAGE, "f 4 3 3 2", "f 3")

layers("max_pool2d avg_pool2d max_pool2d_with_indices", IMAGE, kernel_size=2)
layers("max_pool1d avg_pool1d max_pool1d_with_indices", "f N 4 7", kernel_size=2)
layers("adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool2d_with_indices", IMAGE, output_size=(3, 2))
layers("adaptive_avg_pool1d", "f N 4 7", output_size=3)
layers("unfold", IMAGE, kernel_size=3)
layers("fold", "f N 36 12", output_size=(6, 5), kernel_size=3)
layers("pixel_shuffle", IMAGE, upscale_factor=2)
layers("pixel_unshuffle", "f N 4 6 4", downscale_factor=2)
layers("channel_shuffle", IMAGE, groups=2)
layers("pad", IMAGE, pad=(1, 2, 0, 1), mode="reflect")
layers("interpolate upsample", IMAGE, size=(7, 9), mode="bilinear")

layer(
    "batch_norm",
    lambda F, x, m, v, w, b: F.batch_norm(x, m, v, w, b, training=True),
    IMAGE,
    "s 4",
    "s 4",
    "f 4",
    "f 4",
)
layer("group_norm", lambda F, x, w, b: F.group_norm(x, 2, w, b), IMAGE, "f 4", "f 4")
layer("layer_norm", lambda F, x, w, b: F.layer_norm(x, (6, 5), w, b), IMAGE, "f 6 5", "f 6 5")

layers("l1_loss mse_loss smooth_l1_loss huber_loss", IMAGE, IMAGE)
layers("kl_div", IMAGE, "u N 4 6 5")
layers("binary_cross_entropy", "u N 4 6 5", "u N 4 6 5")
layers("binary_cross_entropy_with_logits", IMAGE, "u N 4 6 5")
layers("cross_entropy nll_loss", "f N 5 3", "c N 3")
layers("one_hot", "c N 3", num_classes=5)

LOSSES = [name for name in LAYERS if "loss" in name or "entropy" in name or name == "kl_div"]


def shapes(name, batch):
    """(letter, shape, whether its first dimension is the batch) for each array of a layer."""
    for text in LAYERS[name][1]:
        letter, *sizes = text.split()
        yield letter, tuple(batch if s == "N" else int(s) for s in sizes), sizes[0] == "N"


def values(random, letter, shape):
    if letter == "c":
        return random.integers(0, 5, shape)
    return random.standard_normal(shape) if letter == "f" else random.random(shape) * 0.9 + 0.05


def call(name, F, *tensors, **options):
    """The layer's result, or the first of its results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # upsample is old; torch warns about reduction="mean" in kl_div
        result = LAYERS[name][0](F, *tensors, **options)
    return result[0] if isinstance(result, tuple) else result


def arrays(name, batch, seed=0, kind=np.float32):
    random = np.random.default_rng(seed)
    made = [(letter, values(random, letter, shape)) for letter, shape, _ in shapes(name, batch)]
    return [a if letter == "c" else np.asarray(a, kind) for letter, a in made]
