"""The stages that make the classifier: training, robust finetuning, or importing somebody's ONNX classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from allweather.create.config import CreateConfig
from allweather.create.kept_stages import StageResult
from allweather.create.settings import CreateSettings
from allweather.exporters.foreign.import_model import ForeignModel, export_foreign, open_foreign
from allweather.journey import StageRun
from allweather.reports.reading import wilson_interval
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.text import printable
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import dataset_classes, has_own_size, open_dataset, open_dataset_of
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.train import train
from allweather.trainers.models.own_model import import_own_model
from allweather.trainers.models.registry import get_architecture
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

CHECKPOINT, BUNDLE = "classifier.safetensors", "classifier.aw"


@dataclass(frozen=True)
class Start:
    """What the stages start from.

    Attributes:
        dataset: The data, at the size of the network.
        network: Name of an architecture, a network of the user's own with the weights to start from, or somebody's
            classifier.
    """

    dataset: Dataset
    network: str | Checkpoint | ForeignModel


def open_start(config: CreateConfig, settings: CreateSettings, *, download: bool) -> Start:
    """Opens the network and the data.

    Raises:
        UsageError: There is no such network, data set or size.
        DataError: The data is missing, empty or damaged.
        EngineError: The ONNX file cannot be read.
    """
    assert config.data is not None
    if config.onnx and settings.foreign:
        classes = config.onnx.classes or dataset_classes(config.data)
        foreign = open_foreign(Path(config.onnx.file), classes, settings.foreign)
        dataset = open_dataset_of(config.data, foreign.classes, foreign.input.spec, download=download)
        hflip = dataset.hflip if config.onnx.hflip is None else config.onnx.hflip
        return Start(dataclasses.replace(dataset, hflip=hflip), foreign)
    arch = config.train.arch
    usual = get_architecture(arch).usual_input.height if arch else None
    # a library's network takes its usual size where the data has none; the small ones of our own take any
    size = settings.size or (usual if arch and ":" in arch and not has_own_size(config.data) else None)
    if arch:
        return Start(open_dataset(config.data, size, crop=settings.crop, download=download), arch)
    assert config.train.model is not None
    torch.manual_seed(config.seed)  # of its initial weights
    network = import_own_model(config.train.model, len(dataset_classes(config.data)))
    dataset = open_dataset(config.data, size, crop=settings.crop, download=download)
    return Start(dataset, Checkpoint.of(network, dataset.classes, dataset.input, name=config.train.model))


def train_stage(start: Start, config: CreateConfig, settings: FitSettings, folder: Path, run: StageRun) -> StageResult:
    """Trains the plain classifier; a training that was stopped goes on."""
    assert not isinstance(start.network, ForeignModel)
    path = folder / CHECKPOINT
    if not path.exists():  # else the process was stopped between writing it and noting that
        train(
            [start.network], start.dataset, settings, path,
            fabric=launch(), pretrained=config.train.pretrained, watch=lambda progress: _show(run, progress),
        )  # fmt: skip
    checkpoint = load_checkpoint(path, config.train.model)
    return StageResult(_accuracy(checkpoint), tuple(_chance_notes(checkpoint, start.dataset)))


def _chance_notes(checkpoint: Checkpoint, dataset: Dataset) -> Iterator[str]:
    """Yields a sentence about a classifier that is not better, beyond chance, than one that names one class."""
    labels, accuracy = dataset.val.labels, checkpoint.metrics["val_accuracy"]
    counts = labels.bincount(minlength=len(dataset.classes))
    largest = float(counts.max()) / len(labels)
    if wilson_interval(round(accuracy * len(labels)), len(labels))[0] <= largest:
        rare = ", and let rare classes count (train.class_weights: balanced)" if counts.max() > 2 * counts.min() else ""
        yield (
            f"the plain classifier is right on {100 * accuracy:.1f} % of {len(labels)} validation images, and "
            f"{100 * largest:.1f} % are of one class: that may be chance, and what is gained on it says little; train "
            f"for longer (train.epochs) or take more images{rare}"
        )


def finetune_stage(
    plain: Path, start: Start, config: CreateConfig, settings: FinetuneSettings, folder: Path, run: StageRun
) -> StageResult:
    """Finetunes the plain classifier; a finetuning that was stopped goes on."""
    path = folder / CHECKPOINT
    if not path.exists():
        finetune(
            load_checkpoint(plain, config.train.model), start.dataset, settings, path,
            fabric=launch(), watch=lambda progress: _show(run, progress),
            watch_strengths=lambda name: run.result(f"searching the strength of {name}"),
        )  # fmt: skip
    return finetune_result(load_checkpoint(path, config.train.model))


def finetune_result(checkpoint: Checkpoint) -> StageResult:
    """Says what finetuning came to, and how much of it is left where clean images may lose only so much."""
    share = checkpoint.settings.get("finetuned_share")
    if share is None:
        return StageResult(_accuracy(checkpoint))
    result = f"{_accuracy(checkpoint)}, with {100 * share:.0f} % of the finetuned weights"
    bound = checkpoint.settings["max_clean_drop"]
    note = (
        f"each share of the finetuned weights loses more than {bound:g} point{'s' * (bound != 1)} of clean accuracy, "
        "so the robust classifier is the plain one; allow more (finetune.max_clean_drop) or finetune for longer "
        "(finetune.epochs)"
    )
    return StageResult(result, (note,) if share == 0 else ())


def import_stage(start: Start, settings: CreateSettings, folder: Path, run: StageRun) -> StageResult:
    """Makes a bundle of somebody's classifier; each compiled model passes the parity gate."""
    assert isinstance(start.network, ForeignModel)
    manifest = export_foreign(
        start.network, start.dataset, folder / BUNDLE, settings.export, lambda step: run.result(printable(step)),
    )  # fmt: skip
    return StageResult(models_in_words(manifest), tuple(rejections(manifest, run.name)))


def models_in_words(manifest: Manifest) -> str:
    """Returns the engines and precisions of the classifier that a bundle holds."""
    return ", ".join(f"{model.engine} {model.precision}" for model in manifest.models if model.role == "classifier")


def rejections(manifest: Manifest, title: str) -> list[str]:
    """Says of each model that the bundle does not hold why.

    Args:
        manifest: Manifest of the bundle.
        title: What made it, before each sentence.
    """
    return [
        f"{title}: {each.role} {each.engine} {each.precision} is left out: {each.reason}" for each in manifest.rejected
    ]


def _show(run: StageRun, progress: Progress) -> None:
    run.update(progress.step, progress.steps)
    if report := progress.report:
        run.result(f"epoch {report.epoch}: {100 * report.val_accuracy:.1f} % on clean validation images")


def _accuracy(checkpoint: Checkpoint) -> str:
    return f"{100 * checkpoint.metrics['val_accuracy']:.1f} % on clean validation images"
