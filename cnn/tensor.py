"""`Tensor`: a NumPy array with a place in the graph. See docs/architecture.md, "Tensor", and torch.Tensor.

The array is `_a`, always. It and what else every call looks at are fields of a type in C (csrc/binding/tape.h), so that
making a tensor costs an object and nothing more. The rest has a default on the class. Methods that compute are added by
cnn/ops under the same names: `x.exp()` is `cnn.exp(x)`.

Views share memory, and with it the version counter: a list with one number, made when first needed. A view that was
made from another tensor remembers the tensor at the bottom (`_base`) and the chain of view operations that leads from
there to it (`_view`): after the base or another view was changed in place, the view's own history is made anew.
"""

import numpy as np

from cnn import _cnn, aliases, types
from cnn.errors import DTypeError, ShapeError, kind_name

__all__ = ["Tensor", "is_tensor"]


class Tensor(_cnn.Tensor):
    """A multi-dimensional array of one data type, which operations can trace back for gradients.

    `Tensor(2, 3)` is a tensor of that shape, uninitialised; `Tensor([1, 2])` holds that data in the default type.
    Prefer `cnn.tensor(data)`, which keeps the type of the data.
    """

    # In C: _requires_grad; _node, what made it, None for a leaf; _output, which of the node's outputs it is; _box,
    # [version], shared with views; _base, _view and _view_version, of a view; _grad; _grad_hooks, of a leaf, on the
    # complete gradient; _accumulate_hooks, of a leaf, after .grad was updated; _pending or _gradient, which gives an
    # array that waits (nn/fusion.py).
    _keeps_grad = False
    name = None
    names = property(lambda self: (None,) * self._a.ndim)

    __array_priority__ = 1000
    is_sparse = is_quantized = is_nested = is_mkldnn = is_meta = False
    is_cuda = is_mps = is_xpu = False
    layout = types.strided

    def __new__(cls, *args, **words):
        given = args[0] if len(args) == 1 and isinstance(args[0], Tensor) else None
        found = given if given is not None else cls._constructed("Tensor", types.get_default_dtype(), args, **words)
        self = _cnn.Tensor.__new__(cls)
        self._a, self._dtype = found._a, found._dtype
        if given is not None:
            self._box = given._version_box()
        return self

    # ---- what it is ------------------------------------------------------------------------------------------------

    @property
    def shape(self):
        return types.Size(self._a.shape)

    def size(self, dim=None):
        """The shape, or the size of one dimension."""
        if dim is None:
            return types.Size(self._a.shape)
        return self._a.shape[_cnn.wrap_dim(dim, self._a.ndim)]

    @property
    def dtype(self):
        return self._dtype or types.of_numpy(self._a.dtype)

    @property
    def device(self):
        return types.cpu

    def dim(self):
        """The number of dimensions."""
        return self.ndim

    ndimension = dim

    def numel(self):
        """The number of elements."""
        return self._a.size

    nelement = numel

    def element_size(self):
        """Bytes of one element."""
        return self._a.itemsize if self._dtype is None else self._dtype.itemsize

    @property
    def itemsize(self):
        return self.element_size()

    @property
    def nbytes(self):
        return self._a.size * self.element_size()

    def stride(self, dim=None):
        """Steps in elements from one index to the next, per dimension."""
        array = aliases.apparent(self._a)
        strides = tuple(s // array.itemsize for s in array.strides)
        return strides if dim is None else strides[dim]

    def storage_offset(self):
        """Elements between the start of the memory and the first element."""
        array = aliases.apparent(self._a)
        root = _cnn.owner_of(array)
        return (array.__array_interface__["data"][0] - root.__array_interface__["data"][0]) // array.itemsize

    def data_ptr(self):
        """The address of the first element."""
        array = self._lent()
        aliases.expose(array)  # who has it cannot be known
        return array.__array_interface__["data"][0]

    def _lent(self):
        """The array for somebody outside, who may write to it."""
        aliases.lay_in_rows(self._a)
        return aliases.lend(self._a)

    def _lies_channels_last(self):
        """Channels-last in memory because its layer chose so: users see an ordinary contiguous tensor."""
        return aliases.lies_turned(self._a)

    def is_contiguous(self, memory_format=types.contiguous_format):
        """True if the elements lie in memory in the order of their indices; or, where that is asked, channels last."""
        if memory_format is types.channels_last:
            return self._a.ndim == 4 and self._a.transpose(0, 2, 3, 1).flags.c_contiguous
        return _cnn.lies(self._a) < 2 or aliases.apparent(self._a).flags.c_contiguous

    def is_floating_point(self):
        return self._a.dtype.kind == "f"

    def is_complex(self):
        return False

    def is_pinned(self, device=None):
        return False

    def is_shared(self):
        return False

    def is_inference(self):
        return False

    def get_device(self):
        return -1

    def __len__(self):
        if self._a.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    __hash__ = object.__hash__  # by identity, whatever == means

    def __repr__(self, *, tensor_contents=None):
        from cnn.printing import tensor_text

        return tensor_text(self)

    def __dir__(self):
        return [name for name in object.__dir__(self) if name != "__slots__"]

    # ---- in and out of Python and NumPy ----------------------------------------------------------------------------

    def item(self):
        """The value of a tensor with one element, as a Python number."""
        if self._a.size != 1:
            raise RuntimeError(f"a Tensor with {self._a.size} elements cannot be converted to Scalar")
        return self._a.item()

    def tolist(self):
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self._a.tolist()

    def numpy(self, *, force=False):
        """A NumPy array that shares memory with the tensor."""
        if self._requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self._dtype is not None:
            raise TypeError("Got unsupported ScalarType BFloat16: NumPy has no such type; use .float().numpy()")
        return self._lent()

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is None and not copy:
            return array
        return np.array(array, dtype, copy=copy) if copy is not None else array.astype(dtype, copy=False)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return Tensor._wrap(array)

    def __dlpack__(self, **kwargs):
        return self._lent().__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()

    def __bool__(self):
        if self._a.size == 1:
            return bool(self._a.item())
        if self._a.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self._a.size != 1 or self._a.dtype.kind == "f":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._a.item())

    def __complex__(self):
        return complex(self.item())

    def __format__(self, spec):
        if self._a.ndim == 0:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __iter__(self):
        if self._a.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element):
        if not isinstance(element, (Tensor, int, float, np.number, np.bool_)):
            raise RuntimeError(
                f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
            )
        return bool((self == element).any().item())

    def __reduce_ex__(self, protocol):
        return _rebuild, (type(self), np.array(self._a), self._requires_grad, self._dtype)

    def __copy__(self):
        new = type(self)._wrap(self._a)
        new._box = self._version_box()
        new._requires_grad, new._dtype = self._requires_grad, self._dtype
        return new

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if self._node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                "moment. Use tensor.detach().clone() instead."
            )
        new = type(self)._wrap(self._a.copy(order="K"))
        new._requires_grad, new._dtype = self._requires_grad, self._dtype
        if self.grad is not None:
            new.grad = self.grad.clone()
        memo[id(self)] = new
        return new

    # ---- autograd --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self):
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad=True):
        """Ask for gradients (or no longer ask); returns the tensor."""
        if requires_grad and self._a.dtype.kind != "f":
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        if not requires_grad and self._node is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad_fn(self):
        """The node that made this tensor; None for a leaf."""
        if self._base is not None:
            self._refresh_view()
        return self._node

    @property
    def is_leaf(self):
        return self.grad_fn is None

    @property
    def grad(self):
        """The gradient, once backward() has reached this leaf."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {kind_name(value)}")
            mine, its = self._a, value._a
            if its.dtype is not mine.dtype and its.dtype != mine.dtype:
                raise DTypeError(
                    f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor of '{self.dtype}'. "
                    "Please ensure that the gradient and the tensor have the same dtype"
                )
            if its.shape != mine.shape:
                raise ShapeError(
                    f"assigned grad has data of a different size: expected {list(mine.shape)}, got {list(its.shape)}"
                )
        self._grad = value

    @property
    def data(self):
        """The same memory without history, for reading and for writing past autograd."""
        new = Tensor._wrap(self._a)
        new._dtype = self._dtype
        return new

    @data.setter
    def data(self, value):
        self._a = value._a
        self._dtype = value._dtype
        self._box = None

    def detach(self):
        """The same memory without history. In-place changes are still noticed by backward()."""
        new = Tensor._wrap(self._a)
        new._box = self._version_box()
        new._dtype = self._dtype
        return new

    def detach_(self):
        """Forget this tensor's history."""
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
                "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
                "detach_() cannot be called on these gradients. To fix this error, please refer to the "
                "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        self._node, self._requires_grad, self._output = None, False, 0
        return self

    # ---- memory shared and changed in place ------------------------------------------------------------------------

    @property
    def _version(self):
        return 0 if self._box is None else self._box[0]

    def _is_view(self):
        return self._base is not None

    def _remember_view(self):
        aliases.remember_view(self)


_cnn.set_tensor_class(Tensor)


def is_tensor(obj):
    """True for a Tensor."""
    return isinstance(obj, Tensor)


def _plain(data):
    """Nested lists with tensors inside, for np.array."""
    if isinstance(data, Tensor):
        return data._a
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data


def _rebuild(cls, array, requires_grad, dtype):
    new = cls._wrap(array)
    new._requires_grad = requires_grad
    if dtype is not None:
        new._dtype = dtype
    return new
