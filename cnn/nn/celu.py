"""CELU: elu whose slope is 1 at 0 for every alpha. See docs/layers/elu.md and
https://docs.pytorch.org/docs/2.13/generated/torch.nn.CELU.html."""

from .elu import Elu, apply_elu
from .module import Module


class Celu(Elu):
    """elu under the name that grad_fn shows."""


def celu(input, alpha=1.0, inplace=False):
    """x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere; any shape. With inplace=True the input itself is
    changed."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return apply_elu(Celu, "celu", input, inplace, alpha, 1.0, 1.0 / alpha)


def celu_(input, alpha=1.0):
    """celu in place."""
    return celu(input, alpha, inplace=True)


class CELU(Module):
    """x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere: input and output have the same shape."""

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return celu(input, self.alpha, self.inplace)

    def extra_repr(self):
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")
