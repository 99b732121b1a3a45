"""The models of the demo, each kept in a file of its own, so that a demo that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from allweather.demo.kept_folder import (
    LOSSES,
    PLAIN,
    RANKED,
    ROBUST,
    TUNED,
)
from allweather.demo.settings import DemoSettings
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.journey import Journey
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.choices import Precision
from allweather.runtimes.errors import BundleError
from allweather.runtimes.tta.policy import MAX_VIEWS
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.train import add_predictor
from allweather.trainers.methods.train import train
from allweather.trainers.policies import tuning
from allweather.trainers.policies.every_view import view_logits
from allweather.trainers.policies.selection import select_policy
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

ARCH = "resnet20"
PLAIN_BATCH_SIZE, ROBUST_BATCH_SIZE = 32, 64  # small, because a few epochs need many steps to learn enough
ROBUST_LR = 0.05
MAX_VAL_IMAGES = 200  # of the robust finetuning, whose epochs the demo does not choose between
# What the search of `allweather finetune signs.safetensors --data signs` found for a ResNet-20 that was trained on the
# signs; it takes longer than all of the demo, so it is not repeated.
STRENGTHS = {
    "brightness+": 0.404, "brightness-": -0.281, "saturation+": 4.3, "saturation-": 0.234, "gaussian_blur": 8.0,
    "gaussian_noise": 0.0823, "salt_and_pepper": 0.0487,
}  # fmt: skip
# Not top:1: on roads, which differ from the copies, one chosen view misreads more than two do (docs/results/drive.md).
POLICIES = (
    "top:2", "top:2+logits", "top:3", "top:3+logits", "top:4", "top:4+logits", "top:6", "top:6+logits",
)  # fmt: skip
COPIES = CopySettings(copies=3)


def train_plain(dataset: Dataset, out: Path, settings: DemoSettings, journey: Journey) -> Checkpoint:
    """Trains the plain classifier, on clear images only."""
    fit = FitSettings(epochs=settings.plain_epochs, batch_size=PLAIN_BATCH_SIZE, seed=settings.seed)

    def make(path: Path, watch: Callable[[Progress], None]) -> Checkpoint:
        (trained,) = train([ARCH], dataset, fit, path, fabric=launch(), watch=watch)
        return trained

    return _made(journey, "train a plain classifier", out / PLAIN, make)


def make_robust(start: Checkpoint, dataset: Dataset, out: Path, settings: DemoSettings, journey: Journey) -> Checkpoint:
    """Finetunes the plain classifier on photometrically augmented copies."""
    fit = FitSettings(
        epochs=settings.robust_epochs, batch_size=ROBUST_BATCH_SIZE, lr=ROBUST_LR, schedule="cosine", seed=settings.seed
    )

    # each epoch is evaluated under ten augmentations, which would take a fifth of the time with all images
    few = dataclasses.replace(dataset, val=dataset.val.take(torch.arange(min(MAX_VAL_IMAGES, len(dataset.val)))))

    def make(path: Path, watch: Callable[[Progress], None]) -> Checkpoint:
        known = dataclasses.replace(start, strengths=STRENGTHS)
        return finetune(known, few, FinetuneSettings("robust", fit=fit), path, fabric=launch(), watch=watch)

    return _made(journey, "finetune it to be robust", out / ROBUST, make)


def add_loss_predictor(
    start: Checkpoint, dataset: Dataset, out: Path, settings: DemoSettings, journey: Journey
) -> Checkpoint:
    """Trains the loss predictor on corrupted copies of images that the classifier was not trained on."""
    images = torch.arange(min(settings.predictor_images, len(dataset.val) // 2))
    fit = FitSettings(epochs=settings.predictor_epochs, shift=0, seed=settings.seed)
    held_out = dataclasses.replace(dataset, train=dataset.val.take(images))

    def make(path: Path, watch: Callable[[Progress], None]) -> Checkpoint:
        return add_predictor(
            start, held_out, PredictorSettings(copy_settings=COPIES, held_back=False, fit=fit), path,
            losses_folder=out / LOSSES, fabric=launch(), watch=watch,
        )  # fmt: skip

    return _made(journey, "train the loss predictor", out / RANKED, make)


def tune(start: Checkpoint, dataset: Dataset, out: Path, settings: DemoSettings, journey: Journey) -> Checkpoint:
    """Chooses the number of views on corrupted copies of further validation images; one if no more are worth it."""
    first = min(settings.predictor_images, len(dataset.val) // 2)
    images = dataset.val.take(torch.arange(first, min(first + settings.tuning_images, len(dataset.val))))

    def make(path: Path, watch: Callable[[int, int], None]) -> Checkpoint:
        with open_model(out / RANKED) as model:
            policies = [parse_policy(text, (), model.predictor_views) for text in POLICIES]
            logits = view_logits(model, images, COPIES, policies, candidates=(), watch=watch)
        compared = [tuning.tune(logits, policy) for policy in policies]
        selection = select_policy(compared, tuning.evaluate_center(logits), MAX_VIEWS)
        tuned = dataclasses.replace(start, policies=tuning.put_first(start.policies, selection.chosen.policy))
        save_checkpoint(path, tuned)
        return tuned

    with journey.stage("tune the policy") as run:
        path = out / TUNED
        if path.exists():
            run.kept()
            checkpoint = load_checkpoint(path)
        else:
            checkpoint = make(path, run.update)
        run.result(checkpoint.policies[0].name)
        return checkpoint


def export_once(
    checkpoint: Checkpoint, dataset: Dataset, path: Path, precisions: list[Precision], name: str, journey: Journey
) -> Bundle:
    """Compiles a checkpoint for OpenVINO; each model passes the parity gate."""
    with journey.stage(name) as run:
        try:
            bundle = Bundle.open(path)
            run.kept()
        except BundleError:  # not there yet
            export(checkpoint, dataset, path, ExportOptions(["openvino"], precisions))
            bundle = Bundle.open(path)
        run.result(", ".join(dict.fromkeys(each.precision for each in bundle.manifest.models)))
        return bundle


def _made(
    journey: Journey, name: str, path: Path, make: Callable[[Path, Callable[[Progress], None]], Checkpoint]
) -> Checkpoint:
    """Returns the checkpoint in the file, or makes it, which resumes a run that was stopped."""
    with journey.stage(name) as run:
        if path.exists():
            run.kept()
            checkpoint = load_checkpoint(path)
        else:
            checkpoint = make(path, lambda progress: run.update(progress.step, progress.steps))
        accuracy = checkpoint.metrics.get("val_accuracy")
        run.result(f"{100 * accuracy:.1f} % on clean validation images" if accuracy else "")
        return checkpoint
