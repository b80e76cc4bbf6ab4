"""VGG. Mirrors torchvision.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.
"""

from cnn import nn
from cnn.vision.models.weights import refuse_weights

# Channels of the 3 x 3 convolutions, stage by stage; a 2 x 2 max-pool ends each stage.
STAGES = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """`features`, then three dense layers; images (N, 3, H, W) of at least 32 x 32, scores (N, num_classes)."""

    def __init__(self, features, num_classes=1000, init_weights=True, dropout=0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            self.apply(_initialise)

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))


def _initialise(module):
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def make_features(stages, batch_norm):
    """The convolutional part as one Sequential."""
    layers = []
    channels = 3
    for stage in stages:
        for width in stage:
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


def _constructor(depth, batch_norm):
    name = f"vgg{depth}{'_bn' if batch_norm else ''}"

    def make(*, weights=None, **options):
        refuse_weights(name, weights, options)
        return VGG(make_features(STAGES[depth], batch_norm), **options)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"An untrained {name}; `options` as for VGG. RuntimeError if `weights` are asked for."
    return make


vgg11, vgg13, vgg16, vgg19 = (_constructor(depth, batch_norm=False) for depth in STAGES)
vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn = (_constructor(depth, batch_norm=True) for depth in STAGES)
