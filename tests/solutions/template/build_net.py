'''
The CNN architecture
'''
import torch.nn as nn


class ConvBlock(nn.Module):
    def __init__(self, kernel, inp_ch, out_ch):
        super(ConvBlock, self).__init__()
        pad = (kernel - 1) // 2
        mid_ch = out_ch // 2 if inp_ch < out_ch // 2 else inp_ch
        self.conv1 = nn.Conv2d(in_channels=inp_ch, out_channels=mid_ch, kernel_size=kernel, padding=pad)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(in_channels=mid_ch, out_channels=out_ch, kernel_size=kernel, padding=pad)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        x = self.pool(x)
        return x


class DenseBlock(nn.Module):
    def __init__(self, inp, out, act_type):
        super(DenseBlock, self).__init__()
        self.linear = nn.Linear(inp, out)
        if act_type == 'relu':
            self.act = nn.ReLU()
        else:
            self.act = None  # last layer: no activation, the loss has the softmax inside

    def forward(self, x):
        x = self.linear(x)
        if self.act is not None:
            x = self.act(x)
        return x


class CNN(nn.Module):
    def __init__(self, inp_dim, out_dim):
        super(CNN, self).__init__()
        self.block1 = ConvBlock(5, inp_dim[0], 12)
        self.block2 = ConvBlock(5, 12, 24)
        h = inp_dim[1] // 4
        w = inp_dim[2] // 4
        self.dense1 = DenseBlock(24 * h * w, 84, 'relu')
        self.dense2 = DenseBlock(84, out_dim, 'none')

    def forward(self, x):
        x = self.block1(x)
        x = self.block2(x)
        x = x.view(x.size(0), -1)
        x = self.dense1(x)
        x = self.dense2(x)
        return x
