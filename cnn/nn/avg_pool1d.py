"""1-d average pooling: avg_pool2d on rows. See https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html."""

from cnn.errors import ShapeError

from .avg_pool2d import avg_pool2d
from .module import Module
from .sizes import check_floating, single


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window: (N, C, L) or (C, L) to (..., OL). See avg_pool2d."""
    if input.ndim not in (2, 3):
        raise ShapeError(f"avg_pool1d: Expected 2D or 3D input tensor, but got {list(input.shape)}")
    check_floating(input, "avg_pool1d")
    steps = None if stride is None else (1, single(stride))
    window = (1, single(kernel_size))
    return avg_pool2d(input.unsqueeze(-2), window, steps, (0, single(padding)), ceil_mode, count_include_pad).squeeze(
        -2
    )


class AvgPool1d(Module):
    """avg_pool1d as a layer: (N, C, L) to (N, C, OL)."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__()
        self.kernel_size = (single(kernel_size),)
        self.stride = (single(stride if stride is not None else kernel_size),)
        self.padding = (single(padding),)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input):
        return avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
