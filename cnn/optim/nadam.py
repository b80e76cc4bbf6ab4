from cnn import _cnn
from cnn.tensor import Tensor

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


class NAdam(Optimizer):
    """Adam with Nesterov momentum. The momentum mu grows from beta1 / 2 towards beta1:

        g = dp + weight_decay p                   decoupled_weight_decay: p = (1 - lr weight_decay) p instead
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        d = sqrt(v / (1 - beta2^step)) + eps
        p = p - lr (1 - mu) / (1 - product) g / d - lr mu' / (1 - product mu') m / d

    with mu = beta1 (1 - 0.96^(step momentum_decay) / 2), mu' that of the next step, and the product of all mu so far.

    ``maximize`` turns the gradient around. `foreach`, `capturable` and `differentiable` have no effect here.

    Dozat 2016; https://docs.pytorch.org/docs/2.13/generated/torch.optim.NAdam.html
    """

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
    ):
        check_at_least_zero({"learning rate": lr, "epsilon value": eps})
        check_betas(betas)
        check_at_least_zero({"weight_decay value": weight_decay, "momentum_decay value": momentum_decay})
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        newer = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False}
        set_missing(self, newer | {"decoupled_weight_decay": False})

    def _step_group(self, group):
        rows = []
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = new_scalar()
                state["mu_product"] = new_scalar(1.0)
                state["exp_avg"] = zeros_like(p)
                state["exp_avg_sq"] = zeros_like(p)
            p._bump()
            step = count_step(state)
            product = _multiply_product(state, group, step)
            rows.append((p._a, gradient_of(p), state["exp_avg"]._a, state["exp_avg_sq"]._a, step, product))
        names = ("eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize")
        options = [float(value) for value in (group["lr"], *group["betas"], *(group[name] for name in names))]
        for columns in columns_by_type(rows):
            _cnn.nadam(*columns, *options)


def _multiply_product(state, group, step):
    """Take this step's mu into the product, which is kept as a tensor and so rounded as one; returns it as a number."""
    product = state["mu_product"]
    if not isinstance(product, Tensor):
        product = state["mu_product"] = new_scalar(float(product))
    product._a *= group["betas"][0] * (1.0 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
    return float(product._a)
