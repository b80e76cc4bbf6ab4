"""How convolutions are computed.

    cnn.backends.conv.algorithm = "auto"      the fastest for each shape (default)
                                  "direct"    the sum as it stands, in register tiles
                                  "winograd"  Winograd's F(4x4,3x3) wherever it can serve, direct elsewhere
                                  "precise"   Winograd's F(2x2,3x3), which rounds less, where it helps; direct elsewhere

It takes effect at the next call, forward and backward. `explain` says which way a layer takes. For tests and
measurements there are also "plain" (the layer as csrc/kernels/conv2d.c states it), "channels" and "planes" (direct,
with vectors of channels or of pixels).
"""

import sys
from types import ModuleType

# In the order of enum conv2d_algorithm in csrc/kernels/conv2d.h.
ALGORITHMS = ("auto", "direct", "winograd", "precise", "plain", "channels", "planes")

code = 0  # the number of the algorithm in use


class _Settings(ModuleType):
    """A module whose `algorithm` is checked when it is set."""

    @property
    def algorithm(self):
        return ALGORITHMS[self.code]

    @algorithm.setter
    def algorithm(self, name):
        if name not in ALGORITHMS:
            raise ValueError(f"cnn.backends.conv.algorithm: expected one of {', '.join(ALGORITHMS[:4])}, got {name!r}")
        self.code = ALGORITHMS.index(name)


sys.modules[__name__].__class__ = _Settings
