"""Averages of a network's weights over training: SWA (Izmailov et al. 2018) and EMA. Mirrors torch.optim.swa_utils,
https://docs.pytorch.org/docs/2.13/optim.html#weight-averaging-swa-and-ema."""

import math
from copy import deepcopy
from itertools import chain

import cnn
from cnn.autograd.grad_mode import no_grad
from cnn.nn.module import Module

from .lr_scheduler.scheduler import LRScheduler, per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_swa_avg_fn():
    """The equal average of all models so far: average + (parameter - average) / (number + 1)."""

    @no_grad()
    def average(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return average


def get_ema_avg_fn(decay=0.999):
    """The exponential average: decay * average + (1 - decay) * parameter."""
    _check_decay(decay)

    @no_grad()
    def average(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return average


def get_swa_multi_avg_fn():
    """get_swa_avg_fn over lists of tensors, in place."""
    return _over_lists(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay=0.999):
    """get_ema_avg_fn over lists of tensors, in place."""
    return _over_lists(get_ema_avg_fn(decay))


def _check_decay(decay):
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _over_lists(average):
    @no_grad()
    def update(averaged_param_list, current_param_list, num_averaged):
        for averaged, current in zip(averaged_param_list, current_param_list, strict=True):
            averaged.copy_(average(averaged, current, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of `model` whose parameters are an average of those that ``update_parameters(model)`` has seen: their
    equal average, or what `avg_fn(average, parameter, number)` or `multi_avg_fn(averages, parameters, number)` makes of
    them.

    Buffers are copied from the last model, or averaged too with ``use_buffers=True``. After an equal average of
    parameters the running statistics of batch norm no longer fit: see `update_bn`.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", cnn.tensor(0, dtype=cnn.int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model):
        """Take the present parameters of `model` into the average."""
        averages, parameters = list(self._averaged(self.module)), list(self._averaged(model))
        if self.n_averaged == 0:
            for average, parameter in zip(averages, parameters, strict=True):
                average.copy_(parameter)
        elif self.avg_fn is not None:
            for average, parameter in zip(averages, parameters, strict=True):
                average.copy_(self.avg_fn(average, parameter, self.n_averaged))
        else:
            (self.multi_avg_fn or get_swa_multi_avg_fn())(averages, parameters, self.n_averaged)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach())
        self.n_averaged += 1

    def _averaged(self, model):
        buffers = model.buffers() if self.use_buffers else ()
        return (t.detach() for t in chain(model.parameters(), buffers))


@no_grad()
def update_bn(loader, model, device=None):
    """Compute the running statistics of every batch norm layer anew, as plain averages over one pass through `loader`,
    whose items are inputs or begin with one."""
    layers = [m for m in model.modules() if hasattr(m, "reset_running_stats") and hasattr(m, "momentum")]
    momenta = [layer.momentum for layer in layers]
    if not layers:
        return
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    for item in loader:
        input = item[0] if isinstance(item, (list, tuple)) else item
        model(input if device is None else input.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves the rate to `swa_lr` over `anneal_epochs` epochs, along half a cosine or a line, and keeps it there."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._check_within_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            rate, target = group["lr"], group["swa_lr"]
            # The rate that the part of the way so far started from: it may have been changed from outside.
            start = target if before == 1 else (rate - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates

    def _share(self, step):
        """How much of the way to swa_lr is done at a step."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t
