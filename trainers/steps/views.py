"""Training a loss predictor for a classifier and tuning its policy of test-time augmentation, each as one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from torch import nn

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.leftovers import temporary_folder
from allweather.runtimes.tta.policy import Policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import warn_of_other_crop
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.inference.open_model import EvaluatedModel, open_model
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor, predictor_for
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.policies.comparison import MAX_VIEWS, PolicyComparison, compare_policies, parse_requested
from allweather.trainers.steps.arguments import check_argument, check_function, check_run
from allweather.trainers.steps.classifiers import with_epochs
from allweather.trainers.steps.output import output_file
from allweather.trainers.steps.start import check_start, checkpoint_of
from allweather.trainers.steps.tuning_images import tuning_images
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger


@overload
def train_predictor(
    start: Checkpoint | nn.Module,
    data: Dataset,
    *,
    epochs: int | None = None,
    settings: PredictorSettings | None = None,
    out: Path | str | None = None,
    fabric: Fabric | None = None,
    loggers: Sequence[Logger] = ...,
    watch: Callable[[Progress], None] = ...,
) -> Checkpoint: ...


@overload
def train_predictor(
    start: Bundle | Path | str,
    data: Dataset,
    *,
    epochs: int | None = None,
    settings: PredictorSettings | None = None,
    out: None = None,
    fabric: Fabric | None = None,
    loggers: Sequence[Logger] = ...,
    watch: Callable[[Progress], None] = ...,
) -> TrainedPredictor: ...


def train_predictor(
    start: Checkpoint | nn.Module | Bundle | Path | str,
    data: Dataset,
    *,
    epochs: int | None = None,
    settings: PredictorSettings | None = None,
    out: Path | str | None = None,
    fabric: Fabric | None = None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint | TrainedPredictor:
    """Trains a loss predictor, which tells for each image on which views the classifier does best (Kim et al. 2020).

    Args:
        start: The classifier, which is not changed: a checkpoint or a trained module (see `Checkpoint.of`), or a
            bundle or its path.
        data: Data of its classes, in any order, and its image size; the train split is used.
        epochs: Passes over the view losses; None as in the settings.
        settings: All settings; None for the defaults.
        out: Checkpoint to write (.safetensors); not for a bundle.
        fabric: A launched Fabric; one for this process if None.
        loggers: Loggers of Lightning Fabric.
        watch: Called with the progress after each step and each epoch.

    Returns:
        The checkpoint with the predictor; or for a bundle the predictor, which `exporters.add_to_bundle` adds to it.

    Raises:
        UsageError: The data has other classes or another image size.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: The checkpoint cannot be written.
    """
    if isinstance(start, nn.Module):
        start = checkpoint_of(start, data)
    check_start(start)
    check_run(out, data, settings, PredictorSettings, fabric, loggers, watch)
    chosen = settings or PredictorSettings()
    chosen = dataclasses.replace(chosen, fit=with_epochs(chosen.fit, epochs))
    fabric = fabric or launch()
    with temporary_folder() as folder, output_file(out) as path:
        losses = Path(folder, "view-losses")
        if isinstance(start, Checkpoint):
            return add_predictor(
                start, data, chosen, path, losses_folder=losses, fabric=fabric, loggers=loggers, watch=watch
            )
        if out is not None:
            raise UsageError("the predictor of a bundle is no checkpoint; add it with exporters.add_to_bundle")
        with open_model(start.path if isinstance(start, Bundle) else start) as opened:
            adapted = _adapted(opened, data)
            return predictor_for(
                FrozenClassifier.of_bundle(opened), opened.input, adapted, chosen, resume_path(path),
                losses_folder=losses, fabric=fabric, loggers=loggers, watch=watch,
            )  # fmt: skip


@overload
def tune_policy(
    start: Checkpoint | nn.Module,
    data: Dataset,
    policies: Sequence[str] = (),
    *,
    max_views: float = MAX_VIEWS,
    copies: int = 1,
    seed: int = 0,
    risk: float | None = None,
    compared: Callable[[PolicyComparison], None] = ...,
) -> Checkpoint: ...


@overload
def tune_policy(
    start: Bundle | Path | str,
    data: Dataset,
    policies: Sequence[str] = (),
    *,
    max_views: float = MAX_VIEWS,
    copies: int = 1,
    seed: int = 0,
    risk: float | None = None,
    compared: Callable[[PolicyComparison], None] = ...,
) -> tuple[Policy, ...]: ...


def tune_policy(
    start: Checkpoint | nn.Module | Bundle | Path | str,
    data: Dataset,
    policies: Sequence[str] = (),
    *,
    max_views: float = MAX_VIEWS,
    copies: int = 1,
    seed: int = 0,
    risk: float | None = None,
    compared: Callable[[PolicyComparison], None] = lambda comparison: None,
) -> Checkpoint | tuple[Policy, ...]:
    """Chooses the test-time augmentation policy that is best on corrupted validation images.

    It is one view unless another policy is more accurate beyond chance (95 %, paired bootstrap); of policies that are
    level, it is the one that runs the fewest views. The confidence of the chosen policy is calibrated; see
    `Policy.confidence_model`.

    Args:
        start: The model, which is not changed: a checkpoint or a trained module (see `Checkpoint.of`), or a bundle
            or its path.
        data: Data of its classes, in any order, and its image size; the val split is used, or the fifth of it that no
            loss predictor learns on.
        policies: Texts of the policies to compare, such as "hflip", "top:2", "gps:3"; the usual ones if there are none.
        max_views: Largest mean number of views of the chosen policy.
        copies: Corrupted copies of each validation image. With fewer than 1000 images the confidence may be wrong by
            several points, and 8 copies help: of 1500 images, 150 are left with a loss predictor and a risk.
        seed: Random seed; the same seed gives the same result.
        risk: Share of errors that accepted decisions may have, above 0 and below 1. Half of the images are then kept to
            find the confidence from which decisions are accepted; if none holds the risk, none is stored. None for no
            such threshold.
        compared: Called once with the result: what was compared, how accurate each was, and what the images could not
            tell.

    Returns:
        The checkpoint with the chosen policy first; or for a bundle its policies, which `exporters.add_to_bundle` adds.

    Raises:
        UsageError: A text is no policy, the model cannot follow it, the risk is out of range, or the data has other
            classes.
    """
    check_start(start)
    check_argument("data", data, Dataset)
    check_function("compared", compared)
    if isinstance(policies, str):
        raise UsageError(f"policies are a list of texts; got {policies!r:.40}: write [{policies!r:.40}]")
    if isinstance(start, nn.Module):
        start = checkpoint_of(start, data)
    source = start.path if isinstance(start, Bundle) else start
    with open_model(source) as opened:
        adapted = start.adapt(data) if isinstance(start, Checkpoint) else _adapted(opened, data)
        requested = parse_requested(policies, opened, hflip=adapted.hflip)
        settings = CopySettings(copies=copies, seed=seed)
        images, target = tuning_images(adapted.val, opened.predict_losses is not None, risk)
        comparison = compare_policies(
            opened, images, requested,
            hflip=adapted.hflip, max_views=max_views, copy_settings=settings, target=target,
        )  # fmt: skip
    compared(comparison)
    if isinstance(start, Checkpoint):
        return dataclasses.replace(start, policies=comparison.policies)
    return comparison.policies


def _adapted(opened: EvaluatedModel, data: Dataset) -> Dataset:
    """Returns the data in the order of a bundle's classes, after its size was checked."""
    size = data.train.size
    if size != (opened.input.height, opened.input.width):
        raise UsageError(
            f"{opened.path} takes images of {opened.input.height} x {opened.input.width} px, and {data.name} has "
            f"{size[0]} x {size[1]}; open the data at that size"
        )
    warn_of_other_crop(data, opened.input.crop, str(opened.path))
    return data.with_classes(opened.classes)
