"""Hardtanh and ReLU6. See docs/layers/hardtanh.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.Hardtanh.html."""

from cnn import _cnn
from cnn.autograd.function import Operation

from .module import Module
from .sizes import check_tensor


class HardtanhOperation(Operation):
    saves_output_for_input = True

    @staticmethod
    def forward(ctx, x, low, high):
        y = _cnn.hardtanh_forward(x, low, high)
        ctx.saved, ctx.limits = (y,), (low, high)
        return y

    @staticmethod
    def forward_(ctx, x, low, high):
        ctx.saved, ctx.limits = (x,), (low, high)
        return _cnn.hardtanh_forward_(x, low, high)

    @staticmethod
    def backward(ctx, dy):
        return _cnn.hardtanh_backward(dy, *ctx.saved, *ctx.limits), None, None


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x, but not below min_val and not above max_val; any shape. With inplace=True the input itself is changed."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    check_tensor(input, "hardtanh")
    if input._a.dtype.kind in "iub":
        return _of_integers(input, min_val, max_val, inplace)
    apply = HardtanhOperation.apply_ if inplace else HardtanhOperation.apply
    return apply(input, min_val, max_val)


def _of_integers(input, low, high, inplace):
    if input._a.dtype.kind == "b":
        raise RuntimeError("hardtanh: Bool inputs not supported for hardtanh")
    if input._a.dtype.kind == "u" and low < 0:
        raise RuntimeError("hardtanh: cannot do hardtanh on an unsigned type with negative limits")
    return (input.clamp_ if inplace else input.clamp)(int(low), int(high))


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    """hardtanh in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input, inplace=False):
    """min(max(x, 0), 6); any shape. With inplace=True the input itself is changed."""
    return hardtanh(input, 0.0, 6.0, inplace)


class Hardtanh(Module):
    """x, but not below min_val and not above max_val: input and output have the same shape."""

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None):
        super().__init__()
        self.min_val = min_val if min_value is None else min_value  # names of old versions
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be larger than min_val ({self.min_val})")

    def forward(self, input):
        return hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self):
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """min(max(x, 0), 6): input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""
