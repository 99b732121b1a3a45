"""Compares loss predictors: rank losses, networks, and excluded corruption families; a killed run can be resumed.

    python benchmarks/tta/loss_predictors.py CHECKPOINT DATA CORRUPTED VIEW_LOSSES FOLDER [--epochs N] [--only NAME ...]

Rivals: the policies center and hflip, which need no predictor. CHECKPOINT is a classifier, DATA its data set such as
cifar10:ROOT, CORRUPTED the folder of a corrupted test set, VIEW_LOSSES the folder in which `allweather train-predictor
--view-losses` keeps view losses. FOLDER gets each predictor and tables.md. A predictor must be chosen by the first
columns of a table, whose images are held out from training; the other columns are test results.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor, load_predictor, save_predictor
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, EXTRA
from allweather.trainers.corruptions.corruption import FAMILIES, SEVERITIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.methods.loss_predictor import (
    PredictorSettings,
    ViewLosses,
    compute_view_losses,
    fit_predictor,
)
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.loss_predictor import predictor_input_spec
from allweather.trainers.policies.average import average_views
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

POLICIES = tuple(parse_policy(text) for text in ("top:1", "top:2+flip"))
ALL_VIEWS = parse_policy(f"top:{len(VIEWS)}+flip").views_for(range(len(VIEWS)))[0]  # each also flipped
GROUPS = {"clean": ("clean",), "common 15": COMMON, "extra 4": EXTRA}


@dataclass(frozen=True)
class Trial:
    """A loss predictor of the plan: its name and settings."""

    name: str
    settings: PredictorSettings


@dataclass(frozen=True)
class Cell:
    """Test images of one corruption and severity.

    Attributes:
        corruption: Name of the corruption, or "clean".
        images: uint8 [n, h, w, 3].
        logits: Logits of the classifier, float32 [n, C], by view.
        labels: int64 [n].
    """

    corruption: str
    images: Tensor
    logits: dict[str, np.ndarray]
    labels: np.ndarray


def plan(epochs: int) -> list[Trial]:
    """Returns all predictors of the plan, first one for each rank loss."""
    fit = FitSettings(epochs=epochs, shift=0)
    return [
        *(Trial(loss, PredictorSettings(loss=loss, fit=fit)) for loss in RANK_LOSSES),
        Trial("efficientnet", PredictorSettings(kind="efficientnet", fit=fit)),
        *(Trial(f"without {family}", PredictorSettings(exclude_family=family, fit=fit)) for family in FAMILIES),
    ]


def cells_of(start: Checkpoint, dataset: Dataset, corrupted: Path, folder: Path) -> list[Cell]:
    """Runs the classifier on every view of the test images; the logits are cached in the folder."""
    test_set, model, cells = open_corrupted_set(corrupted, start.classes, start.input), start.classifier(), []
    for name, severity in (
        ("clean", 0),
        *((name, severity) for name in test_set.corruptions for severity in SEVERITIES),
    ):
        clean = name == "clean"
        images = dataset.test.images.numpy() if clean else np.concatenate([*test_set.batches(name, severity, 500)])
        labels = dataset.test.labels.numpy() if clean else test_set.labels
        path, header = folder / "logits" / f"{name}-{severity}.safetensors", {"classifier": weights_digest(model)}
        if not path.is_file() or tensor_file.read(path)[1] != header:
            viewed = (torch.from_numpy(np.stack([view(each).apply(image) for image in images])) for each in ALL_VIEWS)
            path.parent.mkdir(parents=True, exist_ok=True)
            tensor_file.write(path, {"logits": torch.stack([logits(model, each) for each in viewed])}, header)
        found = tensor_file.read(path)[0]["logits"].numpy()
        cells.append(Cell(name, torch.from_numpy(images), dict(zip(ALL_VIEWS, found, strict=True)), labels))
    return cells


def train_or_read(trial: Trial, start: Checkpoint, targets: ViewLosses, hflip: bool, path: Path) -> TrainedPredictor:
    """Reads a loss predictor of the folder; trains it if its file does not exist."""
    if not path.is_file():
        started, spec, family = time.monotonic(), predictor_input_spec(start.input), trial.settings.exclude_family
        rows = targets.exclude_family(family) if family else targets
        resume = path.with_suffix(".resume")
        model, history, accuracy = fit_predictor(
            rows, spec, trial.settings, hflip=hflip, fabric=launch(), resume=resume
        )
        before, seconds = history[-1].val_accuracy, time.monotonic() - started
        metrics = {"val_accuracy": accuracy, "accuracy_without_margin": before, **history[-1].val_metrics}
        metrics["seconds"] = seconds
        weights, kind = model.state_dict(), trial.settings.kind
        digest = weights_digest(start.classifier())
        save_predictor(path, TrainedPredictor(kind, spec, rows.views, digest, weights, metrics=metrics))
        resume.unlink(missing_ok=True)
    return load_predictor(path)


def errors(cells: Sequence[Cell], predictor: TrainedPredictor | None) -> dict[tuple[str, str], list[float]]:
    """Returns the error of each cell in percent, by policy and corruption; without a predictor, of center and hflip."""
    errors_by_cell: dict[tuple[str, str], list[float]] = {}
    model = predictor.model() if predictor else None
    for cell in cells:
        predicted = logits(model, cell.images).numpy() if model else None
        for policy in POLICIES if model else (parse_policy("center"), parse_policy("hflip")):
            chosen = policy.choose(predicted, np.random.default_rng(0), len(cell.labels))
            incorrect = average_views(policy, chosen, cell.logits)[0].argmax(1) != cell.labels
            errors_by_cell.setdefault((policy.name, cell.corruption), []).append(100 * float(incorrect.mean()))
    return errors_by_cell


def mean(errors_by_cell: dict[tuple[str, str], list[float]], policy: str, names: Sequence[str]) -> str:
    """Returns the mean error over the cells of some corruptions."""
    return f"{np.mean([value for name in names for value in errors_by_cell[policy, name]]):.2f}"


def tables(cells: Sequence[Cell], predictors: dict[str, TrainedPredictor]) -> str:
    """Returns both tables in Markdown."""
    base = errors(cells, None)
    head = ["", "val accuracy, top:1, %", "with the identity margin", "rank correlation", "seconds"]
    head += [f"{policy.name}: {group}" for policy in POLICIES for group in GROUPS]
    rows: list[Sequence[str]] = [head]
    for name in ("center", "hflip"):
        rows.append((name, "", "", "", "", *(mean(base, name, GROUPS[each]) for each in GROUPS)))
    by_predictor = {name: errors(cells, predictor) for name, predictor in predictors.items()}
    for name, predictor in predictors.items():
        metrics = predictor.metrics
        first = (f"{100 * metrics['accuracy_without_margin']:.2f}", f"{100 * metrics['val_accuracy']:.2f}")
        first = (*first, f"{metrics['rank_correlation']:.3f}")
        values = [mean(by_predictor[name], policy.name, GROUPS[group]) for policy in POLICIES for group in GROUPS]
        rows.append((name, *first, f"{metrics['seconds']:.0f}", *values))
    families: list[Sequence[str]] = [("family", "center", "top:1, in training", "top:1, excluded")]
    for family in FAMILIES:
        names = [name for name in COMMON if CORRUPTIONS[name].family == family]
        included, excluded = by_predictor.get("squared"), by_predictor.get(f"without {family}")
        values = [mean(each, "top:1", names) if each else "" for each in (included, excluded)]
        families.append((family, mean(base, "center", names), *values))
    return "\n".join([*markdown_table(rows), "", *markdown_table(families), ""])


def main() -> None:
    """Trains the missing predictors, evaluates all, and writes the tables."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("view_losses", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    start, fabric = load_checkpoint(args.checkpoint), launch()
    dataset = open_dataset_of(args.data, start.classes, start.input)
    args.folder.mkdir(parents=True, exist_ok=True)
    spec = predictor_input_spec(start.input)
    classifier = FrozenClassifier.of_module(start.classifier(), fabric.device)
    targets = compute_view_losses(
        classifier, dataset.train, spec, CopySettings(dark=0.0), args.view_losses, fabric=fabric
    )
    predictors = {}
    for trial in plan(args.epochs):
        path = args.folder / f"{trial.name.replace(' ', '-')}.safetensors"
        if path.is_file() or not args.only or trial.name in args.only:
            predictors[trial.name] = train_or_read(trial, start, targets, dataset.hflip, path)
            print(trial.name, dict(predictors[trial.name].metrics), flush=True)
    text = tables(cells_of(start, dataset, args.corrupted, args.folder), predictors)
    with atomic_file(args.folder / "tables.md") as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
