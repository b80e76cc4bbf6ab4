"""What a Module saves and loads: state_dict() and load_state_dict(). Mirrors torch.nn.Module's, message for message."""

from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from cnn.autograd.grad_mode import no_grad
from cnn.errors import is_torchs, kind_name
from cnn.tensor import Tensor

from .parameter import Parameter

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict returns: keys that the file lacked, and keys that the model lacks."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


def _where_they_are(missing, unexpected, state_dict):
    """A line for what is missing only because it stands elsewhere: in a checkpoint of several things, or under names
    that all have one beginning, such as DataParallel gives; [] where it is nowhere."""
    for key in unexpected:
        inner = state_dict.get(key)
        if isinstance(inner, Mapping) and all(name in inner for name in missing):
            return [f"It is a checkpoint of several things: load state_dict[{key!r}]."]
    beginnings = {key[: -len(missing[0])] for key in unexpected if key.endswith(missing[0])}
    for beginning in sorted(beginnings, key=len):
        if beginning.endswith(".") and all(beginning + name in state_dict for name in missing):
            fixed = f"{{key.removeprefix({beginning!r}): value for key, value in state_dict.items()}}"
            return [f"They are there, behind {beginning!r}: load {fixed}."]
    return []


class StateDictMixin:
    """The part of Module that saves and loads."""

    def get_extra_state(self):
        """Anything else that state_dict() should keep for this module; to be overridden together with
        set_extra_state.
        """
        raise RuntimeError(f"{type(self).__name__}.get_extra_state is not defined")

    def set_extra_state(self, state):
        """Takes back what get_extra_state returned."""
        raise RuntimeError(f"{type(self).__name__}.set_extra_state is not defined")

    def _overrides(self, name):
        return getattr(type(self), name) is not getattr(StateDictMixin, name)

    def _own_state(self):
        """(name, tensor) of this module's parameters and persistent buffers."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """An OrderedDict {path: tensor} of all parameters and persistent buffers. The tensors share memory with the
        module's, without history unless `keep_vars`."""
        # The positional form is older than the keywords.
        if args:
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and not keep_vars else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            replacement = hook(self, destination, prefix, local_metadata)
            destination = destination if replacement is None else replacement
        return destination

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """Adds this module's own state, without its children's."""
        for name, tensor in self._own_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copies tensors by path into the module's parameters and buffers; with `assign` they take their place instead.

        Returns a named tuple of missing and unexpected keys.

        Raises:
            TypeError: `state_dict` is no mapping.
            RuntimeError: a shape differs, or with `strict` a key is missing or unexpected. All of them are listed.
        """
        if not isinstance(state_dict, Mapping):
            hint = " Give what its .state_dict() returns." if callable(getattr(state_dict, "state_dict", None)) else ""
            hint = " Call it, .state_dict()." if getattr(state_dict, "__name__", "") == "state_dict" else hint
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.{hint}")
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)  # a copy: hooks may change it
        if metadata is not None:
            state_dict._metadata = metadata
        missing, unexpected, errors = [], [], []

        def load(module, state_dict, prefix):
            local_metadata = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(state_dict, prefix, local_metadata, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    below = f"{prefix}{name}."
                    load(child, {k: v for k, v in state_dict.items() if k.startswith(below)}, below)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, IncompatibleKeys(missing, unexpected)) is not None:
                    raise AssertionError("a load_state_dict post-hook changes the keys in place and returns None")

        load(self, state_dict, "")
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
                errors += _where_they_are(missing, unexpected, state_dict)
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(errors))
            )
        return IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Loads this module's own state, without its children's; what is wrong is added to the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = dict(self._own_state())
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                message = self._load_tensor(
                    name, key, target, state_dict[key], "assign_to_params_buffers" in local_metadata
                )
                if message:
                    error_msgs.append(message)
            elif strict:
                missing_keys.append(key)

        extra = prefix + EXTRA_STATE
        if self._overrides("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)

        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    name, dot, _ = key[len(prefix) :].partition(".")
                    if name not in (self._modules if dot else own):
                        unexpected_keys.append(key)

    def _load_tensor(self, name, key, target, value, assign):
        """Puts `value` into the parameter or buffer `target`; returns what is wrong with it, or None."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {kind_name(value) if is_torchs(value) else type(value)}"
            )
        if target.dim() == 0 and value.dim() == 1 and value.numel() == 1:
            value = value[0]  # torch 0.3 had no 0-d tensors
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {target.shape}."
            )
        with no_grad():
            if not assign:
                target.copy_(value)
                return None
            if isinstance(target, Parameter):
                if not isinstance(value, Parameter):
                    value = Parameter(value, requires_grad=target.requires_grad)
                value.requires_grad_(target.requires_grad)
            setattr(self, name, value)
        return None


def _quoted(keys):
    return ", ".join(f'"{key}"' for key in keys)
