"""ResNet. He et al., "Deep Residual Learning for Image Recognition", 2015. Mirrors torchvision.

resnext: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2016.
wide_resnet: Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
"""

from cnn import nn
from cnn.vision.models.weights import refuse_weights


def conv3x3(inputs, outputs, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """x + two 3 x 3 convolutions of x; `downsample` brings x to the same shape."""

    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, norm_layer=nn.BatchNorm2d):
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + shortcut)


class Bottleneck(nn.Module):
    """x + a 1 x 1, a 3 x 3 and a 1 x 1 convolution of x; the stride is in the 3 x 3 one."""

    expansion = 4

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, norm_layer=nn.BatchNorm2d):
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + shortcut)


class ResNet(nn.Module):
    """Four stages of blocks; images (N, 3, H, W), scores (N, num_classes).

    Args:
        block: BasicBlock or Bottleneck.
        layers: the number of blocks in each stage.
        num_classes: number of scores.
        zero_init_residual: let each block begin as the identity: the last scale of a block is 0.
        groups, width_per_group: of the Bottleneck's 3 x 3 convolution.
        norm_layer: in place of BatchNorm2d.
    """

    def __init__(
        self, block, layers, num_classes=1000, zero_init_residual=False, groups=1, width_per_group=64, norm_layer=None
    ):
        super().__init__()
        self.inplanes = 64
        self.groups = groups
        self.base_width = width_per_group
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2)
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2)
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _make_layer(self, block, planes, blocks, stride=1):
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != outputs:
            downsample = nn.Sequential(conv1x1(self.inplanes, outputs, stride), self._norm_layer(outputs))
        shared = (self.groups, self.base_width, self._norm_layer)
        stage = [block(self.inplanes, planes, stride, downsample, *shared)]
        self.inplanes = outputs
        stage += [block(outputs, planes, 1, None, *shared) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def _initialise(self, zero_init_residual):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    nn.init.zeros_((module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _constructor(name, block, layers, **defaults):
    def make(*, weights=None, **options):
        refuse_weights(name, weights, options)
        return ResNet(block, layers, **{**defaults, **options})

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"An untrained {name}; `options` as for ResNet. RuntimeError if `weights` are asked for."
    return make


resnet18 = _constructor("resnet18", BasicBlock, (2, 2, 2, 2))
resnet34 = _constructor("resnet34", BasicBlock, (3, 4, 6, 3))
resnet50 = _constructor("resnet50", Bottleneck, (3, 4, 6, 3))
resnet101 = _constructor("resnet101", Bottleneck, (3, 4, 23, 3))
resnet152 = _constructor("resnet152", Bottleneck, (3, 8, 36, 3))
resnext50_32x4d = _constructor("resnext50_32x4d", Bottleneck, (3, 4, 6, 3), groups=32, width_per_group=4)
wide_resnet50_2 = _constructor("wide_resnet50_2", Bottleneck, (3, 4, 6, 3), width_per_group=128)
