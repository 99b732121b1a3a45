"""Classifiers by name: CIFAR and Wide ResNets, and torchvision's ResNet-18, ResNet-50, VGG-16 and MobileNetV2.

Each is a `Classifier`, which takes pixels in 0..1, normalizes them in its first layer and returns logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import DataError, UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.cifar_resnet import CifarResNet
from allweather.trainers.models.wide_resnet import WideResNet
from allweather.trainers.torchvision_import import import_torchvision

MAX_SMALL_SIDE = 64  # pixels; images up to this side are too small for the stem of stride 4, made for ImageNet


class Normalize(nn.Module):
    """Normalizes each channel: (x - mean) / std. The constants are buffers, so they move and export with the model.

    Args:
        mean: Mean of each channel, on the scale of pixels in 0..1.
        std: Standard deviation of each channel, on the same scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes float [n, 3, h, w] in 0..1; the shape stays."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """A network with the normalization of its input inside.

    Args:
        network: Maps normalized images, float [n, 3, h, w], to logits, float [n, C].
        spec: Input of the network; its mean and std make the normalization.
    """

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.normalize = Normalize(spec.mean, spec.std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Maps RGB images, float [n, 3, h, w] in 0..1, to logits, float [n, C]."""
        out: Tensor = self.network(self.normalize(x))
        return out


@dataclass(frozen=True)
class Architecture:
    """How an architecture is built and trained.

    Attributes:
        build: Builds the network from the number of classes and whether it gets the stem for images up to 64 px.
        lr: Highest learning rate of the default training config (SGD, momentum 0.9, batch size 128).
        pretrained: Name of torchvision's enum of pretrained weights, or "" if there are none.
        side: Usual side of the input in pixels.
    """

    build: Callable[[int, bool], nn.Module]
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
        # without BatchNorm, as in the FMA paper; five times this learning rate diverges in the first epoch
        "vgg16": Architecture(_vgg16, 0.02, "VGG16_Weights", 224),
    }
)


def get_architecture(name: str) -> Architecture:
    """Returns the architecture of a name of `ARCHITECTURES`.

    Raises:
        UsageError: There is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def build_model(arch: str, classes: int, spec: InputSpec) -> Classifier:
    """Builds a classifier with random weights, drawn from torch's global generator.

    Args:
        arch: A name of `ARCHITECTURES`.
        classes: Number of outputs, at least 2.
        spec: Input of the classifier. Its size selects the stem; its mean and std go into the first layer.

    Raises:
        UsageError: There is no architecture of that name, or there are fewer than two classes.
    """
    if classes < 2:
        raise UsageError(f"a classifier needs at least two classes; got {classes}")
    small = max(spec.height, spec.width) <= MAX_SMALL_SIDE
    return Classifier(get_architecture(arch).build(classes, small), spec)


def weights_digest(model: nn.Module) -> str:
    """Returns a short SHA-256 digest, 16 hexadecimal digits, of all weights and buffers in a model's state dict."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_pretrained(model: Classifier, arch: str) -> None:
    """Copies torchvision's ImageNet weights into a model, except for layers of another shape (stem, head).

    Torchvision downloads the file at the first call and keeps it in torch's hub folder.

    Args:
        model: The classifier to change, of architecture `arch`.
        arch: A name of `ARCHITECTURES`.

    Raises:
        UsageError: Torchvision has no weights for this architecture.
        DataError: The weights cannot be downloaded.
    """
    name = get_architecture(arch).pretrained
    if not name:
        pretrained = ", ".join(key for key, value in ARCHITECTURES.items() if value.pretrained)
        raise UsageError(f"there are no pretrained weights for {arch}; they exist for {pretrained}")
    weights = getattr(import_torchvision("models"), name).DEFAULT
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # urllib's errors are OSErrors
        raise DataError(
            f"cannot download the pretrained weights {weights.url}: {error}; "
            f"put the file into {torch.hub.get_dir()}/checkpoints and run again"
        ) from error
    own = model.network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    model.network.load_state_dict(fitting, strict=False)
