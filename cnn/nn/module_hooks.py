"""Hooks of a Module: functions of the user's that run before forward, after it, and when gradients pass. Mirrors
torch.nn.Module's.

Modules without hooks never come here: their call (csrc/binding/waiting.c) looks at four dictionaries and runs forward.
"""

import warnings
from collections import OrderedDict

from cnn.autograd.function import Function
from cnn.autograd.grad_mode import is_grad_enabled
from cnn.tensor import Tensor
from cnn.utils.hooks import RemovableHandle

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
OPTIONS = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")


class HooksMixin:
    """The registration half: Module inherits it."""

    def _init_hooks(self):
        for name in HOOKS + OPTIONS:
            self.__dict__[name] = OrderedDict()

    def _init_missing_hooks(self):
        for name in HOOKS + OPTIONS:
            self.__dict__.setdefault(name, OrderedDict())

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """``hook(module, args, output)`` after forward; a value that it returns replaces the output.

        `with_kwargs` adds the keyword arguments before the output, `always_call` also runs it when forward raised.
        Returns a handle with ``remove()``.
        """
        options = [self._forward_hooks_with_kwargs] * with_kwargs + [self._forward_hooks_always_called] * always_call
        return _add(self._forward_hooks, hook, prepend, options)

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """``hook(module, args)`` before forward; what it returns replaces the arguments. Returns a handle."""
        return _add(self._forward_pre_hooks, hook, prepend, [self._forward_pre_hooks_with_kwargs] * with_kwargs)

    def register_full_backward_hook(self, hook, prepend=False):
        """``hook(module, grad_input, grad_output)`` when the gradients of the module's inputs are known; a tuple that
        it returns replaces grad_input. Returns a handle."""
        return _add(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook):
        """The old name of register_full_backward_hook, with its meaning."""
        return self.register_full_backward_hook(hook)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """``hook(module, grad_output)`` before the gradient enters the module; what it returns replaces it. Returns a
        handle.
        """
        return _add(self._backward_pre_hooks, hook, prepend)

    def register_state_dict_pre_hook(self, hook):
        """``hook(module, prefix, keep_vars)`` before state_dict() reads this module. Returns a handle."""
        return _add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """``hook(module, state_dict, prefix, local_metadata)`` after state_dict() has read it. Returns a handle."""
        return _add(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook):
        """``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``
        before this module is loaded. Returns a handle."""
        return _add(self._load_state_dict_pre_hooks, lambda *args: hook(self, *args))

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return (
            self.register_load_state_dict_pre_hook(hook) if with_module else _add(self._load_state_dict_pre_hooks, hook)
        )

    def register_load_state_dict_post_hook(self, hook):
        """``hook(module, incompatible_keys)`` after this module was loaded; it may change the two lists. Returns a
        handle.
        """
        return _add(self._load_state_dict_post_hooks, hook)


def _add(hooks, hook, prepend=False, options=()):
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    for option in options:
        option[handle.id] = True
    return handle


def call_with_hooks(module, args, kwargs):
    """module(*args, **kwargs) where there are hooks."""
    called = set()
    result = None
    try:
        args, kwargs = _run_pre_hooks(module, args, kwargs)
        watch = BackwardWatch(module) if module._backward_hooks or module._backward_pre_hooks else None
        if watch is not None:
            args = watch.inputs(args)
        result = module.forward(*args, **kwargs)
        for number, hook in tuple(module._forward_hooks.items()):
            called.add(number)
            replacement = _run_forward_hook(module, number, hook, args, kwargs, result)
            result = result if replacement is None else replacement
        return result if watch is None else watch.outputs(result)
    except Exception:
        for number, hook in tuple(module._forward_hooks.items()):
            if number in module._forward_hooks_always_called and number not in called:
                try:
                    _run_forward_hook(module, number, hook, args, kwargs, result)
                except Exception as error:  # the first error is the one to tell
                    warnings.warn(f"a forward hook with always_call=True raised as well: {error}", stacklevel=3)
        raise


def _run_forward_hook(module, number, hook, args, kwargs, result):
    if number in module._forward_hooks_with_kwargs:
        return hook(module, args, kwargs, result)
    return hook(module, args, result)


def _run_pre_hooks(module, args, kwargs):
    for number, hook in tuple(module._forward_pre_hooks.items()):
        if number in module._forward_pre_hooks_with_kwargs:
            replacement = hook(module, args, kwargs)
            if replacement is not None:
                if not isinstance(replacement, tuple) or len(replacement) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {replacement}."
                    )
                args, kwargs = replacement
        else:
            replacement = hook(module, args)
            if replacement is not None:
                args = replacement if isinstance(replacement, tuple) else (replacement,)
    return args, kwargs


class Tap(Function):
    """Identity; on the way back it shows the gradients to `watcher(gradients)`, which returns those to pass on."""

    @staticmethod
    def forward(ctx, watcher, *tensors):
        ctx.watcher = watcher
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx, *gradients):
        return (None, *ctx.watcher(gradients))


class BackwardWatch:
    """One call's backward hooks: a Tap on the inputs and one on the outputs, so that both gradients are seen."""

    def __init__(self, module):
        self.module = module
        self.hooks = tuple(module._backward_hooks.values())
        self.pre_hooks = tuple(module._backward_pre_hooks.values())
        self.watches_inputs = False
        self.grad_output = None

    def inputs(self, args):
        self.count = len(args)
        self.positions, args = _tap(args, self.after_inputs)
        self.watches_inputs = bool(self.positions)
        return args

    def outputs(self, result):
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
            return result
        results = result if isinstance(result, tuple) else (result,)
        self.output_positions, results = _tap(results, self.before_outputs)
        self.output_count = len(results)
        return results if isinstance(result, tuple) else results[0]

    def before_outputs(self, gradients):
        grad_output = _spread(gradients, self.output_positions, self.output_count)
        for hook in self.pre_hooks:
            replacement = hook(self.module, grad_output)
            if replacement is not None:
                replacement = replacement if isinstance(replacement, tuple) else (replacement,)
                if len(replacement) != self.output_count:
                    raise RuntimeError(
                        "Backward pre hook returned an invalid number of grad_output, got "
                        f"{len(replacement)}, but expected {self.output_count}"
                    )
                grad_output = replacement
        self.grad_output = grad_output
        if not self.watches_inputs:
            for hook in self.hooks:
                replacement = hook(self.module, (None,) * self.count, grad_output)
                if replacement is not None and any(gradient is not None for gradient in replacement):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or "
                        "None for all gradients."
                    )
        return [grad_output[position] for position in self.output_positions]

    def after_inputs(self, gradients):
        if self.grad_output is None:
            return gradients
        grad_input = _spread(gradients, self.positions, self.count)
        for hook in self.hooks:
            replacement = hook(self.module, grad_input, self.grad_output)
            if replacement is not None:
                replacement = replacement if isinstance(replacement, tuple) else (replacement,)
                if len(replacement) != self.count:
                    raise RuntimeError(
                        f"Backward hook returned an invalid number of grad_input, got {len(replacement)}, "
                        f"but expected {self.count}"
                    )
                grad_input = replacement
        return [grad_input[position] for position in self.positions]


def _tap(values, watcher):
    """Positions of the tensors in `values` that want gradients, and `values` with those tapped."""
    positions = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not positions or not is_grad_enabled():
        return (), values
    values = list(values)
    for position, tapped in zip(positions, Tap.apply(watcher, *[values[i] for i in positions]), strict=True):
        values[position] = tapped
    return positions, tuple(values)


def _spread(gradients, positions, count):
    """The gradients at their positions, None elsewhere."""
    spread = [None] * count
    for position, gradient in zip(positions, gradients, strict=True):
        spread[position] = gradient
    return tuple(spread)
