"""The stages after the classifier, of a checkpoint or of a bundle: loss predictor, policy, and compilation."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import suppress
from pathlib import Path

from allweather.create.classifier_stages import BUNDLE, CHECKPOINT, models_in_words, rejections
from allweather.create.config import Tune
from allweather.create.kept_stages import StageResult
from allweather.create.settings import CreateSettings
from allweather.exporters.addition import add_to_bundle
from allweather.exporters.checkpoint_export import export
from allweather.journey import StageRun
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.errors import BundleError
from allweather.runtimes.text import printable
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.loss_predictor.quality import quality_sentences
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.train import add_predictor, predictor_for
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.policies.comparison import compare_policies, parse_requested
from allweather.trainers.steps.tuning_images import few_images_sentences, tuning_images
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress

VIEW_LOSSES = ".view-losses"  # hidden, as it only helps a predictor's training that was stopped


def is_checkpoint(model: Path) -> bool:
    """Returns whether a path is that of a checkpoint; else it is a bundle."""
    return model.suffix == ".safetensors"


def predictor_stage(
    model: Path, dataset: Dataset, settings: PredictorSettings, own_model: str | None, folder: Path, run: StageRun
) -> StageResult:
    """Trains a loss predictor for a checkpoint or a bundle, and writes the model anew with it."""
    fabric, losses = launch(), folder / VIEW_LOSSES

    def watch_losses(done: int, total: int) -> None:
        run.update(done, 2 * total)  # the other half is the training

    def watch(progress: Progress) -> None:
        run.update(progress.steps + progress.step, 2 * progress.steps)

    if is_checkpoint(model):
        path = folder / CHECKPOINT
        if not path.exists():
            add_predictor(
                load_checkpoint(model, own_model), dataset, settings, path,
                losses_folder=losses, fabric=fabric, watch_losses=watch_losses, watch=watch,
            )  # fmt: skip
        predictor = load_checkpoint(path, own_model).predictor
        assert predictor is not None
    else:
        path = folder / BUNDLE
        with open_model(model) as opened:
            predictor = predictor_for(
                FrozenClassifier.of_bundle(opened), opened.input, dataset.with_classes(opened.classes), settings,
                resume_path(path), losses_folder=losses, fabric=fabric, watch_losses=watch_losses, watch=watch,
            )  # fmt: skip
        add_to_bundle(model, predictor, None, dataset, path)
        resume_path(path).unlink(missing_ok=True)
    shutil.rmtree(losses, ignore_errors=True)
    metrics = predictor.metrics
    text = (
        f"accuracy {100 * metrics['gain']:+.1f} points with the view that it ranks first; rank correlation with the "
        f"true losses {metrics['rank_correlation']:.2f} (1 at best)"
    )
    return StageResult(text, tuple(quality_sentences(metrics)))


def policy_stage(
    model: Path,
    dataset: Dataset,
    settings: CreateSettings,
    section: Tune,
    own_model: str | None,
    folder: Path,
    run: StageRun,
) -> StageResult:
    """Chooses the policy of a checkpoint or a bundle, and writes the model anew with it."""
    start = load_checkpoint(model, own_model) if is_checkpoint(model) else None
    adapted = start.adapt(dataset) if start else dataset
    with open_model(start or model) as opened:
        requested = parse_requested(section.policies, opened, hflip=adapted.hflip)
        val = adapted.with_classes(opened.classes).val
        images, target = tuning_images(val, opened.predict_losses is not None, section.risk)
        comparison = compare_policies(
            opened, images, requested,
            hflip=adapted.hflip, max_views=section.max_views, copy_settings=settings.tuning, target=target,
            watch=run.update,
        )  # fmt: skip
    if start:
        save_checkpoint(folder / CHECKPOINT, dataclasses.replace(start, policies=comparison.policies))
    else:
        add_to_bundle(model, None, comparison.policies, None, folder / BUNDLE)
    val_images = len(val) if len(images) < len(val) else None
    few = few_images_sentences(comparison.selection.images, val_images, settings.tuning.copies)
    return StageResult(comparison.selection.chosen.policy.name, (*comparison.sentences(), *few))


def export_stage(
    checkpoint: Path, dataset: Dataset, settings: CreateSettings, own_model: str | None, folder: Path, run: StageRun
) -> StageResult:
    """Compiles a checkpoint; each model passes the parity gate."""
    manifest = export(
        load_checkpoint(checkpoint, own_model), dataset, folder / BUNDLE, settings.export,
        lambda step: run.result(printable(step)),
    )  # fmt: skip
    return StageResult(models_in_words(manifest), tuple(rejections(manifest, run.name)))


def copy_bundle(source: Path, out: Path) -> None:
    """Writes a bundle to another path, as a folder or one .zip file; leaves one that is the same as it is.

    Raises:
        OutputError: It cannot be written.
    """
    bundle = Bundle.open(source)
    with suppress(BundleError):  # there is none, or a damaged one
        if Bundle.open(out).manifest == bundle.manifest:
            return
    write_bundle(out, bundle.manifest, {name: bundle.read(name) for name in bundle.manifest.files})
