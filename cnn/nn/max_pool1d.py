"""1-d max pooling: max_pool2d on rows. See https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html."""

from cnn.errors import ShapeError

from .max_pool2d import _MaxPool, max_pool2d
from .sizes import single


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value of each window: (N, C, L) or (C, L) to (..., OL). See max_pool2d."""
    if input.ndim not in (2, 3):
        raise ShapeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:"
            f"{list(input.shape)}"
        )
    steps = None if stride is None else (1, single(stride))
    row = input.unsqueeze(-2)
    result = max_pool2d(
        row, (1, single(kernel_size)), steps, (0, single(padding)), (1, single(dilation)), ceil_mode, return_indices
    )
    if return_indices:
        return result[0].squeeze(-2), result[1].squeeze(-2)
    return result.squeeze(-2)


def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """max_pool1d with return_indices=True, whatever is said here (as in torch)."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)


class MaxPool1d(_MaxPool):
    """max_pool1d as a layer: (N, C, L) to (N, C, OL)."""

    def forward(self, input):
        return max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )
