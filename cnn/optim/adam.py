from cnn import _cnn

from .optimizer import (
    Optimizer,
    check_at_least_zero,
    check_betas,
    check_fused,
    columns_by_type,
    count_step,
    gradient_of,
    new_scalar,
    set_missing,
    zeros_like,
)


class Adam(Optimizer):
    """Adam: the gradient's running mean, divided by the root of its running mean square.

        g = dp + weight_decay p                   decoupled_weight_decay: p = (1 - lr weight_decay) p instead
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2             amsgrad: the largest v so far takes its place below
        p = p - lr m' / (sqrt(v') + eps)          m' = m / (1 - beta1^step), v' = v / (1 - beta2^step)

    ``maximize`` turns the gradient around. `foreach`, `capturable`, `differentiable` and `fused` have no
    effect here.

    Kingma and Ba 2015; https://docs.pytorch.org/docs/2.13/generated/torch.optim.Adam.html
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        check_at_least_zero({"learning rate": lr, "epsilon value": eps})
        check_betas(betas)
        check_at_least_zero({"weight_decay value": weight_decay})
        if len({isinstance(beta, float) for beta in betas}) != 1:
            raise ValueError("betas must be either both floats or both Tensors")
        defaults = {
            "lr": lr,
            "betas": tuple(float(beta) for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state):
        super().__setstate__(state)
        newer = {"amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False}
        set_missing(self, newer | {"decoupled_weight_decay": False, "fused": None})

    def _step_group(self, group):
        amsgrad = group["amsgrad"]
        rows = []
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = new_scalar()
                state["exp_avg"] = zeros_like(p)
                state["exp_avg_sq"] = zeros_like(p)
                if amsgrad:
                    state["max_exp_avg_sq"] = zeros_like(p)
            p._bump()
            largest = (state["max_exp_avg_sq"]._a,) if amsgrad else ()
            moments = (state["exp_avg"]._a, state["exp_avg_sq"]._a)
            rows.append((p._a, gradient_of(p), count_step(state), *moments, *largest))
        names = ("eps", "weight_decay", "decoupled_weight_decay", "maximize")
        options = [float(value) for value in (group["lr"], *group["betas"], *(group[name] for name in names))]
        for parameters, gradients, steps, m, v, *w in columns_by_type(rows):
            _cnn.adam(parameters, gradients, m, v, *(w or [None]), steps, *options)
