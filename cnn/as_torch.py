"""`import cnn.as_torch` lets a program import `torch` and `torchvision` and get cnn.

    import cnn.as_torch
    import torch                       # is cnn
    from torchvision import datasets   # is cnn.vision.datasets

A real torch that is already imported is never displaced: that is an ImportError. `python -m cnn script.py` does this
before it runs the script.
"""

import importlib
import importlib.abc
import importlib.util
import sys

import cnn

# Where torch keeps a name in another module than cnn does: torch's modules in front of the module that has their names.
_RENAMED = {
    name: ours
    for ours, names in {
        "cnn": "torch torch.functional",
        "cnn.amp": "torch.cuda.amp torch.cuda.amp.grad_scaler torch.cuda.amp.autocast_mode torch.cpu.amp "
        "torch.amp.grad_scaler torch.amp.autocast_mode",
        "cnn.autograd": "torch.autograd.variable torch.autograd.anomaly_mode",
        "cnn.cuda": "torch.cuda.random torch.cuda.memory torch.cuda.streams",
        "cnn.nn.parallel": "torch.nn.parallel.data_parallel torch.nn.parallel.distributed",
        "cnn.serialization": "torch.serialization",
        "cnn.tensor": "torch._tensor",
        "cnn.types": "torch.types",
        "cnn.utils": "torch._utils",
        "cnn.utils.data": "torch.utils.data.dataloader torch.utils.data.dataset torch.utils.data.sampler "
        "torch.utils.data._utils",
        "cnn.utils.data.collate": "torch.utils.data._utils.collate",
        "cnn.utils.tensorboard": "torch.utils.tensorboard.writer",
        "cnn.version": "torch.torch_version torchvision.version",
        "cnn.vision": "torchvision",
        "cnn.vision.transforms": "torchvision.transforms.transforms",
        "cnn.vision.transforms.functional": "torchvision.transforms.v2.functional "
        "torchvision.transforms._functional_tensor torchvision.transforms.functional_tensor",
        "cnn.vision.transforms.pil": "torchvision.transforms._functional_pil torchvision.transforms.functional_pil",
    }.items()
    for name in names.split()
}


def _ours(name):
    """The name of cnn's module for a torch name, or None if the name is not torch's."""
    if name in _RENAMED:
        return _RENAMED[name]
    if name.startswith("torch.nn.modules.") and hasattr(cnn.nn.modules, name.removeprefix("torch.nn.modules.")):
        return "cnn.nn.modules"
    for root, ours in (("torch", "cnn"), ("torchvision", "cnn.vision")):
        if name.startswith(root + "."):
            return ours + name[len(root) :]
    return None


class _Loader(importlib.abc.Loader):
    """Hands out the module that is already there, with its own identity."""

    def __init__(self, ours):
        self.ours = ours

    def create_module(self, spec):
        module = importlib.import_module(self.ours)
        self.identity = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.identity
        if not hasattr(module, "__path__"):
            module.__path__ = []  # torch may keep modules below it


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        ours = _ours(name)
        if ours is None:
            return None
        try:
            importlib.import_module(ours)
        except ModuleNotFoundError as error:
            if error.name is None or not (ours + ".").startswith(error.name + "."):
                raise
            raise ModuleNotFoundError(f"cnn has no '{name}': this part of PyTorch is not provided", name=name) from None
        return importlib.util.spec_from_loader(name, _Loader(ours))


def install():
    """Register the names; safe to call again."""
    for name in ("torch", "torchvision"):
        present = sys.modules.get(name)
        if present is not None and present not in (cnn, sys.modules.get("cnn.vision")):
            raise ImportError(
                f"cnn.as_torch: the real {name} is already imported and is not displaced. "
                "Import cnn.as_torch first, or run the script with: python -m cnn script.py"
            )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules["torch"] = cnn
    sys.modules["torchvision"] = importlib.import_module("cnn.vision")


install()
