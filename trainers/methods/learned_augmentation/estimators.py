"""The influence of images on the validation loss, estimated through the last layer of one classifier or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.methods.learned_augmentation import influence
from allweather.trainers.models.activation_hooks import capture_layer, last_linear

BATCH_SIZE = 500


class FeatureExtractor(nn.Module):
    """A frozen classifier up to its last linear layer.

    Args:
        classifier: float [n, 3, h, w] in 0..1 -> float [n, C]; its weights are frozen.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Device of the classifier."""
        return next(self.classifier.parameters()).device

    def forward(self, images: Tensor) -> Tensor:
        """float [n, 3, h, w] in 0..1 -> float32 [n, d]; gradients reach the images."""
        with capture_layer(self.classifier, "feature") as captured:
            self.classifier(images)
        return captured[0].float()


@dataclass(frozen=True)
class InfluenceEstimator:
    """Computes the influence of images on the validation loss of one classifier.

    Attributes:
        extractor: The classifier's feature extractor.
        weight: Weight of the last layer at the minimum of the training loss, float32 [C, d + 1].
        inverse: Inverse Hessian times the gradient of the validation loss, float32 [C, d + 1].
    """

    extractor: FeatureExtractor
    weight: Tensor
    inverse: Tensor

    def influence(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the influence of each image, float [n]; see `influence.loss_influence`.

        Args:
            images: float [n, 3, h, w] in 0..1; gradients reach them.
            labels: int64 [n].
        """
        return self.of_features(influence.append_one(self.extractor(images)), labels)

    def of_features(self, features: Tensor, labels: Tensor) -> Tensor:
        """Returns the influence of images by their features, float [n, d + 1] with a column of ones."""
        return influence.loss_influence(self.inverse, self.weight, features, labels)


def fit_estimators(
    extractor: FeatureExtractor, train: LabeledImages, val: LabeledImages, parts: Sequence[Tensor], damping: float
) -> list[InfluenceEstimator]:
    """Fits the last layer and solves for the inverse-Hessian-vector products by conjugate gradients.

    The images are run batch by batch; their features, 8 bytes for each number, are in memory all at once, as each step
    of the fit takes all of them.

    Args:
        extractor: Features of a classifier trained on `train`; it may be on another device than the splits.
        train: Its training images, of which each can be read.
        val: The images whose loss is to decrease: some that it was not trained on, or changed versions of them; see
            `validation_images`.
        parts: For each estimator the indices in `val` of the images whose loss it is about, int64 [m].
        damping: Damping of the training loss; see `influence`.

    Returns:
        An estimator for each part; all have the same last layer.

    Raises:
        UsageError: The classifier has no linear layer.
        TrainingError: The fit did not converge.
    """
    features = _features(extractor, train)
    start = features.new_zeros(last_linear(extractor.classifier).out_features, features.shape[1])
    weight = influence.fit_last_layer(start, features, train.labels.to(features.device), damping)
    val_features, val_labels = _features(extractor, val), val.labels.to(features.device)
    product = influence.hessian_product(weight, features, damping)
    estimators = []
    for part in parts:
        chosen = part.to(features.device)
        gradient = influence.mean_gradient(weight, val_features[chosen], val_labels[chosen])
        inverse = influence.conjugate_gradients(product, gradient)
        estimators.append(InfluenceEstimator(extractor, weight.float(), inverse.float()))
    return estimators


@dataclass(frozen=True)
class MeanInfluence:
    """The influence of images as a mean over classifiers, each in units of its own deviation.

    Attributes:
        estimators: The estimator of each classifier.
        scales: For each classifier the standard deviation by which its influences are divided, above 0; see
            `influence_deviation`.
    """

    estimators: tuple[InfluenceEstimator, ...]
    scales: tuple[float, ...]

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the influence of each image, float [n]; arguments as for `InfluenceEstimator.influence`."""
        return influences_on_parts([self], images, labels)[0]


def influences_on_parts(parts: Sequence[MeanInfluence], images: Tensor, labels: Tensor) -> Tensor:
    """Returns the influence of each image on several parts of the validation images; the features are computed once.

    Args:
        parts: The influence on each part, of the same classifiers; see `mean_influences`.
        images: float [n, 3, h, w] in 0..1; gradients reach them.
        labels: int64 [n].

    Returns:
        float [len(parts), n].
    """
    of_classifiers = []
    for index, estimator in enumerate(parts[0].estimators):
        features = influence.append_one(estimator.extractor(images))
        of_parts = [part.estimators[index].of_features(features, labels) / part.scales[index] for part in parts]
        of_classifiers.append(torch.stack(of_parts))
    return torch.stack(of_classifiers).mean(0)


def mean_influences(
    extractors: Sequence[FeatureExtractor],
    train: LabeledImages,
    val: LabeledImages,
    parts: Sequence[Tensor],
    damping: float,
) -> list[MeanInfluence]:
    """Returns the influence on each part of the validation images, as a mean over classifiers.

    Args:
        extractors: Features of classifiers that were trained on `train`.
        train: As for `fit_estimators`.
        val: As for `fit_estimators`.
        parts: As for `fit_estimators`. The first one gives each classifier its scale, for all parts.
        damping: As for `fit_estimators`.

    Raises:
        UsageError: A classifier has no linear layer.
        TrainingError: A fit did not converge.
    """
    fitted = [fit_estimators(extractor, train, val, parts, damping) for extractor in extractors]
    scales = tuple(influence_deviation(estimators[0], train) for estimators in fitted)
    return [MeanInfluence(of_part, scales) for of_part in zip(*fitted, strict=True)]


def influence_deviation(estimator: InfluenceEstimator, train: LabeledImages) -> float:
    """Returns the standard deviation of the unchanged training images' influences: the scale of their classifier."""
    with torch.no_grad():
        batches = (batch.to(estimator.extractor.device) for batch in train.batches(BATCH_SIZE))
        influences = torch.cat([estimator.influence(to_float(batch.images), batch.labels) for batch in batches])
    return max(float(influences.std()), 1e-12)


def _features(extractor: FeatureExtractor, split: LabeledImages) -> Tensor:
    """Returns the features of images with a column of ones, float64 [n, d + 1]."""
    with torch.no_grad():
        batches = (batch.images.to(extractor.device) for batch in split.batches(BATCH_SIZE))
        parts = [extractor(to_float(images)) for images in batches]
    return influence.append_one(torch.cat(parts).double())
