from cnn import _cnn

from .optimizer import (
    Optimizer,
    check_at_least_zero,
    check_betas,
    columns_by_type,
    count_step,
    gradient_of,
    new_scalar,
    set_missing,
    zeros_like,
)


class Adamax(Optimizer):
    """Adam with the largest recent gradient in the place of the root mean square.

        g = dp + weight_decay p
        m = beta1 m + (1 - beta1) g
        u = max(beta2 u, |g| + eps)
        p = p - lr / (1 - beta1^step) m / u

    ``maximize`` turns the gradient around. `foreach`, `differentiable` and `capturable` have no effect here.

    Kingma and Ba 2015; https://docs.pytorch.org/docs/2.13/generated/torch.optim.Adamax.html
    """

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_at_least_zero({"learning rate": lr, "epsilon value": eps})
        check_betas(betas)
        check_at_least_zero({"weight_decay value": weight_decay})
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        set_missing(self, {"foreach": None, "maximize": False, "differentiable": False, "capturable": False})

    def _step_group(self, group):
        rows = []
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = new_scalar()
                state["exp_avg"] = zeros_like(p)
                state["exp_inf"] = zeros_like(p)
            p._bump()
            rows.append((p._a, gradient_of(p), state["exp_avg"]._a, state["exp_inf"]._a, count_step(state)))
        options = [float(value) for value in (group["lr"], *group["betas"])]
        options += [float(group[name]) for name in ("eps", "weight_decay", "maximize")]
        for columns in columns_by_type(rows):
            _cnn.adamax(*columns, *options)
