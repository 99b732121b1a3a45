"""The built-in architectures: CIFAR and Wide ResNets, and ResNet-18, ResNet-50, VGG-16 and MobileNetV2.

Those that torchvision has too get another stem for images up to 64 px.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.architecture import Architecture
from allweather.trainers.models.cifar_resnet import CifarResNet
from allweather.trainers.models.libraries import torchvision_weights
from allweather.trainers.models.wide_resnet import WideResNet
from allweather.trainers.torchvision_import import import_torchvision

MAX_SMALL_SIDE = 64  # pixels; images up to this side are too small for the stem of stride 4, made for ImageNet


def _resnet(name: str, classes: int, small: bool) -> nn.Module:
    network: nn.Module = getattr(import_torchvision("models"), name)(num_classes=classes)
    if small:
        network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = nn.Identity()
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _vgg16(classes: int, small: bool) -> nn.Module:
    network: nn.Module = import_torchvision("models").vgg16(num_classes=classes)
    if small:  # five poolings reduce 32 px to 1 x 1; torchvision's 7 x 7 would spend 103 M weights on 49 copies of it
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        head = [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()]
        network.classifier = nn.Sequential(*head, nn.Linear(512, classes))
        for module in network.classifier.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
    return network


def _mobilenetv2(classes: int, small: bool) -> nn.Module:
    network = import_torchvision("models").mobilenet_v2(num_classes=classes)
    if small:  # five halvings would reduce 32 px to one pixel; without the first two, 4 x 4 pixels are left
        network.features[0][0].stride = (1, 1)
        network.features[2].conv[1][0].stride = (1, 1)
    result: nn.Module = network
    return result


def _architecture(build: Callable[[int, bool], nn.Module], lr: float, side: int, pretrained: str = "") -> Architecture:
    def build_for(classes: int, spec: InputSpec) -> nn.Module:
        return build(classes, max(spec.height, spec.width) <= MAX_SMALL_SIDE)

    weights = (lambda classes, spec: torchvision_weights(pretrained)) if pretrained else None
    return Architecture(build_for, lr, InputSpec(side, side), weights)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "resnet8": _architecture(lambda classes, small: CifarResNet(8, classes), 0.2, 32),
        "resnet20": _architecture(lambda classes, small: CifarResNet(20, classes), 0.2, 32),
        "resnet32": _architecture(lambda classes, small: CifarResNet(32, classes), 0.2, 32),
        "resnet56": _architecture(lambda classes, small: CifarResNet(56, classes), 0.1, 32),
        "resnet18": _architecture(lambda c, small: _resnet("resnet18", c, small), 0.1, 224, "resnet18"),
        "resnet50": _architecture(lambda c, small: _resnet("resnet50", c, small), 0.1, 224, "resnet50"),
        "mobilenetv2": _architecture(_mobilenetv2, 0.1, 224, "mobilenet_v2"),
        "wrn16-4": _architecture(lambda classes, small: WideResNet(16, 4, classes), 0.1, 32),
        "wrn28-10": _architecture(lambda classes, small: WideResNet(28, 10, classes), 0.1, 32),
        # without BatchNorm, as in the FMA paper; five times this learning rate diverges in the first epoch
        "vgg16": _architecture(_vgg16, 0.02, 224, "vgg16"),
    }
)
