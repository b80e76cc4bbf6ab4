import torch
import torch.nn.functional as F
from torch import nn


def conv_bn(inp, out, kernel=3):
    return [nn.Conv2d(inp, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(out), nn.SiLU(inplace=True)]


class CNN(nn.Module):
    def __init__(self, inp_dim=(3, 32, 32), out_dim=10, width=16, p=0.3):
        super().__init__()
        c, h, w = inp_dim
        self.features = nn.Sequential(
            *conv_bn(c, width), *conv_bn(width, width), nn.AvgPool2d(2),
            *conv_bn(width, 2 * width), *conv_bn(2 * width, 2 * width), nn.AvgPool2d(2),
        )
        self.hidden = nn.Linear(2 * width * (h // 4) * (w // 4), 64)
        self.drop = nn.Dropout(p)
        self.classifier = nn.Linear(64, out_dim)
        self._init_weights()

    def _init_weights(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                m.weight.data.fill_(1)
                m.bias.data.zero_()
            elif isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.features(x)
        x = torch.flatten(x, 1)
        x = F.silu(self.drop(self.hidden(x)))
        return self.classifier(x)
