"""Parameter and Buffer: tensors that a Module recognises when they are assigned to it. Mirrors torch.nn.parameter."""

from cnn.errors import kind_name
from cnn.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that is trained: ``module.weight = Parameter(data)`` makes it appear in ``module.parameters()``.

    It shares memory with `data`. See https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html.
    """

    def __new__(cls, data=None, requires_grad=True):
        self = _share(cls, data)
        if requires_grad and not self.is_floating_point():
            raise RuntimeError(
                f"Only Tensors of floating point and complex dtype can require gradients, got {self.dtype}: "
                "use requires_grad=False"
            )
        return self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo):
        # As in torch, the copy starts without a gradient.
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that belongs to a module without being trained; `persistent` ones are saved with it. See
    torch.nn.Buffer.
    """

    def __new__(cls, data=None, *, persistent=True):
        self = _share(cls, data)
        self.persistent = persistent
        return self


def _share(cls, data):
    """A tensor of class `cls` on the memory of `data`, without its history."""
    if data is None:
        data = Tensor()
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__} data must be a Tensor, got {kind_name(data)}: use cnn.tensor(data) first")
    source = data.detach()
    self = cls._wrap(source._a)
    self._box = source._box
    self._dtype = source._dtype
    return self
