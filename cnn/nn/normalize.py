"""Vectors of length one, and the angle between vectors. See
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html."""

from cnn.autograd import no_grad
from cnn.ops.broadcasting import broadcast_shape
from cnn.ops.conversion import to_type
from cnn.ops.promotion import promote, title
from cnn.types import of_numpy

from .module import Module
from .sizes import check_tensor

__all__ = ["CosineSimilarity", "cosine_similarity", "normalize"]


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """x / max(||x||_p, eps) along `dim`; the shape stays."""
    check_tensor(input, "normalize")
    return input / input.norm(p, dim, keepdim=True).clamp_min(eps)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along `dim`, which disappears; shapes are broadcast."""
    check_tensor(x1, "cosine_similarity")
    check_tensor(x2, "cosine_similarity")
    kind = promote(x1, x2)
    if kind.kind != "f":
        raise RuntimeError(
            f"cosine_similarity(): expected common dtype to be floating point, yet common dtype is {title(kind)}"
        )
    shape = broadcast_shape("cosine_similarity", x1.shape, x2.shape)
    first, second = (to_type(x, of_numpy(kind)).expand(shape) for x in (x1, x2))
    return (_unit(first, dim, eps) * _unit(second, dim, eps)).sum(dim)


def _unit(x, dim, eps):
    norm = x.norm(2, dim, keepdim=True).clone()
    with no_grad():
        norm.clamp_min_(eps)  # the gradient goes through the norm as it was
    return x / norm


class CosineSimilarity(Module):
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along `dim`."""

    def __init__(self, dim=1, eps=1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1, x2):
        return cosine_similarity(x1, x2, self.dim, self.eps)
