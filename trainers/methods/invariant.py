"""Augmentation-invariant training (Chen et al., ICCVW 2019), for one network or several, and deep mutual learning.

Several variants of a picture get its label and, by the AiLoss, the same answer. In AIT one network sees them all, in
multi-AIT each of several networks sees its own; in deep mutual learning (Zhang et al., CVPR 2018) all networks see the
same one, and each follows the others' answers as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.pairing import Augmentation
from allweather.trainers.augmentations.variants import Variant
from allweather.trainers.data.dataset import Split
from allweather.trainers.losses.consistency import Metric, ai_loss, kl_divergence
from allweather.trainers.models.activation_hooks import Layer, capture_layer
from allweather.trainers.training.inference import count_correct

InvariantMethod = Literal["ait", "multi-ait", "dml"]
WEIGHTS: Mapping[InvariantMethod, float] = MappingProxyType({"ait": 1.0, "multi-ait": 3.0, "dml": 1.0})  # section 4.3
OTHER = "val_accuracy {}"  # of the second network and so on, in reports


class JointNetworks(nn.Module):
    """Several networks that learn together.

    Args:
        networks: each float [n, 3, h, w] in 0..1 -> float [n, C].
        shared: whether all see the same pictures; else a batch holds a variant for each, one after the other.
    """

    def __init__(self, networks: Sequence[nn.Module], *, shared: bool) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 3, h, w], or [networks * n, 3, h, w] unless shared -> float [networks * n, C]."""
        count = len(self.networks)
        parts = [x] * count if self.shared else x.chunk(count)
        return torch.cat([network(part) for network, part in zip(self.networks, parts, strict=True)])


@dataclass(frozen=True)
class InvariantObjective:
    """Cross-entropy of every variant, and how unlike their answers are (eq. 3).

    Of more than two answers each is compared with all others and the mean taken, as Zhang et al. do (eq. 8): so lambda
    means the same for any number.

    Attributes:
        method: see above.
        variants: of a picture: two or more for "ait", one for each network for "multi-ait", one for "dml".
        weight: lambda.
        metric: of "ait".
        layer: what is compared; of "ait".
        label_smoothing: share of the target spread over all classes, 0 to below 1.
        distortion: what is done to each variant besides.
    """

    method: InvariantMethod
    variants: tuple[Variant, ...]
    weight: float
    metric: Metric = "kl"
    layer: Layer = "logits"
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """All that the loop's own settings do not hold."""
        own = {key: value for key, value in asdict(self).items() if key not in ("distortion", "label_smoothing")}
        augmentation = self.augmentation.resume_key if self.augmentation else {}
        return {**own, "variants": [variant.name for variant in self.variants], **augmentation}

    @property
    def shifted(self) -> Sequence[bool]:
        """Which variants are crops."""
        return tuple(variant.crop for variant in self.variants)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Eq. 3 for one batch, all variants in one pass; see `Objective`."""
        parts = images.chunk(len(self.variants))
        images = torch.cat([variant(part, rng) for variant, part in zip(self.variants, parts, strict=True)])
        if self.augmentation:
            images = self.augmentation(images, epoch, rng)
        seen: list[Tensor] = []
        with ExitStack() as stack:
            if self.layer != "logits":
                seen = stack.enter_context(capture_layer(model, self.layer))
            logits: Tensor = model(images)
        answers = len(self.variants) * len(logits) // len(images)  # of each picture
        labels = labels[: len(logits) // answers].repeat(answers)
        loss = answers * functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return loss + self.weight * self._unlike((seen[-1] if seen else logits).chunk(answers))

    def _unlike(self, answers: Sequence[Tensor]) -> Tensor:
        loss_weights = []
        for one, other in combinations(answers, 2):
            if self.method == "dml":
                loss_weights += [kl_divergence(one.detach(), other), kl_divergence(other.detach(), one)]
            else:
                loss_weights.append(ai_loss(one, other, self.metric))
        return torch.stack(loss_weights).sum() / (len(answers) - 1)

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """Share of the pictures that the network, or the first of them, puts into their class."""
        return count_correct(networks_of(model)[0], val, fabric) / len(val)

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """The same of the other networks."""
        others = enumerate(networks_of(model)[1:], 2)
        return {OTHER.format(number): count_correct(each, val, fabric) / len(val) for number, each in others}


def networks_of(model: nn.Module) -> Sequence[nn.Module]:
    """Those of a cohort, or the network itself."""
    return list(model.networks) if isinstance(model, JointNetworks) else [model]
