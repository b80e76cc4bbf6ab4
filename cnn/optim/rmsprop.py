from cnn import _cnn

from .optimizer import (
    Optimizer,
    check_at_least_zero,
    columns_by_type,
    count_step,
    gradient_of,
    new_scalar,
    set_missing,
    zeros_like,
)


class RMSprop(Optimizer):
    """RMSprop: the gradient, divided by the root of its running mean square.

        g = dp + weight_decay p
        s = alpha s + (1 - alpha) g^2
        d = sqrt(s) + eps                         centered: sqrt(s - c^2) + eps, with c = alpha c + (1 - alpha) g
        p = p - lr g / d                          momentum: v = momentum v + g / d, p = p - lr v

    ``maximize`` turns the gradient around. `capturable`, `foreach` and `differentiable` have no effect here.

    Hinton, lecture 6e, 2012; https://docs.pytorch.org/docs/2.13/generated/torch.optim.RMSprop.html
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_at_least_zero(
            {
                "learning rate": lr,
                "epsilon value": eps,
                "momentum value": momentum,
                "weight_decay value": weight_decay,
                "alpha value": alpha,
            }
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        newer = {"momentum": 0, "centered": False, "foreach": None, "maximize": False}
        set_missing(self, newer | {"differentiable": False, "capturable": False})

    def _step_group(self, group):
        kinds = ["square_avg"]
        if group["momentum"] > 0:
            kinds.append("momentum_buffer")
        if group["centered"]:
            kinds.append("grad_avg")
        rows = []
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = new_scalar()
                for kind in kinds:
                    state[kind] = zeros_like(p)
            p._bump()
            count_step(state)
            rows.append((p._a, gradient_of(p), *(state[kind]._a for kind in kinds)))
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "maximize")
        options = [float(group[name]) for name in names]
        for parameters, gradients, *columns in columns_by_type(rows):
            given = dict(zip(kinds, columns, strict=True))
            averages = (given["square_avg"], given.get("grad_avg"), given.get("momentum_buffer"))
            _cnn.rmsprop(parameters, gradients, *averages, *options)
