"""torchvision beside cnn.vision. Its CPU-less build lacks two operators, which are declared before it is imported."""

import pytest

try:
    import torch

    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
except (ImportError, RuntimeError):
    torchvision = None

needs_torchvision = pytest.mark.skipif(torchvision is None, reason="no torchvision here: NOTHING is compared with it")
