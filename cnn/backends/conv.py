"""How convolutions are computed.

    cnn.backends.conv.algorithm = "auto"      the fastest for each shape (default)
                                  "direct"    the sum as it stands, in register tiles
                                  "winograd"  Winograd's F(4x4,3x3) wherever it can serve, direct elsewhere
                                  "precise"   Winograd's F(2x2,3x3), which rounds less, where it helps; direct elsewhere

It takes effect at the next call, forward and backward.
"""

import sys
from types import ModuleType

ALGORITHMS = ("auto", "direct", "winograd", "precise")  # as enum conv2d_algorithm in csrc/kernels/conv2d.h

code = 0  # the number of the algorithm in use


class _Settings(ModuleType):
    """A module whose `algorithm` is checked when it is set."""

    @property
    def algorithm(self):
        return ALGORITHMS[self.code]

    @algorithm.setter
    def algorithm(self, name):
        if name not in ALGORITHMS:
            raise ValueError(f"cnn.backends.conv.algorithm: expected one of {', '.join(ALGORITHMS)}, got {name!r}")
        self.code = ALGORITHMS.index(name)


sys.modules[__name__].__class__ = _Settings
