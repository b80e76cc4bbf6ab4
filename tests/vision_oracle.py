"""torchvision beside cnn.vision. Where its build does not belong to this torch it lacks two operators, which are then
declared for it."""

import pytest

try:
    import torch

    try:
        import torchvision
    except RuntimeError:
        _library = torch.library.Library("torchvision", "DEF")
        for _operator in ("nms", "qnms"):
            _library.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
except (ImportError, RuntimeError):
    torchvision = None

needs_torchvision = pytest.mark.skipif(torchvision is None, reason="no torchvision here: NOTHING is compared with it")
