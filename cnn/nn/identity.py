"""Identity. See https://docs.pytorch.org/docs/stable/generated/torch.nn.Identity.html."""

from .module import Module

__all__ = ["Identity"]


class Identity(Module):
    """Returns its input. Takes any arguments, so that it can stand where another layer was."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input):
        return input
