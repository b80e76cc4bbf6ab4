"""1-d convolution, as a 2-d one of height 1. See docs/layers/conv2d.md and
https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html."""

import operator

from cnn.errors import ShapeError

from .conv2d import _Conv, conv2d, geometry_of
from .pad import pad
from .sizes import check_floating, whole


def _single(value, layer, name):
    """`value`, an int or a sequence of one, as a tuple of one int."""
    try:
        values = (operator.index(value),) if not isinstance(value, (tuple, list)) else tuple(map(operator.index, value))
    except TypeError:
        values = ()
    if len(values) != 1:
        raise TypeError(f"{layer}: {name} must be an int or a tuple of one, got {value!r:.80}")
    return values


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv2d along one axis: input (N, C, L) or (C, L), weight (OC, C/groups, K), bias (OC) or None;
    result (N, OC, OL) or (OC, OL), with OL = floor((L + 2*padding - dilation*(K-1) - 1) / stride) + 1.

    padding is an int, 'valid' or 'same'. Raises ShapeError and DTypeError as conv2d does.
    """
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise ShapeError(
            "conv1d: expected input (N, C, L) or (C, L) and weight (OC, C/groups, K), got input "
            f"{tuple(input.shape)} and weight {tuple(weight.shape)}"
        )
    check_floating(input, "conv1d")
    groups = whole(groups, "conv1d", "groups")
    channels, expected = input.shape[-2], weight.shape[1] * groups
    if channels != expected:
        raise ShapeError(
            f"conv1d: given groups={groups} and weight of shape {tuple(weight.shape)}, expected input "
            f"{tuple(input.shape)} to have {expected} channels, but got {channels} channels instead"
        )
    (stride,), (dilation,) = _single(stride, "conv1d", "stride"), _single(dilation, "conv1d", "dilation")
    if not isinstance(padding, str):
        padding = (0, *_single(padding, "conv1d", "padding"))
    output = conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, stride), padding, (1, dilation), groups)
    return output.squeeze(-2)


class Conv1d(_Conv):
    """conv1d with a weight (out_channels, in_channels/groups, K) and a bias (out_channels) of its own, as Conv2d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        kernel_size = _single(kernel_size, "Conv1d", "kernel_size")
        stride, dilation = _single(stride, "Conv1d", "stride"), _single(dilation, "Conv1d", "dilation")
        padding = padding if isinstance(padding, str) else _single(padding, "Conv1d", "padding")
        geometry_of((1, *kernel_size), (1, *stride), padding, (1, *dilation), groups)
        sizes = (kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, device, dtype)

    def forward(self, input):
        if self.padding_mode == "zeros":
            return conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        sides = geometry_of((1, *self.kernel_size), (1, *self.stride), self.padding, (1, *self.dilation), 1)
        padded = pad(input, sides[4:6], mode=self.padding_mode)
        return conv1d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
