"""Augmentation-invariant training (Chen et al., ICCVW 2019), for one or several networks, and deep mutual learning.

A step uses several randomly augmented variants of each image. The loss is the cross-entropy of the variants, plus the
AiLoss, which makes the predictions for the variants alike: each follows the others, through which no gradients flow. In
AIT one network processes all variants; in multi-AIT each of several jointly trained networks processes its own variant;
in deep mutual learning (DML; Zhang et al., CVPR 2018) all networks process the same variant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.variants import Variant
from allweather.trainers.choices import InvariantMethod
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.losses.consistency import Metric, ai_loss
from allweather.trainers.models.activation_hooks import Layer, capture_layer
from allweather.trainers.training.objective import cross_entropy

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# lambda in section 4.3 of Chen et al., but for multi-AIT: 3 in the paper, 1 in the program of its authors
DEFAULT_LOSS_WEIGHTS: Mapping[InvariantMethod, float] = MappingProxyType({"ait": 1.0, "multi-ait": 1.0, "dml": 1.0})


class JointNetworks(nn.Module):
    """Jointly trained networks.

    Args:
        networks: Each float [n, 3, h, w] in 0..1 -> float [n, C].
        shared: Whether all networks process the same images; otherwise a batch holds the variant of the first network
            for all images, then that of the second, and so on.
    """

    def __init__(self, networks: Sequence[nn.Module], *, shared: bool) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 3, h, w] if shared, otherwise [networks * n, 3, h, w] -> float [networks * n, C]."""
        count = len(self.networks)
        parts = [x] * count if self.shared else x.chunk(count)
        return torch.cat([network(part) for network, part in zip(self.networks, parts, strict=True)])


@dataclass(frozen=True)
class InvariantObjective:
    """Cross-entropy of the variants plus the dissimilarity of the predictions for the variants (eq. 3).

    For one network ("ait") the cross-entropy is the mean over the variants, as in the program of the authors, and the
    dissimilarity the mean over all pairs of variants. Each of several networks has the cross-entropy of its own
    variant, and the mean of its dissimilarities from all others, as in Zhang et al. (eq. 8). A lambda therefore has the
    same effect for any number of variants or networks.

    Attributes:
        method: Training method; see the module's description.
        variants: Variants of an image: two or more for "ait", one for each network for "multi-ait", one for "dml".
        loss_weight: Weight lambda of the AiLoss.
        metric: How "ait" compares predictions.
        layer: Layer whose outputs "ait" compares.
        label_smoothing: Fraction of the target that is spread over all classes, 0 to below 1.
        augmentation: A further augmentation of each variant; None for none.
        class_weights: Weight of each class in the cross-entropy; none means 1 for each.
        ramp_epochs: Number of epochs in which the loss weight rises from 0, in equal steps; 0 for all of it at once.
    """

    method: InvariantMethod
    variants: tuple[Variant, ...]
    loss_weight: float
    metric: Metric = "kl"
    layer: Layer = "logits"
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    class_weights: tuple[float, ...] = ()
    ramp_epochs: int = 0

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """All values that are not among the settings of the training loop."""
        names = ("method", "loss_weight", "ramp_epochs", "metric", "layer")
        own = {name: getattr(self, name) for name in names}
        augmentation = self.augmentation.resume_key if self.augmentation else {}
        return {**own, "variants": [variant.name for variant in self.variants], **augmentation}

    @property
    def shifted(self) -> Sequence[bool]:
        """One copy for each variant, which is shifted if the variant has a crop."""
        return tuple(variant.crop for variant in self.variants)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes eq. 3 for one batch, with all variants in one forward pass; see `Objective`."""
        parts = images.chunk(len(self.variants))
        images = torch.cat([variant(part, rng) for variant, part in zip(self.variants, parts, strict=True)])
        if self.augmentation:
            images = self.augmentation(images, epoch, rng)
        captured: list[Tensor] = []
        with ExitStack() as stack:
            if self.layer != "logits":
                captured = stack.enter_context(capture_layer(model, self.layer))
            logits: Tensor = model(images)
        num_predictions = len(self.variants) * len(logits) // len(images)  # per image
        labels = labels[: len(logits) // num_predictions].repeat(num_predictions)
        loss = cross_entropy(logits, labels, self.label_smoothing, self.class_weights)
        compared = (captured[-1] if captured else logits).chunk(num_predictions)
        terms = [ai_loss(one, other, self.metric) for one, other in combinations(compared, 2)]
        if self.method == "ait":
            return loss + self._weight(epoch) * torch.stack(terms).mean()
        return num_predictions * loss + self._weight(epoch) * torch.stack(terms).sum() / (num_predictions - 1)

    def _weight(self, epoch: int) -> float:
        """Returns the weight of the AiLoss in an epoch, counted from 0."""
        return self.loss_weight * min(1.0, epoch / self.ramp_epochs) if self.ramp_epochs else self.loss_weight

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the share of images that the network classifies correctly; of several networks, the first."""
        return count_correct(networks_in(model)[0], val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Computes the accuracies of the second and further networks."""
        others = enumerate(networks_in(model)[1:], 2)
        return {accuracy_name(index): count_correct(network, val, fabric) / len(val) for index, network in others}


def accuracy_name(index: int) -> str:
    """Returns the name of a network's validation accuracy in reports; the second network has index 2."""
    return "val_accuracy" if index == 1 else f"val_accuracy {index}"


def networks_in(model: nn.Module) -> Sequence[nn.Module]:
    """Returns the networks of `JointNetworks`, or the network itself."""
    return list(model.networks) if isinstance(model, JointNetworks) else [model]
