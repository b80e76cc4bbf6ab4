import math

from .scheduler import LRScheduler, group_values


class CosineAnnealingLR(LRScheduler):
    """Lowers the rate from its start to `eta_min` over `T_max` epochs along half a cosine, and back up the same way:

        lr = eta_min + (base - eta_min) (1 + cos(pi epoch / T_max)) / 2

    SGDR, Loshchilov and Hutter 2017; https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1, verbose=None):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._check_within_step()
        if self._is_initial:
            return group_values(self.optimizer, "lr")
        if self._step_count == 1 and self.last_epoch > 0:
            return self._closed_form(self.last_epoch * math.pi / self.T_max)
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The epoch before was a minimum: 1 + cos is 0 there and cannot be divided by.
            rise = 1 - math.cos(math.pi / self.T_max)
            return [
                group["lr"] + (base - self.eta_min) * rise / 2
                for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True)
            ]
        now, before = (1 + math.cos(math.pi * epoch / self.T_max) for epoch in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (group["lr"] - self.eta_min) + self.eta_min for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self):
        return self._closed_form(math.pi * self.last_epoch / self.T_max)

    def _closed_form(self, angle):
        return [self.eta_min + (base - self.eta_min) * (1 + math.cos(angle)) / 2 for base in self.base_lrs]
