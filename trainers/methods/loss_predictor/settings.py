"""Settings of the training of a loss predictor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.setting_types import check_types
from allweather.runtimes.tta.views import IDENTITY, VIEWS, view
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.models.loss_predictor import PREDICTORS
from allweather.trainers.training.settings import FitSettings


@dataclass(frozen=True)
class PredictorSettings:
    """Settings of the training of a loss predictor.

    Attributes:
        kind: Network: "tiny" or "efficientnet".
        loss: Rank loss, a name of `RANK_LOSSES`.
        views: Names of the views whose losses are predicted, in the order of the outputs; "identity" is one of them.
        copy_settings: How the training images are corrupted. Of held-back images there are as many copies in all.
        held_back: Whether the predictor learns on the val split, which its classifier has not learned from, rather than
            on the training images; None for where it has 1000 images or more. See `predictor_images`.
        exclude_family: Corruption family that is left out of the training; None uses all 15 common corruptions.
        fit: Settings of the training loop. Images are never shifted, because the classifier's losses are those of the
            unshifted image: its `shift` is set to 0.
    """

    kind: str = "tiny"
    loss: str = "squared"
    views: tuple[str, ...] = tuple(VIEWS)
    copy_settings: CopySettings = field(default_factory=CopySettings)
    held_back: bool | None = None
    exclude_family: str | None = None
    fit: FitSettings = field(default_factory=lambda: FitSettings(epochs=10, shift=0))

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A name is unknown, or the views cannot be those of a predictor.
        """
        check_types(self)
        object.__setattr__(self, "fit", dataclasses.replace(self.fit, shift=0))
        if self.kind not in PREDICTORS:
            raise unknown_name("loss predictor network", self.kind, PREDICTORS)
        if self.loss not in RANK_LOSSES:
            raise unknown_name("rank loss", self.loss, RANK_LOSSES)
        if self.exclude_family is not None and self.exclude_family not in FAMILIES:
            raise unknown_name("corruption family", self.exclude_family, FAMILIES)
        if self.fit.class_weights != "none" or self.fit.sampling != "uniform":
            raise UsageError(
                "a loss predictor learns losses and not classes, so that there is nothing to balance; leave class "
                "weights and sampling as they are"
            )
        if self.fit.label_smoothing:
            raise UsageError("a loss predictor learns losses and not classes: leave label smoothing at 0")
        for name in self.views:
            view(name)
        if IDENTITY.name not in self.views or len(self.views) < 2 or len(set(self.views)) < len(self.views):
            raise UsageError(
                f"the views of a loss predictor must be {IDENTITY.name!r} and at least one other, each named once; "
                f"got {', '.join(self.views) or 'none'}"
            )
