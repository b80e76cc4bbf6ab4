"""SummaryWriter for scripts that log to TensorBoard: the calls are accepted, nothing is written."""

import warnings


class SummaryWriter:
    """Accepts every `add_...` call and writes nothing; one warning says so. See torch.utils.tensorboard."""

    def __init__(self, log_dir=None, *args, **kwargs):
        warnings.warn("cnn writes no TensorBoard logs: SummaryWriter accepts its calls and drops them", stacklevel=2)
        self.log_dir = log_dir

    def __getattr__(self, name):
        if name.startswith("add_") or name in ("flush", "close"):
            return lambda *args, **kwargs: None
        raise AttributeError(f"'SummaryWriter' object has no attribute '{name}'")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False
