"""DataParallel as scripts use it. There is one device, so it runs the module that it holds."""

from .module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DataParallel(Module):
    """Runs `module`; its parameters are named "module.*" in state_dict(), as in torch.

    All threads of the CPU work on every batch already, so nothing is split.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.module = module
        self.dim = dim
        self.device_ids = []

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """module(*inputs, **module_kwargs)."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))


class DistributedDataParallel(Module):
    """Not supported; says so when it is made."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(
            "DistributedDataParallel is not supported by cnn: it works on the CPU of one machine, with all its "
            "threads. Use the module itself, or DataParallel."
        )
