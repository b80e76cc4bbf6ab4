"""Trading channels for resolution. See https://docs.pytorch.org/docs/stable/generated/torch.nn.PixelShuffle.html.

Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network
(2016).
"""

import math

from cnn.errors import ShapeError

from .module import Module
from .sizes import whole

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle", "channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _image_dimensions(name, input):
    if input.dim() < 3:
        raise ShapeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    return input.shape[:-3], *input.shape[-3:]


def pixel_shuffle(input, upscale_factor):
    """(*, C r^2, H, W) to (*, C, H r, W r): r^2 channels become r x r pixels."""
    r = whole(upscale_factor, "pixel_shuffle", "upscale_factor")
    batch, channels, height, width = _image_dimensions("pixel_shuffle", input)
    if r <= 0:
        raise ValueError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if channels % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    split = input.reshape(math.prod(batch), channels // (r * r), r, r, height, width)
    return split.permute(0, 1, 4, 2, 5, 3).reshape(*batch, channels // (r * r), height * r, width * r)


def pixel_unshuffle(input, downscale_factor):
    """(*, C, H r, W r) to (*, C r^2, H, W): the opposite of pixel_shuffle."""
    r = whole(downscale_factor, "pixel_unshuffle", "downscale_factor")
    batch, channels, height, width = _image_dimensions("pixel_unshuffle", input)
    if r <= 0:
        raise ValueError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    for name, axis, n in (("height", -2, height), ("width", -1, width)):
        if n % r:
            raise ShapeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({axis})={n} is "
                f"not divisible by {r}"
            )
    if 0 in (channels, height, width):  # torch leaves such a shape as it is
        return input.clone()
    split = input.reshape(math.prod(batch), channels, height // r, r, width // r, r)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(*batch, channels * r * r, height // r, width // r)


def channel_shuffle(input, groups):
    """(N, C, *): the channels of each group are dealt out in turn, as ShuffleNet does between grouped convolutions."""
    if input.dim() < 3:
        raise ShapeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    groups = whole(groups, "channel_shuffle", "groups")
    batch, channels, *rest = input.shape
    if groups <= 0 or channels % groups:
        raise ShapeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    return input.reshape(batch, groups, channels // groups, *rest).transpose(1, 2).reshape(batch, channels, *rest)


class PixelShuffle(Module):
    """(*, C r^2, H, W) to (*, C, H r, W r)."""

    def __init__(self, upscale_factor):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input):
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self):
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(*, C, H r, W r) to (*, C r^2, H, W)."""

    def __init__(self, downscale_factor):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input):
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self):
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """(N, C, *): the channels of each group are dealt out in turn."""

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, input):
        return channel_shuffle(input, self.groups)

    def extra_repr(self):
        return f"groups={self.groups}"
