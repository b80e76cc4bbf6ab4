from .scheduler import LRScheduler, group_values


class LinearLR(LRScheduler):
    """Moves the rate's factor in equal steps from `start_factor` to `end_factor` over `total_iters` epochs.

    https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.LinearLR.html
    """

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1, verbose=None
    ):  # fmt: skip
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.")
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._check_within_step()
        if self.last_epoch == 0:
            return [group["lr"] * self.start_factor for group in self.optimizer.param_groups]
        if self._is_initial or self.last_epoch > self.total_iters:
            return group_values(self.optimizer, "lr")
        # From one epoch to the next the factor f grows by (end - start) / total: a quotient of 1 + growth / f.
        growth = self.end_factor - self.start_factor
        quotient = 1.0 + growth / (self.total_iters * self.start_factor + (self.last_epoch - 1) * growth)
        return [group["lr"] * quotient for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self):
        growth = self.end_factor - self.start_factor
        factor = self.start_factor + growth * min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * factor for base in self.base_lrs]
