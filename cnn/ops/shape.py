"""Shapes: views where the memory allows one, copies where it does not."""

import math
import operator

import numpy as np

from cnn import _cnn, aliases, types
from cnn._cnn import wrap_dim
from cnn.autograd.function import Operation
from cnn.errors import ShapeError, kind_name
from cnn.tensor import Tensor

from ._register import alias, both, function, method
from .broadcasting import broadcast_shape, sum_to_shape


def whole(name, argument, value):
    """value as an int; TypeError for what is none, as 1.5."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}(): argument '{argument}' must be int, not {type(value).__name__}") from None


def distinct_dims(dims, ndim):
    """Several dimensions, counted from the front."""
    dims = tuple(wrap_dim(d, ndim) for d in dims)
    for i, d in enumerate(dims):
        if d in dims[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return dims


def shape_argument(name, args):
    """(2, 3), [2, 3] or Size([2, 3]) given to the function `name` as one argument or as several."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    try:
        return tuple(map(operator.index, args))
    except TypeError:
        raise TypeError(f"{name}(): expected integers, got {tuple(args)!r:.80}") from None


for _name in ("size", "stride"):
    method(_name)(getattr(Tensor, _name))


class View(Operation):
    is_view = True
    forward = staticmethod(_cnn.view_forward)
    backward = staticmethod(_cnn.view_backward)


class Reshape(View):
    is_view = False

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        y = x.reshape(shape)
        return y.copy() if y.base is not None else y

    def name(self):
        return "ReshapeAliasBackward0"


class Permute(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dims):
        ctx.dims = dims
        return x.transpose(dims)

    @staticmethod
    def backward(ctx, dy):
        return dy.transpose(np.argsort(ctx.dims)), None


class Transpose(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim0, dim1):
        ctx.dims = dim0, dim1
        return x.swapaxes(dim0, dim1)

    @staticmethod
    def backward(ctx, dy):
        return dy.swapaxes(*ctx.dims), None, None


class T(Transpose):
    pass


class Unsqueeze(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim = dim
        return np.expand_dims(x, dim)

    @staticmethod
    def backward(ctx, dy):
        return dy.squeeze(ctx.dim), None


class Squeeze(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dims):
        ctx.shape = x.shape
        return x.squeeze(dims)

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


class Expand(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        y = np.broadcast_to(x, shape)
        y.flags.writeable = x.flags.writeable  # operations in place look whether elements share their memory
        return y

    @staticmethod
    def backward(ctx, dy):
        return sum_to_shape(dy, ctx.shape), None


class Unfold(Operation):
    is_view = True

    @staticmethod
    def forward(ctx, x, dim, size, step):
        ctx.shape, ctx.arguments = x.shape, (dim, size, step)
        windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim, writeable=x.flags.writeable)
        index = [slice(None)] * windows.ndim
        index[dim] = slice(None, None, step)
        return windows[tuple(index)]

    @staticmethod
    def backward(ctx, dy):
        dim, size, step = ctx.arguments
        dx = np.zeros(ctx.shape, dy.dtype)
        count = dy.shape[dim]
        for k in range(size if count else 0):
            index = [slice(None)] * dx.ndim
            index[dim] = slice(k, k + step * (count - 1) + 1, step)
            dx[tuple(index)] += dy[..., k]
        return dx, None, None, None


def _reshape_sizes(name, x, shape):
    """`shape` with its -1 worked out."""
    known, unknown = 1, None
    for i, n in enumerate(shape):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n}")
        else:
            known *= n
    size = x._a.size
    if unknown is not None and known and size % known == 0:
        return (*shape[:unknown], size // known, *shape[unknown + 1 :])
    if unknown is not None and known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of {size} elements into shape {list(shape)} because the unspecified dimension size "
            "-1 can be any value and is ambiguous"
        )
    if unknown is not None or known != size:
        raise ShapeError(
            f"shape '{list(shape)}' is invalid for input of size {size}: {name} keeps the number of elements, "
            f"and the input has shape {list(x._a.shape)}"
        )
    return shape


def _can_view(x, shape):
    """Whether the memory of x can be seen in another shape; laid out anew for that where it only seems to lie so."""
    how = _cnn.lies(x._a)
    return how == 0 or (how == 1 or _fits(aliases.apparent(x._a), shape)) and aliases.lay_in_rows(x._a)


def _fits(old, shape):
    """Whether each dimension of a new shape lies within a run of old ones without gaps (torch's computeStride)."""
    if old.size == 0:
        return True
    sizes, steps, rest = old.shape, old.strides, list(shape)
    run, step = 1, steps[-1] if steps else old.itemsize
    for d in range(old.ndim - 1, -1, -1):
        run *= sizes[d]
        if d and (sizes[d - 1] == 1 or steps[d - 1] == run * step):
            continue
        covered = 1
        while rest and (covered < run or rest[-1] == 1):
            covered *= rest.pop()
        if covered != run:
            return False
        run, step = 1, steps[d - 1]
    return all(n == 1 for n in rest)


@method()
def view(self, *size):
    """The same memory in another shape, or seen as another dtype. See torch.Tensor.view."""
    if len(size) == 1 and isinstance(size[0], types.dtype):
        if types.bfloat16 in (self.dtype, size[0]):
            raise NotImplementedError(
                "view(): torch.bfloat16 is not supported: its values lie in float32 here; use .to()"
            )
        aliases.lay_in_rows(self._a)
        new = Tensor._wrap(self._a.view(size[0].numpy))
        new._box = self._version_box()
        return new
    shape = _reshape_sizes("view", self, shape_argument("view", size))
    if not _can_view(self, shape):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
            "two contiguous subspaces). Use .reshape(...) instead."
        )
    return View.apply(self, shape)


@method()
def view_as(self, other):
    """view(other.size()). See torch.Tensor.view_as."""
    return self.view(other.shape)


def reshape_to(x, shape):
    shape = _reshape_sizes("reshape", x, shape)
    return (View if _can_view(x, shape) else Reshape).apply(x, shape)


@method()
def reshape(self, *shape):
    """Another shape: a view where possible, else a copy. See torch.Tensor.reshape."""
    return reshape_to(self, shape_argument("reshape", shape))


def _reshape_function(input, shape):
    """Another shape: a view where possible, else a copy. See torch.reshape."""
    return reshape_to(input, shape_argument("reshape", (shape,) if isinstance(shape, (tuple, list)) else (shape,)))


alias("reshape", _reshape_function, tensor=False)


@method()
def reshape_as(self, other):
    """reshape(other.size()). See torch.Tensor.reshape_as."""
    return self.reshape(other.shape)


@both
def ravel(input):
    """All elements in one dimension. See torch.ravel."""
    return input.contiguous().view(-1)


@both
def unflatten(input, dim, sizes):
    """Split one dimension into several. See torch.unflatten."""
    dim = wrap_dim(dim, input._a.ndim)
    sizes, size = list(sizes), input._a.shape[dim] if input._a.ndim else 1
    if not input._a.ndim:
        raise RuntimeError("unflatten: a 0-d tensor has no dimension to split")
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if sizes.count(-1) == 1:
        i = sizes.index(-1)
        rest = math.prod(sizes[:i] + sizes[i + 1 :])
        sizes[i] = size // rest if rest > 0 and size % rest == 0 else -1
    if min(sizes) < 0 or math.prod(sizes) != size:
        raise RuntimeError(
            f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {dim} ({size}) in the input tensor"
        )
    return input.view(*input._a.shape[:dim], *sizes, *input._a.shape[dim + 1 :])


@method("squeeze")
def _squeeze(self, *dim):
    """Drop dimensions of size 1: all, or of those that are named. See torch.Tensor.squeeze."""
    return squeeze(self, dim[0] if len(dim) == 1 else dim or None)


@function
def squeeze(input, dim=None):
    """Drop dimensions of size 1. See torch.squeeze."""
    shape = input._a.shape
    if dim is None:
        dims = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        wanted = dim if isinstance(dim, (tuple, list)) else (dim,)
        dims = tuple(d for d in distinct_dims(wanted, len(shape)) if shape and shape[d] == 1)
    return Squeeze.apply(input, dims)


@both
def unsqueeze(input, dim):
    """Insert a dimension of size 1. See torch.unsqueeze."""
    return Unsqueeze.apply(input, wrap_dim(dim, input._a.ndim + 1))


@both
def transpose(input, dim0, dim1):
    """Swap two dimensions. See torch.transpose."""
    n = input._a.ndim
    if n == 0:
        wrap_dim(dim0, 0), wrap_dim(dim1, 0)
        return Permute.apply(input, ())
    return Transpose.apply(input, wrap_dim(dim0, n), wrap_dim(dim1, n))


alias("swapdims", transpose)


@both
def swapaxes(input, axis0, axis1):
    """transpose under NumPy's name. See torch.swapaxes."""
    return transpose(input, axis0, axis1)


@both
def t(input):
    """The transpose of a matrix. See torch.t."""
    if input._a.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._a.ndim}D")
    return T.apply(input, 0, 1) if input._a.ndim == 2 else Permute.apply(input, tuple(range(input._a.ndim)))


@method("permute")
def _permute(self, *dims):
    """The dimensions in another order. See torch.Tensor.permute."""
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    n = self._a.ndim
    if len(dims) != n:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(dims)}"
        )
    dims = tuple(wrap_dim(d, n) for d in dims)
    if len(set(dims)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Permute.apply(self, dims)


@function
def permute(input, dims):
    """The dimensions in another order. See torch.permute."""
    return Tensor.permute(input, dims)


Tensor.T = property(lambda self: Permute.apply(self, tuple(range(self._a.ndim))[::-1]))


def _matrices(self):
    """Matrices transposed; a 0-d tensor itself. See torch.Tensor.mT."""
    if not self._a.ndim:
        return self
    if self._a.ndim == 1:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {self._a.ndim}-D tensor."
        )
    return Transpose.apply(self, self._a.ndim - 2, self._a.ndim - 1)


def _matrix(self):
    """A matrix transposed; a 0-d tensor as it is. See torch.Tensor.H."""
    if self._a.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self._a.ndim}-D tensor.")
    return transpose(self, 0, -1)


Tensor.mT = property(_matrices)
Tensor.mH = property(_matrices)
Tensor.H = property(_matrix)


@both
def movedim(input, source, destination):
    """Move dimensions to other places. See torch.movedim."""
    n = input._a.ndim
    src = [wrap_dim(s, n) for s in (source if isinstance(source, (tuple, list)) else [source])]
    dst = [wrap_dim(d, n) for d in (destination if isinstance(destination, (tuple, list)) else [destination])]
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({src} dims) should contain the same number of dims "
            f"as destination ({dst} dims)"
        )
    for name, dims in (("source", src), ("destination", dst)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    if not n:
        return Permute.apply(input, ())
    rest = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        rest.insert(d, s)
    return input.permute(*rest)


alias("moveaxis", movedim)


@method()
def expand(self, *size, implicit=False):
    """A view in which dimensions of size 1 repeat; -1 keeps a size. See torch.Tensor.expand."""
    sizes = shape_argument("expand", size)
    shape = self._a.shape
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{{{list(shape)}}}, size={list(sizes)}): the number of sizes provided "
            f"({len(sizes)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    target = []
    for i, n in enumerate(sizes):
        have = shape[i - lead] if i >= lead else None
        if n == -1 and have is None:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
            )
        n = have if n == -1 else n
        if have not in (None, 1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton "
                f"dimension {i}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(shape)}"
            )
        target.append(n)
    return Expand.apply(self, tuple(target))


@method()
def expand_as(self, other):
    """expand(other.size()). See torch.Tensor.expand_as."""
    return self.expand(other.shape)


@both
def broadcast_to(input, size):
    """expand(size). See torch.broadcast_to."""
    return input.expand(size)


@function
def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape. See torch.broadcast_tensors."""
    shape = broadcast_shape("broadcast_tensors", *[t._a.shape for t in tensors])
    return tuple(t if t._a.shape == shape else t.expand(shape) for t in tensors)


def at_least(n, x):
    return x if x._a.ndim >= n else x.reshape((1,) * (n - x._a.ndim) + x._a.shape)


@method()
def unfold(self, dimension, size, step):
    """All windows of `size` along a dimension, as a new last dimension. See torch.Tensor.unfold."""
    dim = wrap_dim(dimension, self._a.ndim)
    length = self._a.shape[dim] if self._a.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not self._a.ndim:
        return self[None][:size]
    return Unfold.apply(self, dim, size, step)


@function
def atleast_1d(*tensors):
    """See torch.atleast_1d."""
    result = [at_least(1, x) for x in tensors]
    return result[0] if len(result) == 1 else tuple(result)


@function
def meshgrid(*tensors, indexing="ij"):
    """Coordinates of a grid, one tensor per dimension: views of the 1-D tensors. See torch.meshgrid."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"meshgrid(): expected Tensors, got {kind_name(x)}")
        if x._a.ndim > 1:
            raise ShapeError(f"meshgrid: expected 0-D or 1-D tensors, got one of shape {list(x._a.shape)}")
        if x._a.dtype != tensors[0]._a.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    tensors = [at_least(1, x) for x in tensors]
    swapped = indexing == "xy" and len(tensors) > 1
    if swapped:
        tensors[:2] = tensors[1::-1]
    shape, n = [x._a.size for x in tensors], len(tensors)
    grids = [x.reshape((1,) * i + (-1,) + (1,) * (n - 1 - i)).expand(shape) for i, x in enumerate(tensors)]
    if swapped:
        grids[:2] = grids[1::-1]
    return tuple(grids)
