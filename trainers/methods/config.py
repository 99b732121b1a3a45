"""Training config: the method by which networks are trained (plain, AIT, multi-AIT or DML), and the augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.setting_types import check_types
from allweather.trainers.augmentations.learned.augmentation import open_augmentation
from allweather.trainers.augmentations.mixed_chains import ROBUST_AUGMENTATIONS
from allweather.trainers.augmentations.variants import Variant, parse_variants
from allweather.trainers.choices import LEARNED, RobustName, TrainMethod
from allweather.trainers.losses.consistency import Metric
from allweather.trainers.methods.consistency import DEFAULT_WEIGHT, ConsistencyObjective
from allweather.trainers.methods.invariant import DEFAULT_LOSS_WEIGHTS, InvariantObjective
from allweather.trainers.models.activation_hooks import Layer
from allweather.trainers.training.objective import CrossEntropy, Objective
from allweather.trainers.training.settings import MIN_BATCH_SIZE

# Share of each batch that a learned augmentation changes if nothing else is said; all images in the paper. The others
# stay unwarped, because test images are unwarped too (docs/results/learned-augmentation.md).
LEARNED_SHARE = 0.5


@dataclass(frozen=True)
class TrainConfig:
    """Method and augmentation of a training.

    Attributes:
        method: "plain", "ait", "multi-ait" or "dml"; see the module `invariant`.
        variants: Names of the variants of an image, separated by commas, such as "rp,rg"; see the module
            `augmentations.variants`. A single name means that all variants are of this kind.
        loss_weight: Weight lambda of the AiLoss, or of the divergence of robust training; None means the default: 1,
            which for "multi-ait" is 3 in the paper, and 12 for robust training.
        loss_ramp: Number of epochs in which that weight rises from 0; 0 for the full weight from the start.
        metric: How method "ait" compares the variants; None means KL divergence.
        layer: Where method "ait" compares the variants; None means the logits.
        augment: Name of a further augmentation, as `open_augmentation` takes it; it is applied after that of the
            variant.
        augment_share: Share of each batch that a learned augmentation changes, above 0, at most 1; None means half.
            Others change all images.
        robust: Augmentation of the copies with which a network learns to be consistent; see `ConsistencyObjective`.
            None trains on single images. It goes with method "plain" only, and in place of `augment`.
    """

    method: TrainMethod = "plain"
    variants: str = "rp"
    loss_weight: float | None = None
    loss_ramp: int = 0
    metric: Metric | None = None
    layer: Layer | None = None
    augment: str | None = None
    augment_share: float | None = None
    robust: RobustName | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A value is out of range or does not go with the method; the message says what does.
        """
        check_types(self)
        check_choice("method", self.method, TrainMethod)
        parse_variants(self.variants)
        if self.metric is not None:
            check_choice("metric", self.metric, Metric)
        if self.layer is not None:
            check_choice("layer", self.layer, Layer)
        if self.loss_weight is not None and not 0 <= self.loss_weight < float("inf"):
            raise UsageError(f"the loss weight must be a finite number, at least 0; got {self.loss_weight:g}")
        if self.robust is not None:
            self._check_robust(self.robust)
        if self.loss_weight is not None and self.method == "plain" and self.robust is None:
            raise UsageError(
                "method plain has no AiLoss, so it takes no loss weight; choose ait, multi-ait, dml or robust training"
            )
        if self.loss_ramp < 0:
            raise UsageError(f"the loss ramp is a number of epochs, at least 0; got {self.loss_ramp}")
        if self.loss_ramp and self.method == "plain":
            raise UsageError("method plain has no AiLoss, so it takes no loss ramp; choose ait, multi-ait or dml")
        if (self.metric or self.layer) and self.method != "ait":
            raise UsageError(f"metric and layer go with method ait only; method {self.method} compares logits")
        if self.augment_share is not None and not 0 < self.augment_share <= 1:
            raise UsageError(f"the augment share must be above 0 and at most 1; got {self.augment_share:g}")
        if self.augment_share is not None and not self._augment_is_learned:
            came = "no augmentation" if self.augment is None else repr(self.augment)
            raise UsageError(f"the augment share goes with the augmentation {LEARNED}FILE only; got {came}")

    def objective(self, num_networks: int, label_smoothing: float, class_weights: tuple[float, ...] = ()) -> Objective:
        """Builds the loss for jointly trained networks, or for one network.

        Args:
            num_networks: Number of networks.
            label_smoothing: Fraction of the target that is spread over all classes, 0 to below 1.
            class_weights: Weight of each class in the cross-entropy; none means 1 for each.

        Raises:
            UsageError: The method cannot train that number of networks, or the number of variants does not fit.
            CheckpointError: The file of a learned augmentation cannot be read.
        """
        if (num_networks > 1) != (self.method in ("multi-ait", "dml")):
            expected = "one network" if self.method in ("plain", "ait") else "two or more networks"
            raise UsageError(f"method {self.method} trains {expected}; --arch names {num_networks}")
        augmentation = open_augmentation(self.augment, self._augment_share) if self.augment is not None else None
        variants = self._variants(num_networks)
        if self.robust:
            copies = ROBUST_AUGMENTATIONS[self.robust]
            return ConsistencyObjective(copies, self._loss_weight(), label_smoothing, variants[0], class_weights)
        if self.method == "plain":
            return CrossEntropy(label_smoothing, augmentation, variants[0], class_weights)
        return InvariantObjective(
            self.method, variants, self._loss_weight(), self.metric or "kl", self.layer or "logits",
            label_smoothing, augmentation, class_weights, self.loss_ramp,
        )  # fmt: skip

    def images_per_step(self, batch_size: int) -> int:
        """Returns how many images of the data a step takes; "ait" makes several variants of each.

        Args:
            batch_size: Images that go through a network in a step, as in `FitSettings`.

        Raises:
            UsageError: It cannot be divided by the number of variants.
        """
        variants = len(self._variants(1)) if self.method == "ait" else 1
        if batch_size % variants or batch_size < MIN_BATCH_SIZE * variants:
            raise UsageError(
                f"method ait counts each of the {variants} variants of an image in a batch: the batch size must be a "
                f"multiple of {variants}, at least {MIN_BATCH_SIZE * variants}; got {batch_size}"
            )
        return batch_size // variants

    def as_dict(self) -> dict[str, Any]:
        """Returns the config as plain values for a checkpoint, with defaults filled in."""
        loss_weight = None if self.method == "plain" and not self.robust else self._loss_weight()
        values = {
            "method": self.method,
            "variants": self.variants,
            "loss_weight": loss_weight,
            "loss_ramp": self.loss_ramp,
            "augment": self.augment,
        }
        if self.robust:
            values |= {"robust": self.robust}
        if self._augment_is_learned:
            values |= {"augment_share": self._augment_share}
        if self.method == "ait":
            values |= {"metric": self.metric or "kl", "layer": self.layer or "logits"}
        return values

    @property
    def _augment_is_learned(self) -> bool:
        return self.augment is not None and self.augment.startswith(LEARNED)

    @property
    def _augment_share(self) -> float:
        return LEARNED_SHARE if self.augment_share is None else self.augment_share

    def _check_robust(self, name: RobustName) -> None:
        check_choice("robust training", name, RobustName)
        if self.method != "plain":
            raise UsageError(
                f"robust training has a loss of its own, so it goes with method plain; got {self.method}: leave one out"
            )
        if self.augment is not None:
            raise UsageError(
                f"robust training {name} has an augmentation of its own; got {self.augment!r} beside it: leave one out"
            )

    def _loss_weight(self) -> float:
        if self.loss_weight is not None:
            return self.loss_weight
        return DEFAULT_WEIGHT if self.method == "plain" else DEFAULT_LOSS_WEIGHTS[self.method]

    def _variants(self, num_networks: int) -> tuple[Variant, ...]:
        variants = parse_variants(self.variants)
        expected = {"plain": 1, "ait": max(2, len(variants)), "multi-ait": num_networks, "dml": 1}[self.method]
        if len(variants) not in (1, expected):
            each = f"one variant per network ({num_networks}), or one for all" if expected > 1 else "one variant"
            raise UsageError(f"method {self.method} takes {each}; got {self.variants!r}")
        return variants if len(variants) == expected else variants * expected


PLAIN = TrainConfig()
