"""Classifiers by name: CIFAR and Wide ResNets, and torchvision's ResNet-18, ResNet-50, VGG-16 and MobileNetV2.

Every one is a `Classifier`: pixels in [0, 1] go in, the first layer normalises them, logits come out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.cifar_resnet import CifarResNet
from allweather.trainers.models.wide_resnet import WideResNet
from allweather.trainers.torchvision_import import import_torchvision

SMALL_SIDE = 64  # up to here a picture is too small for the stride-4 stem made for ImageNet


class Normalize(nn.Module):
    """(x - mean) / std per channel; the constants are buffers, so they move and export with the model."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 3, h, w] in 0..1 -> the same shape, normalised."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """A network with its normalisation inside.

    Args:
        network: float [n, 3, h, w], normalised -> float [n, C] logits.
        spec: what the network takes.
    """

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.normalize = Normalize(spec.mean, spec.std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 3, h, w], RGB in 0..1 -> float [n, C] logits."""
        out: Tensor = self.network(self.normalize(x))
        return out


@dataclass(frozen=True)
class Architecture:
    """How a network is made.

    Attributes:
        make: (classes, small) -> network; `small` asks for the stem for pictures up to 64 px.
        lr: the highest learning rate of the default recipe (SGD, momentum 0.9, batch 128).
        pretrained: name of torchvision's weights, or "" where there are none.
        side: usual input side in pixels.
    """

    make: Callable[[int, bool], nn.Module]
    lr: float
    pretrained: str
    side: int


def _resnet(name: str, classes: int, small: bool) -> nn.Module:
    network: nn.Module = getattr(import_torchvision("models"), name)(num_classes=classes)
    if small:
        network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = nn.Identity()
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _vgg16(classes: int, small: bool) -> nn.Module:
    network: nn.Module = import_torchvision("models").vgg16(num_classes=classes)
    if small:  # five poolings leave 1 x 1 of 32 px; repeating it 7 x 7 would spend 103 M weights on copies
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
    if small:  # 32 px through five halvings is one pixel; without the first two it is 4 x 4
        network.features[0][0].stride = (1, 1)
        network.features[2].conv[1][0].stride = (1, 1)
    made: nn.Module = network
    return made


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "resnet20": Architecture(lambda classes, small: CifarResNet(20, classes), 0.2, "", 32),
        "resnet32": Architecture(lambda classes, small: CifarResNet(32, classes), 0.2, "", 32),
        "resnet56": Architecture(lambda classes, small: CifarResNet(56, classes), 0.1, "", 32),
        "resnet18": Architecture(lambda c, small: _resnet("resnet18", c, small), 0.1, "ResNet18_Weights", 224),
        "resnet50": Architecture(lambda c, small: _resnet("resnet50", c, small), 0.1, "ResNet50_Weights", 224),
        "mobilenetv2": Architecture(_mobilenetv2, 0.1, "MobileNet_V2_Weights", 224),
        "wrn16-4": Architecture(lambda classes, small: WideResNet(16, 4, classes), 0.1, "", 32),
        "wrn28-10": Architecture(lambda classes, small: WideResNet(28, 10, classes), 0.1, "", 32),
        # without BatchNorm, as in the FMA paper: five times the rate diverges in the first epoch
        "vgg16": Architecture(_vgg16, 0.02, "VGG16_Weights", 224),
    }
)


def get_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build_model(arch: str, classes: int, spec: InputSpec) -> Classifier:
    """A new classifier with random weights (from torch's global generator).

    Args:
        arch: a name of `ARCHITECTURES`.
        classes: number of outputs, >= 2.
        spec: size decides the stem; mean and std go into the first layer.

    Raises:
        UsageError: no such architecture, or fewer than two classes.
    """
    if classes < 2:
        raise UsageError(f"a classifier needs at least two classes; got {classes}")
    small = max(spec.height, spec.width) <= SMALL_SIDE
    return Classifier(get_architecture(arch).make(classes, small), spec)


def weights_digest(model: nn.Module) -> str:
    """Short hash of all weights and statistics of a model."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_pretrained(model: Classifier, arch: str) -> None:
    """Copies torchvision's ImageNet weights into `model`, all but the layers of another shape (stem, head).

    Torchvision fetches the file once, on this explicit request, and keeps it in torch's hub folder.

    Raises:
        UsageError: torchvision has no weights for this architecture.
        DataError: the weights could not be fetched.
    """
    name = get_architecture(arch).pretrained
    if not name:
        have = ", ".join(key for key, value in ARCHITECTURES.items() if value.pretrained)
        raise UsageError(f"there are no pretrained weights for {arch}; they exist for {have}")
    weights = getattr(import_torchvision("models"), name).DEFAULT
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # urllib's errors are OSErrors
        raise DataError(
            f"cannot fetch the pretrained weights {weights.url}: {error}; "
            f"put the file into {torch.hub.get_dir()}/checkpoints and run again"
        ) from error
    own = model.network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    model.network.load_state_dict(fitting, strict=False)
