"""Robust finetuning of a classifier on augmented copies of its training images.

Kapoor et al. compare augmentation training (AT), stability training (ST) and the feature-map augmentation loss (FMA).
Added here are augmentation-invariant training (AIT) and "robust", which adds the losses of AT and of ST.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allweather.runtimes.errors import UsageError, check_choice, unknown_name
from allweather.runtimes.setting_types import check_types
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.learned.augmentation import open_augmentation
from allweather.trainers.augmentations.pairing import (
    Augmentation,
    CombinedAugmentation,
    IndividualAugmentation,
    MixedAugmentation,
)
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import RECORDED_LIBRARIES, Checkpoint, library_versions
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.choices import FinetuneMethod, Strategy
from allweather.trainers.data.class_names import warn_of_flips
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.clean_accuracy import MixedWeights, mix_within, warn_of_clean_drop
from allweather.trainers.methods.output_paths import gamma_trials_path, resume_path, strengths_path
from allweather.trainers.methods.pair_objective import DEFAULT_GAMMAS, PairObjective, loss_weights
from allweather.trainers.methods.strength_search import DEFAULT_POINTS, with_strengths
from allweather.trainers.models.activation_hooks import check_activations
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.registry import default_lr
from allweather.trainers.training.fit import fit
from allweather.trainers.training.objective import class_weights_of
from allweather.trainers.training.optimizer import fill_defaults, highest_lr
from allweather.trainers.training.progress import EpochReport, Progress, kept_report
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger
    from torch import nn

# Share of the usual learning rate, because finetuning adjusts trained weights and does not start from scratch.
LR_FACTOR = 0.1


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of a finetuning.

    Attributes:
        method: Which terms for the augmented copies the loss has: "at", "st", "fma", "ait" or "robust"; see `finetune`.
        strategy: How copies are augmented. "ca": by five augmentations at once; "ia": by a single augmentation, both as
            in the paper; "mixed": by a random subset at random strengths. None means "mixed" for method "robust" and
            "ca" for the others.
        gamma: Weight of the method's own term in the loss (eq. 4 of Kapoor et al.); None means the method's default.
            Method "at" has no gamma.
        only: Name of the augmentation that strategy "ia" applies to all copies; None means that one of the seven is
            drawn for each image at each step.
        layers: Names of the layers whose outputs method "fma" compares, or "last" for the last activation function on
            feature maps; those of all activation functions if empty.
        augment: Name of an augmentation that makes the copies instead of a strategy, as `open_augmentation` takes it.
        strength_points: Percentage points of accuracy that each augmentation must cost the classifier, above 0 and
            below 100. Only used for a checkpoint without augmentation strengths, for which they are searched first; 10
            as in the paper.
        max_clean_drop: Percentage points of accuracy on clean validation images that may be lost, at least 0 and below
            100; the finetuned weights are mixed with those of the start as far as that takes (WiSE-FT, Wortsman et al.
            2022). None keeps the finetuned weights.
        fit: Settings of the training loop. 30 epochs as in the paper; the cosine schedule keeps the learning rate low
            at the end.
    """

    method: FinetuneMethod
    strategy: Strategy | None = None
    gamma: float | None = None
    only: str | None = None
    layers: tuple[str, ...] = ()
    augment: str | None = None
    strength_points: float = DEFAULT_POINTS
    max_clean_drop: float | None = None
    fit: FitSettings = dataclasses.field(default_factory=lambda: FitSettings(epochs=30, schedule="cosine"))

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A value is out of range or does not go with the others; the message says what does.
        """
        check_types(self)
        check_choice("method", self.method, FinetuneMethod)
        if self.strategy is not None:
            check_choice("strategy", self.strategy, Strategy)
        if self.gamma is not None and not 0 <= self.gamma < float("inf"):
            raise UsageError(f"gamma must be a finite number, at least 0; got {self.gamma:g}")
        if self.gamma is not None and self.method == "at":
            raise UsageError("method at has no gamma: it only trains on the labels of the augmented copies")
        if self.augment is not None and (self.strategy or self.only):
            raise UsageError("--augment makes the copies instead of a strategy; leave out --strategy and --only")
        if self.only and self.strategy != "ia":
            raise UsageError("--only goes with --strategy ia")
        if self.only and self.only not in AUGMENTATIONS:
            raise unknown_name("augmentation", self.only, AUGMENTATIONS)
        if self.layers and self.method != "fma":
            raise UsageError(
                f"only method fma compares layers; leave out --layers, or use it in place of {self.method}"
            )
        if not 0 < self.strength_points < 100:
            raise UsageError(f"strength points must be above 0 and below 100; got {self.strength_points:g}")
        if self.max_clean_drop is not None and not 0 <= self.max_clean_drop < 100:
            raise UsageError(
                "max_clean_drop is in percentage points of clean accuracy, at least 0 and below 100; got "
                f"{self.max_clean_drop:g}"
            )

    @property
    def needs_strengths(self) -> bool:
        """Whether the copies are made with augmentation strengths; those of `augment` need none."""
        return self.augment is None

    def with_gamma(self, gamma: float) -> FinetuneSettings:
        """Returns the same settings with another gamma."""
        return dataclasses.replace(self, gamma=gamma)

    def gamma_or_default(self) -> float:
        """Returns gamma, or the method's default if it is None."""
        return DEFAULT_GAMMAS[self.method] if self.gamma is None else self.gamma

    def augmentation(self, strengths: Mapping[str, float]) -> Augmentation:
        """Returns the augmentation that makes the copies, given the classifier's augmentation strengths."""
        if self.augment is not None:
            return open_augmentation(self.augment)
        strategy = self.strategy or ("mixed" if self.method == "robust" else "ca")
        if strategy == "ia":
            return IndividualAugmentation(strengths, self.only)
        return CombinedAugmentation(strengths) if strategy == "ca" else MixedAugmentation(strengths)


def finetune(
    start: Checkpoint,
    dataset: Dataset,
    settings: FinetuneSettings,
    out: Path | str,
    *,
    fabric: Fabric,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
    watch_strengths: Callable[[str], None] = lambda name: None,
) -> Checkpoint:
    """Finetunes a classifier and saves it.

    If the augmentations need strengths and the checkpoint has none, they are searched first, on the validation split,
    and stored in the new checkpoint. While the run is unfinished, hidden files beside `out` keep the strengths and the
    state of the training loop; a later call with the same arguments continues from them.

    Args:
        start: A classifier of the classes and image size of the data.
        dataset: Its train and val splits are used.
        settings: Settings of the finetuning.
        out: The checkpoint to write.
        fabric: A launched Fabric.
        loggers: Loggers of Lightning Fabric, such as of `open_logger`; see `fit`.
        watch: Called in every process with the progress after each step and each epoch.
        watch_strengths: Called in the first process with the name of each augmentation before its strength is searched.

    Returns:
        The finetuned checkpoint. It has no loss predictor and no tuned policies, because these belong to the weights of
        `start`.

    Raises:
        UsageError: The data has other classes than `start` (their order does not matter), or the network has no ReLU
            and the method needs one.
        TrainingError: The strength search failed, the run diverged, or its resume file belongs to another run.
        OutputError: A file cannot be written.
    """
    out = as_path(out)
    dataset = start.adapt(dataset)
    searched = settings.needs_strengths and not start.strengths
    if searched:
        start = with_strengths(
            start, dataset, settings.strength_points,
            keep=strengths_path(out), fabric=fabric, watch=watch_strengths,
        )  # fmt: skip
    hflip = dataset.hflip if settings.fit.hflip is None else settings.fit.hflip
    warn_of_flips(dataset.classes, hflip)
    lr, objective, resume = finetune_lr(start, settings), build_objective(start, settings, dataset), resume_path(out)
    saved_settings = checkpoint_settings(settings, lr, start)
    averaged, history = fit(
        start.classifier(), dataset, settings.fit, lr, fabric=fabric, objective=objective, resume=resume,
        loggers=loggers, hyperparameters={"arch": start.arch, **saved_settings}, watch=watch,
        score=EpochReport.mean_accuracy,
    )  # fmt: skip
    kept = kept_report(history, settings.fit.patience, EpochReport.mean_accuracy)
    measured = kept
    if settings.max_clean_drop is not None:
        mixed, measured = _mixed(start, averaged, kept, dataset, settings.max_clean_drop, objective, fabric)
        averaged, saved_settings["finetuned_share"] = mixed.model, mixed.share
    else:
        val, before = dataset.val.readable().to(fabric.device), start.classifier().to(fabric.device)
        darkens = isinstance(objective.augmentation, MixedAugmentation)
        warn_of_clean_drop(before, kept.val_accuracy, val, fabric, darkens=darkens)
    saved_settings |= {"kept_epoch": kept.epoch} if settings.fit.patience else {}
    saved_settings["hflip"] = hflip
    saved_settings |= {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    checkpoint = dataclasses.replace(
        start,
        weights={key.removeprefix("network."): value for key, value in averaged.state_dict().items()},
        data=dataset.name,
        seed=settings.fit.seed,
        settings=saved_settings | ({"strength_points": settings.strength_points} if searched else {}),
        metrics=epoch_metrics(measured),
        history=tuple(row.row() for row in history),
        predictor=None,
        policies=(),
        versions=library_versions(RECORDED_LIBRARIES),
    )
    if fabric.is_global_zero:
        save_checkpoint(out, checkpoint)
        for path in (resume, strengths_path(out), gamma_trials_path(out)):
            path.unlink(missing_ok=True)
    return checkpoint


def _mixed(
    start: Checkpoint,
    finetuned: nn.Module,
    report: EpochReport,
    dataset: Dataset,
    max_clean_drop: float,
    objective: PairObjective,
    fabric: Fabric,
) -> tuple[MixedWeights, EpochReport]:
    """Mixes the weights with those of the start; returns them, and the report of their epoch with their accuracies."""
    val = dataset.val.readable().to(fabric.device)
    mixed = mix_within(
        start.classifier().to(fabric.device), finetuned.to(fabric.device), val, max_clean_drop / 100, fabric
    )
    accuracy = objective.accuracy(mixed.model, val, fabric)
    augmented = objective.val_metrics(mixed.model, val, fabric)
    return mixed, dataclasses.replace(report, val_accuracy=accuracy, val_metrics=augmented)


def build_objective(start: Checkpoint, settings: FinetuneSettings, dataset: Dataset) -> PairObjective:
    """Builds the loss of a finetuning on a data set."""
    weights = loss_weights(settings.method, settings.gamma_or_default())
    augmentation, class_weights = settings.augmentation(start.strengths), class_weights_of(settings.fit, dataset)
    smoothing = settings.fit.label_smoothing
    return PairObjective(weights, augmentation, start.strengths, settings.layers, class_weights, smoothing)


def check_layers(start: Checkpoint, settings: FinetuneSettings) -> None:
    """Checks before anything is trained that the network has activations to compare; warns if they are few.

    Raises:
        UsageError: Method "fma" finds none, or there is no layer of a name in the settings.
    """
    if settings.method == "fma":
        check_activations(start.classifier(), (start.input.height, start.input.width), settings.layers)


def finetune_lr(start: Checkpoint, settings: FinetuneSettings) -> float:
    """Returns the highest learning rate: the setting, or a tenth of the usual one, scaled by the batch size."""
    return highest_lr(settings.fit, start.classifier(), default_lr(start.arch), LR_FACTOR)


def epoch_metrics(report: EpochReport) -> dict[str, float]:
    """Returns the accuracies of an epoch, 0..1, by name.

    Returns:
        "val_accuracy" on clean images; with augmentation strengths also the accuracy under each augmentation and
        combination, and "average_accuracy" over all ten rows of table 3 (Kapoor et al.), the clean one included.
    """
    metrics = {"val_accuracy": report.val_accuracy, **report.val_metrics}
    return {**metrics, "average_accuracy": report.mean_accuracy()} if report.val_metrics else metrics


def checkpoint_settings(settings: FinetuneSettings, lr: float, start: Checkpoint) -> dict[str, Any]:
    """Returns all settings as plain values, with defaults filled in, and a digest of the initial classifier."""
    return {
        **fill_defaults(settings.fit, start.classifier()).as_dict(),
        **({} if settings.max_clean_drop is None else {"max_clean_drop": settings.max_clean_drop}),
        "lr": lr,
        "method": settings.method,
        "gamma": None if settings.method == "at" else settings.gamma_or_default(),
        **({"layers": list(settings.layers)} if settings.layers else {}),
        **{
            key: value
            for key, value in settings.augmentation(start.strengths).resume_key.items()
            if key != "parameters"
        },
        "start": weights_digest(start.classifier()),
    }
