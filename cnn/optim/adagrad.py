import numpy as np

from cnn import _cnn
from cnn.tensor import Tensor

from .optimizer import (
    Optimizer,
    check_at_least_zero,
    check_fused,
    columns_by_type,
    count_step,
    gradient_of,
    new_scalar,
    set_missing,
)


class Adagrad(Optimizer):
    """Adagrad: the gradient, divided by the root of the sum of its squares so far.

        g = dp + weight_decay p
        s = s + g^2                               s starts at initial_accumulator_value
        p = p - lr' g / (sqrt(s) + eps)           lr' = lr / (1 + (step - 1) lr_decay)

    ``maximize`` turns the gradient around. `foreach`, `differentiable` and `fused` have no effect here.

    Duchi, Hazan and Singer 2011; https://docs.pytorch.org/docs/2.13/generated/torch.optim.Adagrad.html
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        check_at_least_zero(
            {
                "learning rate": lr,
                "lr_decay value": lr_decay,
                "weight_decay value": weight_decay,
                "initial_accumulator_value value": initial_accumulator_value,
                "epsilon value": eps,
            }
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p)

    def _start(self, p):
        state = self.state[p]
        state["step"] = new_scalar()
        state["sum"] = Tensor._wrap(np.full_like(p._a, self.defaults["initial_accumulator_value"]))

    def __setstate__(self, state):
        super().__setstate__(state)
        set_missing(self, {"foreach": None, "maximize": False, "differentiable": False, "fused": None})

    def _step_group(self, group):
        rows = []
        for p in group["params"]:
            if p._grad is None:
                continue
            if not self.state[p]:
                self._start(p)
            state = self.state[p]
            p._bump()
            rows.append((p._a, gradient_of(p), state["sum"]._a, count_step(state)))
        names = ("lr", "lr_decay", "eps", "weight_decay", "maximize")
        options = [float(group[name]) for name in names]
        for columns in columns_by_type(rows):
            _cnn.adagrad(*columns, *options)
