"""What a training makes small: labels alone, or answers that stay the same from variant to variant as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.learned.augmentation import open_augmentation
from allweather.trainers.augmentations.variants import Variant, parse_variants
from allweather.trainers.losses.consistency import Metric
from allweather.trainers.methods.invariant import WEIGHTS, InvariantMethod, InvariantObjective
from allweather.trainers.models.activation_hooks import Layer
from allweather.trainers.training.objective import CrossEntropy, Objective

TrainMethod = Literal["plain", InvariantMethod]
# of a batch, by a learned augmentation; the pictures of a test are not warped (docs/results/learned-augmentation.md)
AUGMENTED = 0.5


@dataclass(frozen=True)
class TrainConfig:
    """Method and augmentation of a training.

    Attributes:
        method: "plain", "ait", "multi-ait" or "dml"; see `invariant`.
        variants: names with commas between, as `variants.parse_variants` takes them; one name is for all variants.
        weight: lambda; the method's own where None.
        metric: how unlike answers are measured, of "ait"; KL divergence where None.
        layer: where they are compared, of "ait"; at the logits where None.
        augment: a further augmentation, after that of the variant; see `open_augmentation`. A learned one is given
            half of the pictures.
    """

    method: TrainMethod = "plain"
    variants: str = "rp"
    weight: float | None = None
    metric: Metric | None = None
    layer: Layer | None = None
    augment: str | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be.

        Raises:
            UsageError: naming the setting and what goes.
        """
        if self.weight is not None and not 0 <= self.weight < float("inf"):
            raise UsageError(f"the weight of the AiLoss is a number from 0; got {self.weight:g}")
        if self.weight is not None and self.method == "plain":
            raise UsageError("method plain has no AiLoss to weigh; choose method ait, multi-ait or dml")
        if (self.metric or self.layer) and self.method != "ait":
            raise UsageError(f"metric and layer are chosen with method ait; {self.method} compares logits alone")

    def objective(self, networks: int, label_smoothing: float) -> Objective:
        """The loss of so many networks.

        Raises:
            UsageError: the method does not go with that number, or the number of variants with either.
        """
        if (networks > 1) != (self.method in ("multi-ait", "dml")):
            wanted = "one network" if self.method in ("plain", "ait") else "two networks or more, alike or not"
            raise UsageError(f"method {self.method} trains {wanted}; --arch names {networks}")
        augmented = open_augmentation(self.augment, AUGMENTED) if self.augment else None
        variants = self._variants(networks)
        if self.method == "plain":
            return CrossEntropy(label_smoothing, augmented, variants[0])
        return InvariantObjective(
            self.method, variants, WEIGHTS[self.method] if self.weight is None else self.weight,
            self.metric or "kl", self.layer or "logits", label_smoothing, augmented,
        )  # fmt: skip

    def plain_settings(self) -> dict[str, Any]:
        """As a checkpoint keeps them."""
        weight = self.weight if self.weight is not None or self.method == "plain" else WEIGHTS[self.method]
        return {"method": self.method, "variants": self.variants, "weight": weight, "augment": self.augment} | (
            {"metric": self.metric or "kl", "layer": self.layer or "logits"} if self.method == "ait" else {}
        )

    def _variants(self, networks: int) -> tuple[Variant, ...]:
        named = parse_variants(self.variants)
        wanted = {"plain": 1, "ait": max(2, len(named)), "multi-ait": networks, "dml": 1}[self.method]
        if len(named) not in (1, wanted):
            each = f"a variant for each of the {networks} networks, or one for all" if wanted > 1 else "one variant"
            raise UsageError(f"method {self.method} takes {each}; got {self.variants!r}")
        return named if len(named) == wanted else named * wanted


PLAIN = TrainConfig()
