"""RandomErasing. Zhong et al., "Random Erasing Data Augmentation", 2017. Mirrors torchvision.transforms."""

import math
from numbers import Number

import numpy as np

import cnn
from cnn.tensor import Tensor
from cnn.vision.transforms import draw, functional
from cnn.vision.transforms.base import Transform, check_probability
from cnn.vision.transforms.geometry import check_ranges


class RandomErasing(Transform):
    """A random rectangle of a tensor image overwritten, with probability p.

    It has `scale` of the image's area and a `ratio` of height to width.
    `value` is a number, one for each channel, or "random".
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False):
        super().__init__()
        if not isinstance(value, (Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        check_ranges(scale, ratio)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        check_probability(type(self).__name__, p)
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(img, scale, ratio, value=None):
        """(top, left, height, width, values), at random; the image itself where ten draws do not fit.

        `value` None means random values.
        """
        channels, h, w = img.shape[-3:]
        for _ in range(10):
            area = h * w * draw.uniform(*scale)
            aspect = draw.exp_uniform(*ratio)
            height, width = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
            if height < h and width < w:
                values = (
                    cnn.empty(channels, height, width).normal_() if value is None else cnn.tensor(value)[:, None, None]
                )
                top = draw.integer(0, h - height + 1)
                left = draw.integer(0, w - width + 1)
                return top, left, height, width, values
        return 0, 0, h, w, img

    def forward(self, img):
        if not draw.chance(self.p):
            return img
        if not isinstance(img, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(img)}")
        value = None
        if self.value != "random":
            value = np.ravel(self.value).astype(float).tolist()
            if len(value) not in (1, img.shape[-3]):
                raise ValueError(
                    "If value is a sequence, it should have either a single value or "
                    f"{img.shape[-3]} (number of input channels)"
                )
        return functional.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self):
        return self.described(p=self.p, scale=self.scale, ratio=self.ratio, value=self.value, inplace=self.inplace)
