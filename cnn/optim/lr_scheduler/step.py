from cnn.nn.sizes import whole

from .scheduler import LRScheduler, group_values


class StepLR(LRScheduler):
    """Multiplies the rate by `gamma` every `step_size` epochs.

    https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.StepLR.html
    """

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1, verbose=None):
        step_size = whole(step_size, "StepLR", "step_size")
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be 1 or more, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._check_within_step()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return group_values(self.optimizer, "lr")
        return [group["lr"] * self.gamma for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self):
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]
