"""SummaryWriter for scripts that log to TensorBoard: the calls are accepted, no log is written."""

import os
import socket
import time
import warnings


class SummaryWriter:
    """Accepts every `add_...` call and writes no log; one warning says so. See torch.utils.tensorboard.

    Its folder is there, and `log_dir` names it (runs/MONTHDAY_TIME_HOST and `comment` where none is given): scripts
    keep their checkpoints in it.
    """

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        warnings.warn("cnn writes no TensorBoard logs: SummaryWriter accepts its calls and drops them", stacklevel=2)
        if not log_dir:
            log_dir = os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir = str(log_dir)
        self.purge_step, self.max_queue, self.flush_secs = purge_step, max_queue, flush_secs
        self.filename_suffix = filename_suffix
        os.makedirs(self.log_dir, exist_ok=True)

    def get_logdir(self):
        """The folder."""
        return self.log_dir

    def __getattr__(self, name):
        if name.startswith("add_") or name in ("flush", "close"):
            return lambda *args, **kwargs: None
        raise AttributeError(f"'SummaryWriter' object has no attribute '{name}'")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False
