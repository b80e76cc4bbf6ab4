from cnn import _cnn
from cnn.tensor import Tensor

from .optimizer import (
    Optimizer,
    check_at_least_zero,
    check_fused,
    columns_by_type,
    empty_like,
    gradient_of,
    set_missing,
)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for:

        g = dp + weight_decay p
        v = momentum v + (1 - dampening) g        (v = g at the first step)
        p = p - lr v                              nesterov: p - lr (g + momentum v)

    ``maximize`` turns the gradient around. `foreach`, `differentiable` and `fused` have no effect here.

    Sutskever et al. 2013; https://docs.pytorch.org/docs/2.13/generated/torch.optim.SGD.html
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        check_at_least_zero({"learning rate": lr, "momentum value": momentum, "weight_decay value": weight_decay})
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state):
        super().__setstate__(state)
        newer = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}
        set_missing(self, newer)

    def _step_group(self, group):
        with_momentum = group["momentum"] != 0
        later, first, started = [], [], []
        for p in group["params"]:
            if p._grad is None:
                continue
            p._bump()
            if not with_momentum:
                later.append((p._a, gradient_of(p)))
                continue
            state = self.state[p]
            velocity = state.get("momentum_buffer")
            if velocity is None:
                velocity = Tensor._wrap(empty_like(p._a))
                first.append((p._a, gradient_of(p), velocity._a))
                started.append((state, velocity))
            else:
                later.append((p._a, gradient_of(p), velocity._a))
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
        options = [float(group[name]) for name in names]
        for rows in (later, first):
            for parameters, gradients, *velocities in columns_by_type(rows):
                _cnn.sgd(parameters, gradients, *(velocities or [None]), *options, rows is first)
        for state, velocity in started:  # only now do they hold something
            state["momentum_buffer"] = velocity
