"""LeakyReLU. See docs/layers/leaky_relu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.LeakyReLU.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module


class LeakyRelu(Operation):
    """Backward needs only the sign of x, which y shows as long as the slope is not negative: then x is not kept."""

    saves_output_for_input = True

    @staticmethod
    def forward(ctx, x, slope):
        y = _cnn.leaky_relu_forward(x, slope)
        ctx.saved, ctx.slope = (y if slope >= 0 else x,), slope
        return y

    @staticmethod
    def forward_(ctx, x, slope):
        ctx.saved, ctx.slope = (x,), slope
        return _cnn.leaky_relu_forward_(x, slope)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.leaky_relu_backward(dy, *ctx.saved, ctx.slope), None


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where x > 0, negative_slope * x elsewhere; any shape. With inplace=True the input itself is changed."""
    if not inplace:
        return LeakyRelu.apply(input, negative_slope)
    if negative_slope < 0 and input.requires_grad:
        raise RuntimeError(
            f"leaky_relu: inplace=True needs a negative_slope of at least 0 for its gradient, got {negative_slope}"
        )
    return LeakyRelu.apply_(input, negative_slope)


def leaky_relu_(input, negative_slope=0.01):
    """leaky_relu in place."""
    return leaky_relu(input, negative_slope, inplace=True)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere: input and output have the same shape."""

    def __init__(self, negative_slope=1e-2, inplace=False):
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input):
        return leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self):
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")
