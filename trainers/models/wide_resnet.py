"""The Wide ResNet of Zagoruyko and Komodakis 2016 (arXiv:1605.07146): few layers, many channels, pre-activation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """BatchNorm, ReLU and a 3 x 3 convolution, twice, beside a shortcut (figure 1 (c), without dropout)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False) if channels_in != channels else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps float [n, channels_in, h, w] to float [n, channels, h / stride, w / stride]."""
        activated = self.relu1(self.bn1(x))
        out: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        return out + (self.shortcut(activated) if self.shortcut is not None else x)


class WideResNet(nn.Module):
    """WRN-depth-width for images of about 32 px (table 1); the last pooling allows any size from 4 px.

    Args:
        depth: Number of convolutional layers, 6n + 4.
        width: Factor on the channels 16, 32 and 64 of the three stages.
        classes: Number of outputs.
    """

    def __init__(self, depth: int, width: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.layer1 = _stage(16, 16 * width, 1, blocks)
        self.layer2 = _stage(16 * width, 32 * width, 2, blocks)
        self.layer3 = _stage(32 * width, 64 * width, 2, blocks)
        self.bn = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(64 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalized images, float [n, 3, h, w], to logits, float [n, classes]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        out: Tensor = self.linear(torch.mean(self.relu(self.bn(x)), dim=(2, 3)))
        return out


def _stage(channels_in: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
    first = Block(channels_in, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))
