"""Loss predictors compared: losses, networks, and corruption families left out; killed, it goes on where it was.

    python benchmarks/tta/loss_predictors.py CKPT DATA CORRUPTED TARGETS FOLDER [--epochs N] [--only NAME ...]

CKPT is a classifier, DATA its data set such as cifar10:ROOT, CORRUPTED a corrupted test set on disk, TARGETS the folder
that `allweather train-predictor --view-losses` keeps view losses in. FOLDER gets each predictor and tables.md. What is
chosen, is chosen by the first columns of a table, which are of pictures held out from training; the rest is the test.
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

from allweather.evaluation.policy_outcomes import vote
from allweather.reports.html import markdown
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy import parse_policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor, load_predictor, save_predictor
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, EXTRA
from allweather.trainers.corruptions.corruption import FAMILIES, SEVERITIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.methods.loss_predictor.train import PredictorSettings, train_predictor
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses, view_losses
from allweather.trainers.models.loss_predictor import predictor_input_spec
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.inference import logits
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

POLICIES = tuple(parse_policy(text) for text in ("top:1", "top:2+flip"))
ASKED = parse_policy(f"top:{len(VIEWS)}+flip").views_for(range(len(VIEWS)))[0]  # every view, and mirrored
GROUPS = {"clean": ("clean",), "common 15": COMMON, "extra 4": EXTRA}


@dataclass(frozen=True)
class Trial:
    """A predictor of the plan."""

    name: str
    settings: PredictorSettings


@dataclass(frozen=True)
class Cell:
    """Test pictures of one corruption and severity: uint8 [n, h, w, 3], probabilities by view, labels."""

    corruption: str
    images: Tensor
    answers: dict[str, np.ndarray]
    labels: np.ndarray


def plan(epochs: int) -> list[Trial]:
    """The losses first."""
    fit = FitSettings(epochs=epochs, shift=0)
    return [
        *(Trial(loss, PredictorSettings(loss=loss, fit=fit)) for loss in RANK_LOSSES),
        Trial("efficientnet", PredictorSettings(kind="efficientnet", fit=fit)),
        *(Trial(f"without {family}", PredictorSettings(exclude_family=family, fit=fit)) for family in FAMILIES),
    ]


def answered(start: Checkpoint, dataset: Dataset, corrupted: Path, folder: Path) -> list[Cell]:
    """What the classifier makes of every view of the test pictures; kept in the folder."""
    there, model, cells = open_corrupted_set(corrupted, start.classes, start.input), start.classifier(), []
    for name, severity in (("clean", 0), *((name, severity) for name in there.corruptions for severity in SEVERITIES)):
        clean = name == "clean"
        images = dataset.test.images.numpy() if clean else np.concatenate([*there.batches(name, severity, 500)])
        labels = dataset.test.labels.numpy() if clean else there.labels
        place, digest = folder / "answers" / f"{name}-{severity}.safetensors", {"of": weights_digest(model)}
        if not place.is_file() or tensor_file.read(place)[1] != digest:
            looked = (torch.from_numpy(np.stack([view(each).apply(image) for image in images])) for each in ASKED)
            place.parent.mkdir(parents=True, exist_ok=True)
            tensor_file.write(place, {"logits": torch.stack([logits(model, each) for each in looked])}, digest)
        found = probabilities(tensor_file.read(place)[0]["logits"].numpy())
        cells.append(Cell(name, torch.from_numpy(images), dict(zip(ASKED, found, strict=True)), labels))
    return cells


def trained(trial: Trial, start: Checkpoint, targets: ViewLosses, hflip: bool, place: Path) -> TrainedPredictor:
    """A predictor of the folder, trained if it is not there."""
    if not place.is_file():
        began, seen, family = time.monotonic(), predictor_input_spec(start.input), trial.settings.exclude_family
        rows = targets.exclude_family(family) if family else targets
        resume = place.with_suffix(".resume")
        model, history, accuracy = train_predictor(
            rows, seen, trial.settings, hflip=hflip, fabric=launch(), resume=resume
        )
        before, seconds = history[-1].val_accuracy, time.monotonic() - began
        metrics = {"val_accuracy": accuracy, "before": before, **history[-1].others, "seconds": seconds}
        weights, kind = model.state_dict(), trial.settings.kind
        digest = weights_digest(start.classifier())
        save_predictor(place, TrainedPredictor(kind, seen, tuple(VIEWS), digest, weights, metrics=metrics))
        resume.unlink(missing_ok=True)
    return load_predictor(place)


def errors(cells: Sequence[Cell], predictor: TrainedPredictor | None) -> dict[tuple[str, str], list[float]]:
    """Percent wrong of each cell, by policy and corruption; center and hflip without a predictor."""
    found: dict[tuple[str, str], list[float]] = {}
    model = predictor.model() if predictor else None
    for cell in cells:
        predicted = logits(model, cell.images).numpy() if model else None
        for policy in POLICIES if model else (parse_policy("center"), parse_policy("hflip")):
            chosen = policy.choose(predicted, np.random.default_rng(0), len(cell.labels))
            wrong = vote(policy, chosen, cell.answers)[0].argmax(1) != cell.labels
            found.setdefault((policy.name, cell.corruption), []).append(100 * float(wrong.mean()))
    return found


def mean(found: dict[tuple[str, str], list[float]], policy: str, names: Sequence[str]) -> str:
    """Over the cells of some corruptions."""
    return f"{np.mean([value for name in names for value in found[policy, name]]):.2f}"


def tables(cells: Sequence[Cell], predictors: dict[str, TrainedPredictor]) -> str:
    """Both, in Markdown."""
    base = errors(cells, None)
    head = ["", "val accuracy at k = 1, %", "with clean ones left alone", "rank correlation", "seconds"]
    head += [f"{policy.name}: {group}" for policy in POLICIES for group in GROUPS]
    rows: list[Sequence[str]] = [head]
    for name in ("center", "hflip"):
        rows.append((name, "", "", "", "", *(mean(base, name, GROUPS[each]) for each in GROUPS)))
    found = {name: errors(cells, predictor) for name, predictor in predictors.items()}
    for name, predictor in predictors.items():
        measures = predictor.metrics
        first = (f"{100 * measures['before']:.2f}", f"{100 * measures['val_accuracy']:.2f}")
        first = (*first, f"{measures['rank_correlation']:.3f}")
        shown = [mean(found[name], policy.name, GROUPS[group]) for policy in POLICIES for group in GROUPS]
        rows.append((name, *first, f"{measures['seconds']:.0f}", *shown))
    families: list[Sequence[str]] = [("family", "center", "top:1, seen in training", "top:1, not seen")]
    for family in FAMILIES:
        names = [name for name in COMMON if CORRUPTIONS[name].family == family]
        seen, unseen = found.get("squared"), found.get(f"without {family}")
        shown = [mean(each, "top:1", names) if each else "" for each in (seen, unseen)]
        families.append((family, mean(base, "center", names), *shown))
    return "\n".join([*markdown(rows), "", *markdown(families), ""])


def main() -> None:
    """Trains what is missing, measures, and writes the tables."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("targets", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    start, fabric = load_checkpoint(given.start), launch()
    dataset = open_dataset_of(given.data, start.classes, start.input)
    given.folder.mkdir(parents=True, exist_ok=True)
    seen = predictor_input_spec(start.input)
    targets = view_losses(start.classifier(), dataset.train, seen, CopySettings(), given.targets, fabric=fabric)
    predictors = {}
    for trial in plan(given.epochs):
        place = given.folder / f"{trial.name.replace(' ', '-')}.safetensors"
        if place.is_file() or not given.only or trial.name in given.only:
            predictors[trial.name] = trained(trial, start, targets, dataset.hflip, place)
            print(trial.name, dict(predictors[trial.name].metrics), flush=True)
    text = tables(answered(start, dataset, given.corrupted, given.folder), predictors)
    with atomic_file(given.folder / "tables.md") as beside:
        beside.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
