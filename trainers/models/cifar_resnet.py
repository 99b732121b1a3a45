"""The CIFAR ResNet of He et al. 2016 (arXiv:1512.03385, section 4.2): depth 6n + 2, three stages, plain shortcuts.

Module names follow the usual public implementations (`conv1`, `layer1.0.bn2`, `linear`), so that published state dicts
load as they are. Each ReLU is a module of its own, so that a forward hook can address each by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut without parameters (option A of the paper)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.stride, self.extra_channels = stride, channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Maps float [n, channels_in, h, w] to float [n, channels, h / stride, w / stride]."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.extra_channels:
            before = self.extra_channels // 2
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra_channels - before)
            )
        result: Tensor = self.relu2(out + x)
        return result


class CifarResNet(nn.Module):
    """ResNet-8, -20, -32, -56 and so on, for images of about 32 px; the last pooling allows any size from 4 px.

    Args:
        depth: Number of layers with weights, 6n + 2.
        classes: Number of outputs.
    """

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalized images, float [n, 3, h, w], to logits, float [n, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.linear(torch.mean(x, dim=(2, 3)))
        return out


def _stage(channels_in: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
    first = Block(channels_in, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))
