"""Module: a layer, or a network of layers. Mirrors torch.nn.Module.

A Module is three dictionaries (parameters, buffers, child modules) that assignment fills: `self.conv = Conv2d(...)`
registers a child, `self.weight = Parameter(...)` a parameter. Everything else (parameters(), state_dict(), to(),
train(), print) walks them.
"""

import inspect

from cnn import _cnn, types
from cnn.errors import DTypeError, ShapeError, is_torchs, kind_name
from cnn.tensor import Tensor

from .module_hooks import HooksMixin, call_with_hooks
from .parameter import Buffer, Parameter
from .state_dict import StateDictMixin

__all__ = ["Module"]

CONTAINERS = ("cnn.nn.container", "cnn.nn.identity")  # these say themselves what they hold
TENSOR_OPTIONS = ("weight", "pos_weight", "_weight")  # of layers: these may be Tensors


def type_name(value):
    """The name of a value's type, as torch's messages print it: `int`, `torch.FloatTensor`,
    `collections.OrderedDict`; a class or a function by its own name.
    """
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return value.type()
    if is_torchs(value):
        return kind_name(value).partition(":")[0]
    kind = value if hasattr(value, "__qualname__") else type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def refuse_tensors(cls, args, kwargs):
    """nn.ReLU(x) and nn.MSELoss(y, t) make a layer of what its call should get: say so."""
    values = [*args, *kwargs.values()]
    if not any(isinstance(value, Tensor) or is_torchs(value) for value in values):
        return
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    wrong = [n for n, v in given.items() if (isinstance(v, Tensor) or is_torchs(v)) and n not in TENSOR_OPTIONS]
    if wrong or len(args) > len(names):
        what = f"its option '{wrong[0]}' got a Tensor" if wrong else "it takes no Tensor"
        options = "..." if any(p.default is p.empty and p.name in names for p in parameters) else ""
        call = f"{cls.__name__}({options})({'input, target' if cls.__name__.endswith('Loss') else 'input'})"
        raise TypeError(f"{cls.__name__}(...) only makes the layer, and {what}: call what it makes, {call}")


def not_a_module(value):
    if is_torchs(value):
        return f"{type_name(value)} is no Module of cnn's: build it from cnn.nn, and load its weights"
    hint = f": make one, {value.__name__}(...)" if isinstance(value, type) and issubclass(value, Module) else ""
    return f"{type_name(value)} is not a Module subclass{hint}"


class Module(HooksMixin, StateDictMixin, _cnn.Module):
    """Base class of all layers and networks: subclass it, call ``super().__init__()``, define ``forward``.

    See https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html. ``forward`` is reached by calling the
    module, which also runs its hooks. When a layer refuses its input, the message of the error begins with the path of
    that layer in the outermost module.
    """

    dump_patches = False
    call_super_init = False
    _version = 1

    def __new__(cls, *args, **kwargs):
        if (args or kwargs) and cls.__module__.startswith("cnn.nn.") and cls.__module__ not in CONTAINERS:
            refuse_tensors(cls, args, kwargs)
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        if not self.call_super_init and kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
            )
        if not self.call_super_init and args:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
            )
        # Into __dict__ directly: __setattr__ below needs these to be there already.
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _non_persistent_buffers_set=set(), _modules={})
        self._init_hooks()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input):
        """What the module computes. Every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def _explain_failed_call(self, error, args):
        """Called with what forward raised (csrc/binding/waiting.c, as all of a Module's call): adds the path of the
        layer, or raises a better error."""
        if isinstance(error, (ShapeError, DTypeError, IndexError)):
            _name_failing_layer(self, error)
        elif isinstance(error, (AttributeError, TypeError)):
            self._explain_wrong_input(args, error)

    def _explain_wrong_input(self, args, error):
        """A layer of ours that was called with a list or None fails at whatever it touches first: say what it got."""
        ours = type(self).__module__.startswith("cnn.nn.") and not self._modules
        if ours and args and not isinstance(args[0], Tensor):
            better = DTypeError(f"{type(self).__name__}: input must be a Tensor, got {kind_name(args[0])}")
            _name_failing_layer(self, better)
            raise better from error

    # Registration

    def register_buffer(self, name, tensor, persistent=True):
        """Adds a tensor that is no parameter, such as running statistics. `persistent` ones are part of
        state_dict().
        """
        self._check_name("buffer", "_buffers", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Adds a parameter; None keeps the name without a value (a layer without bias)."""
        self._check_name("parameter", "_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. "
                f"To express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def add_module(self, name, module):
        """Adds a child module under `name`; None keeps the name without a module."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(not_a_module(module))
        self._check_name("module", "_modules", name)
        self._modules[name] = module

    def register_module(self, name, module):
        """Another name of add_module."""
        self.add_module(name, module)

    def _check_name(self, kind, members, name):
        if members not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
        if hasattr(self, name) and name not in self.__dict__[members]:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    # Attributes

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__getattr__ is Module.__getattr__ and cls.__getattribute__ is object.__getattribute__:
            _cnn.quick_attributes(cls)

    def __getattr__(self, name):
        # Only reached where the normal look-up found nothing, and by classes with a __getattr__ of their own: for the
        # others csrc/binding/attributes.c does the same.
        members = self.__dict__
        try:
            for kind in (members["_parameters"], members["_buffers"], members["_modules"]):
                if name in kind:
                    return kind[name]
        except KeyError:  # before Module.__init__()
            pass
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name, value):
        members = self.__dict__
        parameters = members.get("_parameters")
        modules = members.get("_modules")
        buffers = members.get("_buffers")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, members, buffers, modules)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, members, parameters, buffers)
            modules[name] = value
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = value
        elif isinstance(value, Buffer) or (buffers is not None and name in buffers):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            persistent = value.persistent if isinstance(value, Buffer) else name not in self._non_persistent_buffers_set
            self.register_buffer(name, value, persistent)
        else:
            super().__setattr__(name, value)

    def _forget(self, name, *others):
        """A name belongs to one dictionary: assigning it to another kind moves it."""
        for other in others:
            other.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name):
        for kind in (self._parameters, self._buffers, self._modules):
            if name in kind:
                del kind[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self):
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[:1].isdigit())

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._init_missing_hooks()

    # Walking the tree

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(path, module) of this module and all below it, parents first; a shared module comes once."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if self in memo:
                return
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate=True):
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self):
        """(name, module) of the modules directly below; a shared one comes once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self):
        for _, module in self.named_children():
            yield module

    def _named_members(self, get_members_fn, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield f"{path}.{name}" if path else name, member

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(path, parameter) in the order of registration; a shared parameter comes once, under its first name."""
        yield from self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        yield from self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target):
        """The module at a path such as "layer1.0.conv"; "" is this module."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        """Puts `module` at a path; with `strict` only where there is one already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if hasattr(parent, name):
            if not isinstance(getattr(parent, name), Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        elif strict:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target):
        """The parameter at a path such as "layer1.0.conv.weight"."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if not isinstance(getattr(module, name), Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return getattr(module, name)

    def get_buffer(self, target):
        """The buffer at a path such as "layer1.0.bn.running_mean"."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]

    # Changing all of it

    def apply(self, fn):
        """Calls `fn` with every module, children first, this one last."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replaces every parameter's and buffer's memory by fn(tensor). Parameters stay the same objects, as
        optimisers hold them.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is not None:
                gradient = parameter.grad
                parameter.data = fn(parameter.detach())
                if gradient is not None:
                    parameter.grad = fn(gradient.detach())
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """to(device), to(dtype), to(tensor), to(memory_format=...), or any of them together: moves and casts in
        place.
        """
        Tensor([]).to(*args, **kwargs)  # checks the arguments, even where there is nothing to move
        asked = _dtype_argument(args, kwargs)
        if asked is not None and not asked.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={asked}"
            )

        def convert(tensor):
            if asked is None or tensor.is_floating_point():
                return tensor.to(*args, **kwargs)
            # Integer tensors (num_batches_tracked) keep their type and only move.
            rest = [a for a in args if a is not asked and not isinstance(a, Tensor)]
            return tensor.to(*rest, **{k: v for k, v in kwargs.items() if k not in ("dtype", "other", "tensor")})

        return self._apply(convert)

    def cuda(self, device=None):
        """The work stays on the CPU; Tensor.cuda says so once."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def cpu(self):
        return self._apply(lambda tensor: tensor.cpu())

    def type(self, dst_type):
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self):
        return self._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def double(self):
        return self._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def half(self):
        return self._apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)

    def bfloat16(self):
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)

    def train(self, mode=True):
        """Training mode for this module and all below it: dropout drops, batch norm uses the batch."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.zero_()

    def share_memory(self):
        """Accepted; loading with worker threads needs no shared memory."""
        return self

    def compile(self, *args, **kwargs):
        """Accepted: the kernels are compiled already."""

    # Printing

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What stands between the parentheses when the module is printed."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + _indented(repr(module)) for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def _indented(text):
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line for line in rest)])


def _dtype_argument(args, kwargs):
    """The dtype that `to(*args, **kwargs)` asks for, or None."""
    for value in (*args, *(kwargs[k] for k in ("dtype", "other", "tensor") if k in kwargs)):
        if isinstance(value, Tensor):
            return value.dtype
        if isinstance(value, types.dtype):
            return value
    return None


def _name_failing_layer(module, error):
    """Put the layer's path in front of the message, one name more at each level that the error passes.

    `error._layer` holds (module that it passed last, path of the failing layer below it, the layer's type, its own
    message).
    """
    passed = getattr(error, "_layer", None)
    if passed is None:
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error._layer = (module, "", type(module).__name__, error.args[0])
        return
    child, path, layer_type, message = passed
    if child is module:  # a module that calls itself: nothing to add
        return
    name = next((name for name, candidate in module.named_modules() if candidate is child), "")
    path = ".".join(part for part in (name, path) if part)
    error._layer = (module, path, layer_type, message)
    if path:
        error.args = (f"{path} ({layer_type}): {message}",)


_cnn.set_module_hooks(call_with_hooks)
