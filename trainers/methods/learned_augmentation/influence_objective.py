"""The augmentation network's second lesson: to make pictures whose influence lowers the validation loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork, TransformStage, code_dropout
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.learned_augmentation import influence
from allweather.trainers.models.activation_hooks import capture_layer, last_linear
from allweather.trainers.training.inference import all_reduced

BATCH = 500
MEASURED = 2000  # pictures that each epoch is judged on
SEED = 53
APART = 0.6  # of the limits, that two draws for a picture are to differ by: any two, as a mean is met by two looks
SPREAD = 0.3  # variance that every combination of what G asks for is to have between draws, in squares of the limits
WEIGHT = 4.0  # of what lacks to both


class TwoDraws(nn.Module):
    """Augments pictures, and says what other draws lack in difference.

    Args:
        augmenter: it is trained.
    """

    def __init__(self, augmenter: AugmentationNetwork) -> None:
        super().__init__()
        self.augmenter = augmenter

    def forward(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """float [n, 3, h, w] in 0..1 -> (the same shape, augmented; a number, see `diversity_loss`)."""
        same = []
        for part in self.augmenter.parts:
            assert isinstance(part, TransformStage)
            code = part.encode(images)
            one, other = (part.decode(code_dropout(code, rng)) for _ in range(2))
            asked = []
            for fields in (one, other):
                parts = [
                    field[head] / most
                    for head in part.heads
                    for field, most in zip((fields.weights, fields.biases), part.limits(head), strict=True)
                ]
                asked.append(torch.cat([each.flatten(1) for each in parts], 1))
            same.append(diversity_loss(asked[0], asked[1]))
            images = one.apply(images)[1]
        return images, torch.stack(same).mean()


def diversity_loss(one: Tensor, other: Tensor) -> Tensor:
    """What two draws for each picture lack in difference.

    Without it the draws for a picture become one; held to a mean difference, two. The paper has no such term.

    Args:
        one: float [n, k] in -1..1, what G asks for in units of its limits.
        other: the same of another draw.

    Returns:
        A number from 0: the mean lack of a pair to `APART`, and of the principal variances between draws to `SPREAD`.
    """
    change = (one - other).float()
    covariance = (change[:, :, None] * change[:, None]).mean(0) / 2  # no matmul: that may be bf16
    variances = torch.linalg.eigvalsh(covariance.nan_to_num())  # where a run diverged the other term says so
    return functional.relu(APART - change.abs().mean(1)).mean() + functional.relu(SPREAD - variances).mean()


class Body(nn.Module):
    """A frozen classifier up to its last linear layer.

    Args:
        classifier: float [n, 3, h, w] in 0..1 -> float [n, C]; its weights are frozen.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Of the classifier."""
        return next(self.classifier.parameters()).device

    def forward(self, images: Tensor) -> Tensor:
        """float [n, 3, h, w] in 0..1 -> float32 [n, d]; gradients reach the pictures."""
        with capture_layer(self.classifier, "feature") as found:
            self.classifier(images)
        return found[0].float()


@dataclass(frozen=True)
class InfluenceEstimator:
    """Where the validation loss falls: all that the influence of a picture through one classifier needs.

    Attributes:
        body: the classifier's.
        weight: of its last layer at the minimum of the training loss, float32 [C, d + 1].
        inverse: inverse Hessian times the gradient of the validation loss, float32 [C, d + 1].
    """

    body: Body
    weight: Tensor
    inverse: Tensor

    def influence(self, images: Tensor, labels: Tensor) -> Tensor:
        """Of pictures float [n, 3, h, w] in 0..1 with labels int64 [n]: float [n], see `influence.influence`."""
        return influence.influence(self.inverse, self.weight, influence.with_one(self.body(images)), labels)


def estimator(body: Body, train: Split, val: Split, val_images: Tensor, damping: float) -> InfluenceEstimator:
    """Fits the last layer anew and solves for the inverse-Hessian-vector product by conjugate gradients.

    Args:
        body: of a classifier trained on `train`; it may be on another device than the splits.
        train: its training pictures.
        val: pictures that it was not trained on.
        val_images: those, or distorted ones of theirs, whose loss is to fall; uint8 [m, h, w, 3].
        damping: see `influence`.

    Raises:
        UsageError: the classifier has no linear layer.
        TrainingError: the fit did not converge.
    """
    features = _features(body, train.images)
    start = features.new_zeros(last_linear(body.classifier).out_features, features.shape[1])
    weight = influence.refit(start, features, train.labels.to(features.device), damping)
    gradient = influence.mean_gradient(weight, _features(body, val_images), val.labels.to(features.device))
    product = influence.hessian_product(weight, features, damping)
    return InfluenceEstimator(body, weight.float(), influence.conjugate_gradients(product, gradient).float())


@dataclass(frozen=True)
class InfluenceObjective:
    """Makes the influence of augmented pictures negative, of each of them.

    What counts is the hyperbolic tangent of the influence, in units of how much it differs between the pictures as
    they are. The influence itself has no floor: it is lowest for pictures that nobody can recognize
    (docs/results/learned-augmentation.md), as it is a slope for one sample among all, and here all are to be replaced.

    Attributes:
        slope: of the classifier.
        scale: what influences are divided by, above 0.
        classifier: digest of the classifier, the validation pictures and the damping.
    """

    estimator: InfluenceEstimator
    scale: float
    classifier: str

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The stage and what the slope came from."""
        return {"stage": "benefit", "classifier": self.classifier}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Mean of the bounded influences of a batch, augmented, and what its draws lack in difference."""
        made, same = model(images, rng)
        bounded = torch.tanh(self.estimator.influence(made, labels) / self.scale).mean()
        loss: Tensor = bounded + WEIGHT * same
        return loss

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Share of the pictures that are worth more augmented than as they are."""
        return float((self._gains(model, val) > 0).float().mean())

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """How far influence falls by augmenting, in units of the scale, the mean over pictures."""
        return {"gain": float(all_reduced(fabric, self._gains(model, val).mean(), "mean"))}

    def _gains(self, model: nn.Module, val: Split) -> Tensor:
        assert isinstance(model.augmenter, AugmentationNetwork)
        augmenter = model.augmenter.eval()
        rng = torch.Generator(val.images.device).manual_seed(SEED)
        found = []
        # from all over, as pictures of folders come class by class
        some = torch.linspace(0, len(val) - 1, min(MEASURED, len(val)), device=val.labels.device).long()
        with torch.no_grad():
            for chosen in torch.split(some, BATCH):
                images, labels = to_float(val.images[chosen]), val.labels[chosen]
                found.append(
                    self.estimator.influence(images, labels) - self.estimator.influence(augmenter(images, rng), labels)
                )
        return torch.cat(found) / self.scale


def influence_deviation(found: InfluenceEstimator, train: Split) -> float:
    """Deviation of the influences of training pictures as they are; the scale of `Benefit`."""
    with torch.no_grad():
        parts = zip(torch.split(train.images, BATCH), torch.split(train.labels, BATCH), strict=True)
        device = found.body.device
        influences = torch.cat([found.influence(to_float(x.to(device)), labels.to(device)) for x, labels in parts])
    return max(float(influences.std()), 1e-12)


def _features(body: Body, images: Tensor) -> Tensor:
    """float64 [n, d + 1] of uint8 pictures."""
    with torch.no_grad():
        parts = [body(to_float(part.to(body.device))) for part in torch.split(images, BATCH)]
    return influence.with_one(torch.cat(parts).double())
