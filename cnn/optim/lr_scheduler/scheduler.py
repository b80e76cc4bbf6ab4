"""What every learning-rate schedule shares."""

import warnings
import weakref
from functools import wraps

from cnn.optim.optimizer import Optimizer
from cnn.tensor import Tensor

EPOCH_ARGUMENT = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use `scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, "
    "the closed form is used instead of the new chainable form, where available."
)
STEP_REPLACED = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. Please, make "
    "sure to call `optimizer.step()` before `lr_scheduler.step()`."
)
WRONG_ORDER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite order: "
    "`optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result in skipping the first value of "
    "the learning rate schedule."
)


class LRScheduler:
    """Base class of the schedules. A subclass defines ``get_lr()``: the rates for ``self.last_epoch``, one for each
    parameter group, computed from ``self.base_lrs`` or from the groups' present ``lr``.

    Every ``step()`` sets ``last_epoch`` to the next epoch and writes the new rates to the optimizer; creating the
    scheduler does the first such step, to epoch 0. A schedule in chained form multiplies the present rate, so that
    several of them can act on one optimizer; where it also has a closed form, ``step(epoch)`` uses that.

    Args:
        optimizer (Optimizer): whose ``lr`` to set.
        last_epoch (int): -1 to start; otherwise the epoch to go on from, and every group must have ``initial_lr``.
        verbose: ignored, as in today's torch.

    https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.LRScheduler.html
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1, verbose=None):
        self.optimizer = check_optimizer(optimizer)
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", copied(group["lr"]))
        for i, group in enumerate(optimizer.param_groups):
            if "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    f"last_epoch >= 0: load the optimizer's state_dict first, or leave last_epoch at -1"
                )
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        note_optimizer_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self):
        """Everything but the optimizer, as a dict."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Take over what ``state_dict()`` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self):
        """The rates in use, one for each parameter group."""
        return self._last_lr

    def get_lr(self):
        """The rates for ``self.last_epoch``; called by ``step()``."""
        raise NotImplementedError

    def step(self, epoch=None):
        """Go to the next epoch (or to `epoch`, deprecated) and set the optimizer's rates."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(STEP_REPLACED, UserWarning, stacklevel=2)
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(WRONG_ORDER, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_ARGUMENT, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch=None):
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = getattr(self, "_get_closed_form_lr", None)
        self._set_lr(closed_form if epoch is not None and closed_form is not None else self.get_lr)

    def _set_lr(self, compute):
        self._get_lr_called_within_step = True
        try:
            values = compute()
        finally:
            self._get_lr_called_within_step = False
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", value)
        self._last_lr = group_values(self.optimizer, "lr")

    def _check_within_step(self):
        """get_lr() computes the *next* rate in chained form, which is hardly what a caller from outside wants."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )


class _LRScheduler(LRScheduler):
    """The base class's former name; many scripts derive from it."""


def check_optimizer(optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def note_optimizer_steps(optimizer):
    """Let the optimizer's step() leave a mark, so that schedulers can tell when they are called before it."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    function = optimizer.step.__func__
    owner = weakref.ref(optimizer)  # the wrapper lives in the optimizer: a plain reference would be a cycle

    @wraps(function)
    def step(*args, **kwargs):
        optimizer = owner()
        optimizer._opt_called = True
        return function(optimizer, *args, **kwargs)

    step._wrapped_by_lr_sched = True
    optimizer.step = step


def copied(value):
    """A rate may be a Tensor, which its group and its scheduler must not share."""
    return value.clone() if isinstance(value, Tensor) else value


def group_values(optimizer, key):
    return [copied(group[key]) for group in optimizer.param_groups]


def set_value(group, key, value):
    if isinstance(group[key], Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def per_group(name, optimizer, value):
    """One value for each parameter group, from one for all or a list."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * groups
    elif len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}."
        )
    return [copied(v) for v in value]
