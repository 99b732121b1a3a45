"""Networks that predict from the unchanged image how the losses of a classifier on its views will compare.

Noise and blur show in the statistics of early features, content in late ones. Both networks therefore pool features of
several levels (Kim et al. 2020, section 3.3, after Yoo and Kweon 2019), and drop levels at random while training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import check_instance, is_whole
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.models.classifier import Normalize
from allweather.trainers.torchvision_import import import_torchvision

MAX_SIDE = 64  # largest side in pixels of a predictor's input; the paper's for ImageNet
LEVEL_DROPOUT = 0.1  # probability that a level of an image is dropped in training


class LossPredictor(nn.Module):
    """Pools the features of several levels and maps them to one predicted loss for each view.

    The normalization of the input is part of the network.

    Args:
        levels: Modules that follow each other; the first takes normalized images, float [n, 3, h, w].
        channels: Number of output channels of each level.
        num_views: Number of views V.
        pool_deviation: Whether a level's standard deviation over the pixels is pooled beside its mean.
        hidden_size: Width of a hidden layer before the output; 0 for none.
        spec: Input of the network; its mean and std make the normalization.
    """

    def __init__(
        self,
        levels: nn.ModuleList,
        channels: tuple[int, ...],
        num_views: int,
        *,
        pool_deviation: bool,
        hidden_size: int,
        spec: InputSpec,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(spec.mean, spec.std)
        self.levels, self.pool_deviation = levels, pool_deviation
        features = sum(channels) * (2 if pool_deviation else 1)
        hidden = [nn.Linear(features, hidden_size), nn.ReLU()] if hidden_size else []
        self.head = nn.Sequential(*hidden, nn.Linear(hidden_size or features, num_views))

    def forward(self, x: Tensor) -> Tensor:
        """Predicts how the losses compare.

        Args:
            x: RGB images, float [n, 3, h, w] in 0..1.

        Returns:
            float [n, V]. A lower value means a lower loss; only differences within a row matter.
        """
        x = self.normalize(x)
        pooled = []
        for level in self.levels:
            x = level(x)
            mean = x.mean((2, 3))
            features = torch.cat([mean, _deviation(x, mean)], 1) if self.pool_deviation else mean
            pooled.append(self._level_dropout(features))
        out: Tensor = self.head(torch.cat(pooled, 1))
        return out

    def _level_dropout(self, features: Tensor) -> Tensor:
        """In training, zeroes all features of random images and scales up those of the others."""
        if not self.training:
            return features
        kept = torch.rand(len(features), 1, device=features.device) >= LEVEL_DROPOUT
        return features * kept / (1 - LEVEL_DROPOUT)


def _deviation(x: Tensor, mean: Tensor) -> Tensor:
    """Returns the standard deviation over the pixels of each channel; a constant keeps the gradient finite at 0."""
    return ((x - mean[:, :, None, None]).square().mean((2, 3)) + 1e-5).sqrt()


def _conv(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


def _tiny(spec: InputSpec, num_views: int) -> LossPredictor:
    """Builds a predictor of 4.0 M multiply-adds at 32 px, a tenth of ResNet-20.

    Its first layer keeps the full resolution, in which noise shows.
    """
    channels, strides = (16, 24, 24, 32, 48), (1, 2, 1, 2, 1)
    levels = [_conv(i, o, s) for i, o, s in zip((3, *channels), channels, strides, strict=False)]
    return LossPredictor(nn.ModuleList(levels), channels, num_views, pool_deviation=True, hidden_size=64, spec=spec)


def _efficientnet(spec: InputSpec, num_views: int) -> LossPredictor:
    """Builds an EfficientNet-B0 with five levels of 24 + 40 + 80 + 192 + 1280 features."""
    layers = import_torchvision("models").efficientnet_b0(num_classes=2).features
    ends, channels = (3, 4, 5, 7, 9), (24, 40, 80, 192, 1280)
    levels = [layers[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    return LossPredictor(nn.ModuleList(levels), channels, num_views, pool_deviation=False, hidden_size=0, spec=spec)


@dataclass(frozen=True)
class PredictorArchitecture:
    """How a kind of loss predictor is built and trained.

    Attributes:
        build: Builds the network from its input and the number of views.
        lr: Highest learning rate (SGD, momentum 0.9, batch size 128).
    """

    build: Callable[[InputSpec, int], LossPredictor]
    lr: float


PREDICTORS: Mapping[str, PredictorArchitecture] = MappingProxyType(
    {"tiny": PredictorArchitecture(_tiny, 0.1), "efficientnet": PredictorArchitecture(_efficientnet, 0.02)}
)


def build_predictor(name: str, spec: InputSpec, num_views: int = len(VIEWS)) -> LossPredictor:
    """Builds a loss predictor with random weights, drawn from torch's global generator.

    Args:
        name: "tiny" or "efficientnet".
        spec: Input of the predictor; see `predictor_input_spec`.
        num_views: Number of views, at least 1. All views of `VIEWS` by default.

    Raises:
        UsageError: There is no predictor of that name, or it would predict for no view.
    """
    if not isinstance(name, str) or name not in PREDICTORS:
        raise unknown_name("loss predictor", str(name), PREDICTORS)
    if not is_whole(num_views) or num_views < 1:
        raise UsageError(f"a loss predictor has a whole number of views, at least 1; got {num_views!r:.40}")
    check_instance("spec", spec, InputSpec, "predictor_input_spec(InputSpec(height, width)) makes one")
    return PREDICTORS[name].build(spec, int(num_views))


def predictor_input_spec(classifier: InputSpec) -> InputSpec:
    """Returns the input of a classifier's predictor: the same image, reduced by an integer factor to at most 64 px.

    Raises:
        UsageError: `classifier` is no InputSpec.
    """
    check_instance("classifier", classifier, InputSpec, "the input of the classifier; InputSpec(height, width) is one")
    factor = -(-max(classifier.height, classifier.width) // MAX_SIDE)
    height, width = max(1, classifier.height // factor), max(1, classifier.width // factor)
    return InputSpec(height, width, classifier.mean, classifier.std)
