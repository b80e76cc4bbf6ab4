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


class Adadelta(Optimizer):
    """ADADELTA: steps as long as the recent ones were, for gradients as large as the recent ones were.

        g = dp + weight_decay p
        s = rho s + (1 - rho) g^2
        d = sqrt(u + eps) / sqrt(s + eps) g
        u = rho u + (1 - rho) d^2
        p = p - lr d

    ``maximize`` turns the gradient around. `foreach`, `capturable` and `differentiable` have no effect here.

    Zeiler 2012; https://docs.pytorch.org/docs/2.13/generated/torch.optim.Adadelta.html
    """

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        check_at_least_zero({"learning rate": lr})
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
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
                state["square_avg"] = zeros_like(p)
                state["acc_delta"] = zeros_like(p)
            p._bump()
            count_step(state)
            rows.append((p._a, gradient_of(p), state["square_avg"]._a, state["acc_delta"]._a))
        names = ("lr", "rho", "eps", "weight_decay", "maximize")
        options = [float(group[name]) for name in names]
        for columns in columns_by_type(rows):
            _cnn.adadelta(*columns, *options)
