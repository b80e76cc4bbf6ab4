"""SELU: elu with two constants. See docs/layers/elu.md and https://docs.pytorch.org/docs/2.13/generated/torch.nn.SELU.html."""

from .elu import Elu, apply_elu
from .module import Module

# With these, values of mean 0 and variance 1 keep that mean and variance (Klambauer et al. 2017).
ALPHA = 1.6732632423543772848170429916717
SCALE = 1.0507009873554804934193349852946


def selu(input, inplace=False):
    """SCALE * (x where x > 0, ALPHA * (exp(x) - 1) elsewhere); any shape. With inplace=True the input itself is
    changed."""
    return apply_elu(Elu, "selu", input, inplace, ALPHA, SCALE, 1.0)


def selu_(input):
    """selu in place."""
    return selu(input, inplace=True)


class SELU(Module):
    """SCALE * (x where x > 0, ALPHA * (exp(x) - 1) elsewhere): input and output have the same shape."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return selu(input, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""
