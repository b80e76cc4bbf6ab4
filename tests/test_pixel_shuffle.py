"""pixel_shuffle, pixel_unshuffle, channel_shuffle."""

import numpy as np
import pytest
from harness import check_against_torch, check_exact, check_gradients, needs_torch, rng, torch

import cnn
from cnn import nn
from cnn.nn import functional as F

CASES = [((2, 12, 3, 4), 2), ((9, 2, 3), 3), ((2, 3, 4, 5, 6), 1), ((0, 4, 2, 2), 2)]


def shuffled(x, r):
    """The definition: output pixel (h, w) takes channel c*r*r + (h % r)*r + w % r at (h // r, w // r)."""
    *batch, channels, height, width = x.shape
    y = np.empty((*batch, channels // r**2, height * r, width * r), x.dtype)
    for c, h, w in np.ndindex(y.shape[-3:]):
        y[..., c, h, w] = x[..., c * r * r + (h % r) * r + w % r, h // r, w // r]
    return y


@pytest.mark.parametrize(("shape", "r"), CASES)
def test_exact(shape, r):
    x = rng(1).integers(-9, 10, shape)
    check_exact(lambda x: F.pixel_shuffle(cnn.from_numpy(x), r), shuffled(x, r), x)
    check_exact(lambda x: F.pixel_unshuffle(cnn.from_numpy(x), r), x, shuffled(x, r))


@needs_torch
@pytest.mark.parametrize(("shape", "r"), CASES[:3])
def test_torch(shape, r):
    x = rng(2).standard_normal(shape)
    check_against_torch(nn.PixelShuffle(r), torch.nn.PixelShuffle(r), x)
    check_against_torch(nn.PixelUnshuffle(r), torch.nn.PixelUnshuffle(r), shuffled(x, r))
    check_gradients(lambda x: F.pixel_shuffle(x, r), x)


@needs_torch
@pytest.mark.parametrize(("shape", "groups"), [((2, 6, 3, 4), 3), ((1, 4, 5), 2), ((2, 5, 3, 3), 5)])
def test_channel_shuffle(shape, groups):
    check_against_torch(nn.ChannelShuffle(groups), torch.nn.ChannelShuffle(groups), rng(3).standard_normal(shape))


def test_repr():
    assert repr(nn.PixelShuffle(2)) == "PixelShuffle(upscale_factor=2)"
    assert repr(nn.PixelUnshuffle(3)) == "PixelUnshuffle(downscale_factor=3)"
    assert repr(nn.ChannelShuffle(3)) == "ChannelShuffle(groups=3)"


@pytest.mark.parametrize(
    ("function", "shape", "argument", "message"),
    [
        (F.pixel_shuffle, (1, 6, 2, 2), 2, r"input.size\(-3\)=6 is not divisible by 4"),
        (F.pixel_shuffle, (2, 2), 2, "at least 3 dimensions"),
        (F.pixel_shuffle, (1, 4, 2, 2), 0, "positive upscale_factor"),
        (F.pixel_unshuffle, (1, 6, 3, 2), 2, r"height to be divisible by downscale_factor, but input.size\(-2\)=3"),
        (F.pixel_unshuffle, (1, 6, 2, 3), 2, "width"),
        (F.pixel_unshuffle, (1, 6, 2, 2), -1, "positive downscale_factor"),
        (F.channel_shuffle, (1, 5, 2), 2, "Got 5 channels and 2 groups"),
        (F.channel_shuffle, (1, 5), 1, "> 2 dims"),
    ],
)
def test_mistakes(function, shape, argument, message):
    with pytest.raises(ValueError, match=message):
        function(cnn.zeros(*shape), argument)
