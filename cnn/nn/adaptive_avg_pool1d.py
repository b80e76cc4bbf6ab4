"""1-d adaptive average pooling: adaptive_avg_pool2d on rows. See
https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html.
"""

from cnn.errors import ShapeError

from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .module import Module
from .sizes import single


def adaptive_avg_pool1d(input, output_size):
    """The means of `output_size` windows that together cover the input: (N, C, L) or (C, L) to (..., output_size)."""
    if input.ndim not in (2, 3):
        raise ShapeError(f"adaptive_avg_pool1d: Expected 2D or 3D input tensor, but got {list(input.shape)}")
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, single(output_size))).squeeze(-2)


class AdaptiveAvgPool1d(Module):
    """adaptive_avg_pool1d as a layer: (N, C, L) to (N, C, output_size)."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        return adaptive_avg_pool1d(input, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"
