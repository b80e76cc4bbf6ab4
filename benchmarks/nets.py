"""The networks that are measured, written once for both libraries: every function takes `nn` of torch or of cnn."""


def reference(nn):
    """3->32->32, pool, 32->64->64, pool, 4096->512->10 (3x3): the network of performance.md."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def course(nn):
    """The network of build_net.py with the course settings of main.py: `reference` with Adam, batch 4096."""
    return reference(nn)


def student(nn):
    """5x5, 3->6->12, pool, 12->12->24, pool, 1536->84->10: what students write for the assignment."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1536, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def tutorial(nn):
    """3->6 5x5, pool, 6->16 5x5, pool, 400->120->84->10: the network of the PyTorch tutorial."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet18(nn):
    """ResNet-18 for CIFAR: 64, 128, 256, 512 channels, two basic blocks each."""

    class Block(nn.Module):
        def __init__(self, channels_in, channels, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.relu = nn.ReLU()
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.shortcut = nn.Sequential()
            if stride != 1 or channels_in != channels:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
                )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return self.relu(y + self.shortcut(x))

    layers, channels = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for width, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers.append(Block(channels, width, stride))
        channels = width
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))


def mobilenet(nn):
    """Depthwise-separable, MobileNet-like: 32, then 64, 128, 128, 256, 256, 512 channels."""

    def separable(channels_in, channels, stride):
        return [
            nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False),
            nn.BatchNorm2d(channels_in), nn.ReLU(),
            nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        ]  # fmt: skip

    layers, channels = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()], 32
    for width, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)):
        layers += separable(channels, width, stride)
        channels = width
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))


NETS = {f.__name__: f for f in (reference, course, student, tutorial, resnet18, mobilenet)}
OPTIMIZERS = {
    "course": ("Adam", {"lr": 1e-2, "weight_decay": 1e-5}),
    "student": ("Adam", {"lr": 1e-3}),
}  # the others: SGD with momentum


def optimizer_of(net_name, net, optim):
    """The optimiser that belongs to a network."""
    kind, options = OPTIMIZERS.get(net_name, ("SGD", {"lr": 1e-2, "momentum": 0.9}))
    return getattr(optim, kind)(net.parameters(), **options)
