from .scheduler import LRScheduler, group_values


class ExponentialLR(LRScheduler):
    """Multiplies the rate by `gamma` every epoch.

    https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.ExponentialLR.html
    """

    def __init__(self, optimizer, gamma, last_epoch=-1, verbose=None):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._check_within_step()
        if self._is_initial:
            return group_values(self.optimizer, "lr")
        return [group["lr"] * self.gamma for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self):
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]
