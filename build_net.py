"""The network of the assignment: two convolutional blocks, then two dense blocks."""

import cnn.nn as nn

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "none": nn.Identity}


class ConvBlock(nn.Module):
    """Convolution, ReLU, convolution, ReLU, 2x2 max-pooling: (N, inp_ch, H, W) -> (N, out_ch, H/2, W/2).

    The convolutions keep height and width (padding 'same'); the pooling halves them.
    """

    def __init__(self, kernel, inp_ch, out_ch):
        super().__init__()
        self.conv1 = nn.Conv2d(inp_ch, out_ch, kernel, padding="same")
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_ch, out_ch, kernel, padding="same")
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        return self.pool(x)


class DenseBlock(nn.Module):
    """A linear layer and its activation: (N, inp) -> (N, out).

    act_type: 'relu', 'sigmoid', 'tanh' or 'none'. The last block of a classifier has 'none': the cross-entropy loss
    contains the softmax.
    """

    def __init__(self, inp, out, act_type):
        super().__init__()
        if act_type not in ACTIVATIONS:
            raise ValueError(
                f"DenseBlock: act_type must be one of {', '.join(map(repr, ACTIVATIONS))}, got {act_type!r}"
            )
        self.linear = nn.Linear(inp, out)
        self.act = ACTIVATIONS[act_type]()

    def forward(self, x):
        return self.act(self.linear(x))


class CNN(nn.Module):
    """Images (N, channels, height, width) -> one score for each of out_dim classes: (N, out_dim).

    inp_dim: (channels, height, width) of one image. kernel, channels and hidden are yours to choose: the size of the
    kernels, the channels of the two convolutional blocks, the units of the first dense block.
    """

    def __init__(self, inp_dim, out_dim, kernel=3, channels=(32, 64), hidden=512):
        super().__init__()
        inp_ch, height, width = inp_dim
        self.block1 = ConvBlock(kernel, inp_ch, channels[0])
        self.block2 = ConvBlock(kernel, channels[0], channels[1])
        self.features = channels[1] * (height // 4) * (width // 4)  # each block's pooling halved the image
        self.dense1 = DenseBlock(self.features, hidden, "relu")
        self.dense2 = DenseBlock(hidden, out_dim, "none")

    def forward(self, x):
        x = self.block1(x)
        x = self.block2(x)
        x = x.view(-1, self.features)
        x = self.dense1(x)
        return self.dense2(x)
