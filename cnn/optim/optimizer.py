"""What every optimizer shares: parameter groups, state, saving and loading, hooks."""

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from copy import deepcopy
from itertools import chain

import numpy as np

from cnn import _cnn, types
from cnn.autograd import bfloat16
from cnn.autograd.grad_mode import enable_grad
from cnn.errors import kind_name
from cnn.nn.sizes import check_number
from cnn.tensor import Tensor
from cnn.utils.hooks import RemovableHandle

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_pre_hooks = OrderedDict()
_global_post_hooks = OrderedDict()


class _Required:
    """The default of an option that every parameter group must name."""

    def __repr__(self):
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base class of the optimizers. A subclass calls ``super().__init__(params, defaults)`` and writes ``step()``,
    which changes the parameters by their ``.grad``.

    Args:
        params: the Tensors to optimize, or dicts with "params" and options of their own (parameter groups), or pairs
            of a name and a Tensor.
        defaults (dict): the options of groups that do not name them.

    ``param_groups`` is a list of dicts, and a change of an option there counts from the next step on. ``state`` maps a
    parameter to what the optimizer remembers about it.

    https://docs.pytorch.org/docs/2.13/optim.html#torch.optim.Optimizer
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self._make_hooks()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        try:
            groups = list(params)
        except TypeError:
            hint = ": pass its .parameters()" if callable(getattr(params, "parameters", None)) else ""
            hint = ": call it, .parameters()" if getattr(params, "__name__", "") == "parameters" else hint
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}{hint}"
            ) from None
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list: layers that a Module keeps in a plain list or dict are not "
                "found; keep them in nn.ModuleList or nn.ModuleDict"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group):
        """Optimize more Tensors, with options of their own: a dict with "params"."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if names:
            params = [p[1] for p in params]
            param_group["param_names"] = names
        param_group["params"] = params
        self._check_params(params)
        self._fill_in_defaults(param_group)
        self._check_against_groups(param_group)
        self.param_groups.append(param_group)

    def _check_params(self, params):
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {kind_name(p)}")
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=4,
            )

    def _fill_in_defaults(self, group):
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)

    def _check_against_groups(self, group):
        named = "param_names" in group
        if any(("param_names" in other) != named for other in self.param_groups):
            raise ValueError(
                f"all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if named else 'without'} names to the optimizer"
            )
        known = set(chain.from_iterable(other["params"] for other in self.param_groups))
        if not known.isdisjoint(group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")

    def zero_grad(self, set_to_none=True):
        """Forget every parameter's gradient: ``.grad`` becomes None, or zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    gradient = p._grad if p._grad.grad_fn is None else p._grad.detach_()
                    gradient._a.fill(0)
                    gradient._bump()

    def step(self, closure=None):
        """Change the parameters by their gradients. `closure`, if given, computes the loss and its gradients anew (also
        inside no_grad) and returns the loss, which step() then returns."""
        if closure is None:
            loss = None
        else:
            with enable_grad():
                loss = closure()
        _cnn.settle()  # within a Module's forward something may wait
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group):
        """The update of one parameter group. Optimizers from outside write step() instead."""
        raise NotImplementedError(f"{type(self).__name__} must write step()")

    # ---- saving and loading ----------------------------------------------------------------------------------------

    def state_dict(self):
        """The state and the groups' options as a dict, as torch lays it out: a number stands for each parameter.

        {"state": {0: {"momentum_buffer": tensor}, ...}, "param_groups": [{"lr": 0.1, ..., "params": [0, 1]}]}
        """
        for hook in tuple(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers = {}
        for p in chain.from_iterable(group["params"] for group in self.param_groups):
            numbers.setdefault(id(p), len(numbers))
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        state_dict = {"state": state, "param_groups": groups}
        for hook in tuple(self._optimizer_state_dict_post_hooks.values()):
            result = hook(self, state_dict)
            state_dict = state_dict if result is None else result
        return state_dict

    def load_state_dict(self, state_dict):
        """Take over what ``state_dict()`` returned. Parameters are matched by their order."""
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            mapping = isinstance(state_dict, Mapping)
            got = f"the keys {[*state_dict][:3]!r:.80}" if mapping else kind_name(state_dict)
            kind = KeyError if mapping else TypeError
            raise kind(f"expected an optimizer's state_dict, with 'state' and 'param_groups', got {got}")
        state_dict = state_dict.copy()
        for hook in tuple(self._optimizer_load_state_dict_pre_hooks.values()):
            result = hook(self, state_dict)
            state_dict = state_dict if result is None else result
        groups, saved_groups = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: expected {len(groups)}, "
                f"got {len(saved_groups)}"
            )
        for i, (group, saved) in enumerate(zip(groups, saved_groups, strict=True)):
            if len(group["params"]) != len(saved["params"]):
                raise ValueError(
                    f"loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {i} has {len(group['params'])} parameters, got {len(saved['params'])}"
                )
        owner = {}
        for group, saved in zip(groups, saved_groups, strict=True):
            owner.update(zip(saved["params"], group["params"], strict=True))
            saved["params"] = group["params"]
            if "param_names" in group:
                saved.setdefault("param_names", group["param_names"])
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in owner:
                state[owner[key]] = _fitted(owner[key], value)
            else:
                state[key] = value
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in tuple(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hooks()
        self._patch_step_function()

    def __repr__(self):
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"

    # ---- hooks -----------------------------------------------------------------------------------------------------

    def _make_hooks(self):
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self._optimizer_state_dict_pre_hooks = OrderedDict()
        self._optimizer_state_dict_post_hooks = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks = OrderedDict()
        self._optimizer_load_state_dict_post_hooks = OrderedDict()

    def _patch_step_function(self):
        """The class's own step(), whoever wrote it, runs the hooks."""
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)
            cls.step.hooked = True

    @staticmethod
    def profile_hook_step(step):
        """`step` with the step hooks run around it."""

        @functools.wraps(step)
        def hooked(self, *args, **kwargs):
            for hook in (*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
                result = hook(self, (self, *args), kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                        )
                    (self, *args), kwargs = result
            value = step(self, *args, **kwargs)
            if bfloat16.in_use:
                self._round()
            for hook in (*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()):
                hook(self, (self, *args), kwargs)
            return value

        return hooked

    def _round(self):
        """What was updated in float32 is of bfloat16 again."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._dtype is not None:
                    bfloat16.settle(p)

    def register_step_pre_hook(self, hook):
        """`hook(optimizer, args, kwargs)` runs before step(); it may return new (args, kwargs)."""
        return RemovableHandle(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """`hook(optimizer, args, kwargs)` runs after step()."""
        return RemovableHandle(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer)` runs before state_dict()."""
        return _registered(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` runs after state_dict(); it may return another dict."""
        return _registered(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` runs before load_state_dict(); it may return another dict."""
        return _registered(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer)` runs after load_state_dict()."""
        return _registered(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def register_optimizer_step_pre_hook(hook):
    """`hook(optimizer, args, kwargs)` runs before every optimizer's step()."""
    return RemovableHandle(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """`hook(optimizer, args, kwargs)` runs after every optimizer's step()."""
    return RemovableHandle(_global_post_hooks, hook)


def _registered(hooks, hook, prepend):
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _fitted(param, value, key=None):
    """Loaded state for `param`: a copy, in its type where it is a Tensor; "step" keeps the type it has."""
    if isinstance(value, Tensor):
        same_type = key == "step" or param._a.dtype.kind != "f"
        array = empty_like(value._a if same_type else value._a.astype(param._a.dtype, copy=False))
        array[...] = value._a
        return Tensor._wrap(array)
    if isinstance(value, dict):
        return {k: _fitted(param, v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fitted(param, v) for v in value)
    return value


# ---- for the optimizers of this folder -----------------------------------------------------------------------------


def check_at_least_zero(options):
    """torch's message for options that must not be negative; the keys are what it calls them."""
    for name, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check_number(value, "optimizer", name)
        if not value >= 0.0:
            raise ValueError(f"Invalid {name}: {value}")


def check_betas(betas):
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"optimizer: betas must be a tuple of two numbers, got {betas!r:.80}")
    for i, beta in enumerate(betas):
        check_number(beta, "optimizer", f"betas[{i}]")
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_fused(fused, foreach, differentiable):
    """These ask torch for other implementations of the same update; here there is one."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def set_missing(optimizer, options):
    """Options that a state_dict of an older version does not have."""
    for group in optimizer.param_groups:
        for name, value in options.items():
            group.setdefault(name, value)


def new_scalar(value=0.0):
    """A 0-d Tensor as torch keeps its step counts: float32 unless the default type is float64."""
    default = types.get_default_dtype().numpy
    return Tensor._wrap(np.array(value, np.float64 if default == np.float64 else np.float32))


def empty_like(array):
    """Memory for state, in the order of a parameter's. Ours begins where a vector begins (NumPy's does not) and lies in
    large pages: an update of much memory takes two thirds of the time."""
    return _cnn.empty(array.shape, array.dtype) if array.flags.c_contiguous else np.empty_like(array)


def zeros_like(param):
    """State for a parameter, in the same order of memory."""
    array = empty_like(param._a)
    array.fill(0)
    return Tensor._wrap(array)


def count_step(state):
    """Add one to a parameter's step count and return it as a number."""
    step = state["step"]
    if not isinstance(step, Tensor):  # a plain number in files of old versions
        step = state["step"] = new_scalar(float(step))
    step._a += 1
    return float(step._a)


def gradient_of(param):
    """The gradient as a kernel takes it: an array; or the factors (dy, x) of one that nobody has looked at yet."""
    waiting = param._grad._gradient
    if waiting is not None and waiting.fits(param._a):
        return waiting.dy, waiting.x
    return param._grad._a


def columns_by_type(rows):
    """One row for each parameter, the parameter's array first. Yields the rows of each type turned into columns: the
    lists that a kernel takes."""
    types_of_rows = {row[0].dtype for row in rows}
    if len(types_of_rows) == 1:
        yield tuple(zip(*rows, strict=True))
        return
    for kind in sorted(types_of_rows, key=str):
        yield tuple(zip(*(row for row in rows if row[0].dtype == kind), strict=True))
