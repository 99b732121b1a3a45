"""A trained classifier made robust: AT, ST, FMA or our mixture, on distorted copies of its training pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.trainers.augmentations.learned.augmentation import open_augmentation
from allweather.trainers.augmentations.pairing import (
    Augmentation,
    CombinedAugmentation,
    IndividualAugmentation,
    MixedAugmentation,
)
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import RECORDED_LIBRARIES, Checkpoint, library_versions, save_checkpoint
from allweather.trainers.choices import Strategy as Strategy
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.pair_objective import GAMMAS, FinetuneMethod, PairObjective, loss_weights
from allweather.trainers.methods.train import resume_path
from allweather.trainers.models.registry import get_architecture, weights_digest
from allweather.trainers.training.fit import fit
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

RATE_SHARE = 0.1  # of the architecture's peak rate: the weights are to be moved, not found anew


@dataclass(frozen=True)
class FinetuneSettings:
    """What a finetuning is told.

    Attributes:
        method: what ties the copies to the clean pictures; see `pairs.terms`.
        strategy: "ca" or "ia" as in the paper; "mixed": random subsets at random strengths, the default of "robust".
        gamma: weight of the method's term (eq. 4); the method's own where None. "at" has none.
        only: the one augmentation of strategy "ia"; all seven in turn where None.
        augment: what makes the copies in place of a strategy; see `open_augmentation`.
        fit: of the loop. 30 epochs as in the paper; cosine keeps the rate low at the end.
    """

    method: FinetuneMethod
    strategy: Strategy | None = None
    gamma: float | None = None
    only: str | None = None
    augment: str | None = None
    fit: FitSettings = dataclasses.field(default_factory=lambda: FitSettings(epochs=30, schedule="cosine"))

    def __post_init__(self) -> None:
        """Refuses what cannot be.

        Raises:
            UsageError: naming the setting and what goes.
        """
        if self.gamma is not None and not 0 <= self.gamma < float("inf"):
            raise UsageError(f"gamma is a number from 0; got {self.gamma:g}")
        if self.gamma is not None and self.method == "at":
            raise UsageError("method at has no gamma: it trains on the labels of the copies alone")
        if self.augment and (self.strategy or self.only):
            raise UsageError("--augment makes the copies in place of a strategy; leave --strategy and --only out")
        if self.only and self.strategy != "ia":
            raise UsageError("--only goes with --strategy ia")
        if self.only and self.only not in AUGMENTATIONS:
            raise unknown_name("augmentation", self.only, AUGMENTATIONS)

    def with_gamma(self, gamma: float) -> FinetuneSettings:
        """The same with another gamma."""
        return dataclasses.replace(self, gamma=gamma)

    def weight(self) -> float:
        """Gamma, chosen or the method's own."""
        return GAMMAS[self.method] if self.gamma is None else self.gamma

    def augmentation(self, strengths: Mapping[str, float]) -> Augmentation:
        """What makes the copies, of a classifier's calibrated strengths."""
        if self.augment:
            return open_augmentation(self.augment)
        strategy = self.strategy or ("mixed" if self.method == "robust" else "ca")
        if strategy == "ia":
            return IndividualAugmentation(strengths, self.only)
        return CombinedAugmentation(strengths) if strategy == "ca" else MixedAugmentation(strengths)


def finetune(
    start: Checkpoint,
    dataset: Dataset,
    settings: FinetuneSettings,
    out: Path,
    *,
    fabric: Fabric,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Finetunes a calibrated classifier and saves it.

    While it trains, `.<name>.resume` beside `out` holds the run; a run that finds one goes on from there.

    Args:
        start: calibrated, of the classes and size of the data.
        dataset: train and val are used.
        settings: see there.
        out: the checkpoint to write.
        fabric: launched.
        watch: told of every step and epoch.

    Raises:
        UsageError: the data is of other classes, or the classifier has no strengths and the strategy needs them, or
            no ReLU and the method needs one.
        TrainingError: the run diverged, or its resume file is of another run.
        OutputError: the checkpoint cannot be written.
    """
    checked(start, dataset, settings)
    lr, objective, resume = lr_of(start, settings), build_objective(start, settings), resume_path(out)
    averaged, history = fit(
        start.classifier(), dataset, settings.fit, lr,
        fabric=fabric, objective=objective, resume=resume, watch=watch,
    )  # fmt: skip
    checkpoint = dataclasses.replace(
        start,
        weights={key.removeprefix("network."): value for key, value in averaged.state_dict().items()},
        data=dataset.name,
        seed=settings.fit.seed,
        settings=plain_settings(settings, lr, start),
        metrics={**judgement(history[-1]), "seconds": sum(row.seconds for row in history)},
        history=tuple(row.row() for row in history),
        predictor=None,  # it knows the losses of the classifier that was
        policies=(),
        versions=library_versions(RECORDED_LIBRARIES),
    )
    if fabric.is_global_zero:
        save_checkpoint(out, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoint


def build_objective(start: Checkpoint, settings: FinetuneSettings) -> PairObjective:
    """What a finetuning makes small."""
    added = loss_weights(settings.method, settings.weight())
    return PairObjective(added, settings.augmentation(start.strengths), start.strengths)


def lr_of(start: Checkpoint, settings: FinetuneSettings) -> float:
    """The highest learning rate: the one asked for, or a tenth of the architecture's, by the size of the batch."""
    own = RATE_SHARE * get_architecture(start.arch).lr * settings.fit.batch_size / 128
    return settings.fit.lr or own


def checked(start: Checkpoint, dataset: Dataset, settings: FinetuneSettings) -> None:
    """Refuses a start that cannot be finetuned so, before anything is computed.

    Raises:
        UsageError: saying what to do.
    """
    start.check_classes(dataset.classes)
    if not start.strengths and not settings.augment:
        raise UsageError(
            "the checkpoint has no calibrated strengths; run: allweather calibrate CHECKPOINT --data DATA --out NEW, "
            "and finetune NEW"
        )


def judgement(report: EpochReport) -> dict[str, float]:
    """Accuracies of an epoch: clean as val_accuracy, each augmentation, and the mean of all ten (table 3)."""
    rows = [report.val_accuracy, *report.others.values()]
    found = {"val_accuracy": report.val_accuracy, **report.others}
    return {**found, "mean_of_ten": sum(rows) / len(rows)} if report.others else found


def plain_settings(settings: FinetuneSettings, lr: float, start: Checkpoint) -> dict[str, Any]:
    """All settings as plain values, with what they were where they were left open, and what it started from."""
    return {
        **dataclasses.asdict(settings.fit),
        "lr": lr,
        "method": settings.method,
        "gamma": None if settings.method == "at" else settings.weight(),
        **{
            key: value
            for key, value in settings.augmentation(start.strengths).resume_key.items()
            if key != "parameters"
        },
        "start": weights_digest(start.classifier()),
    }
