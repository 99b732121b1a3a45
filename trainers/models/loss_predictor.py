"""Networks that predict, from one look at a picture, how a classifier's loss on its views would compare.

Noise and blur show in the statistics of early features, content in late ones; so both networks pool several levels
(Kim et al. 2020, 3.3, after Yoo and Kweon 2019), and a level is dropped at random while training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.models.registry import Normalize
from allweather.trainers.torchvision_import import import_torchvision

LARGEST_SIDE = 64  # of what a predictor sees; the paper's for ImageNet
DROPPED = 0.1  # chance that a level of features is left out in training


class LossPredictor(nn.Module):
    """Levels of features, pooled and put together; its normalisation inside.

    Args:
        levels: each takes the features of the one before; the first takes [n, 3, h, w], normalised.
        channels: that each level gives.
        spread: whether the deviation over a level's pixels is pooled beside the mean.
        hidden: width of a layer before the last; none where 0.
        spec: what the network takes.
    """

    def __init__(
        self, levels: nn.ModuleList, channels: tuple[int, ...], *, spread: bool, hidden: int, spec: InputSpec
    ) -> None:
        super().__init__()
        self.normalize = Normalize(spec.mean, spec.std)
        self.levels, self.spread = levels, spread
        features = sum(channels) * (2 if spread else 1)
        body = [nn.Linear(features, hidden), nn.ReLU()] if hidden else []
        self.head = nn.Sequential(*body, nn.Linear(hidden or features, len(VIEWS)))

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 3, h, w], RGB in 0..1 -> float [n, V]: lower means less loss; only differences count."""
        x = self.normalize(x)
        pooled = []
        for level in self.levels:
            x = level(x)
            mean = x.mean((2, 3))
            found = torch.cat([mean, _deviation(x, mean)], 1) if self.spread else mean
            pooled.append(self._dropped(found))
        out: Tensor = self.head(torch.cat(pooled, 1))
        return out

    def _dropped(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        kept = torch.rand(len(features), 1, device=features.device) >= DROPPED
        return features * kept / (1 - DROPPED)


def _deviation(x: Tensor, mean: Tensor) -> Tensor:
    """Over the pixels of each channel; the constant keeps the gradient of a flat one finite."""
    return ((x - mean[:, :, None, None]).square().mean((2, 3)) + 1e-5).sqrt()


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _tiny(spec: InputSpec) -> LossPredictor:
    """4.0 M multiply-adds at 32 px, a tenth of ResNet-20; the stem keeps the full resolution, where noise is."""
    channels, strides = (16, 24, 24, 32, 48), (1, 2, 1, 2, 1)
    layers = [_conv(i, o, s) for i, o, s in zip((3, *channels), channels, strides, strict=False)]
    return LossPredictor(nn.ModuleList(layers), channels, spread=True, hidden=64, spec=spec)


def _efficientnet(spec: InputSpec) -> LossPredictor:
    """EfficientNet-B0 with five levels: 24 + 40 + 80 + 192 + 1280 features."""
    parts = import_torchvision("models").efficientnet_b0(num_classes=2).features
    ends, channels = (3, 4, 5, 7, 9), (24, 40, 80, 192, 1280)
    layers = [parts[begin:end] for begin, end in zip((0, *ends), ends, strict=False)]
    return LossPredictor(nn.ModuleList(layers), channels, spread=False, hidden=0, spec=spec)


@dataclass(frozen=True)
class PredictorKind:
    """How a predictor is made.

    Attributes:
        make: of what it takes.
        lr: highest learning rate (SGD, momentum 0.9, batch 128).
    """

    make: Callable[[InputSpec], LossPredictor]
    lr: float


PREDICTORS: Mapping[str, PredictorKind] = MappingProxyType(
    {"tiny": PredictorKind(_tiny, 0.1), "efficientnet": PredictorKind(_efficientnet, 0.02)}
)


def build_predictor(name: str, spec: InputSpec) -> LossPredictor:
    """A new predictor with random weights (from torch's global generator).

    Args:
        name: of `PREDICTORS`.
        spec: what it takes; see `predictor_input_spec`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in PREDICTORS:
        raise UsageError(f"unknown predictor {name!r}; choose one of {', '.join(PREDICTORS)}")
    return PREDICTORS[name].make(spec)


def predictor_input_spec(classifier: InputSpec) -> InputSpec:
    """What a predictor takes beside a classifier: its picture, shrunk by a whole factor to 64 px or less."""
    factor = -(-max(classifier.height, classifier.width) // LARGEST_SIDE)
    height, width = max(1, classifier.height // factor), max(1, classifier.width // factor)
    return InputSpec(height, width, classifier.mean, classifier.std)
