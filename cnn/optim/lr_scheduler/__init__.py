"""Learning-rate schedules, one file each. Names, arguments and numbers as in torch.optim.lr_scheduler."""

from .chained import ChainedScheduler
from .constant import ConstantLR
from .cosine import CosineAnnealingLR
from .cosine_restarts import CosineAnnealingWarmRestarts
from .cyclic import CyclicLR
from .exponential import ExponentialLR
from .lambda_lr import LambdaLR, MultiplicativeLR
from .linear import LinearLR
from .multistep import MultiStepLR
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .polynomial import PolynomialLR
from .scheduler import LRScheduler, _LRScheduler
from .sequential import SequentialLR
from .step import StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]
