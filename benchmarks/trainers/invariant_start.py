"""Measures what augmentation-invariant training adds to FMA/CA and to the loss predictor; a killed run can be resumed.

    python benchmarks/trainers/invariant_start.py DATA CORRUPTED FOLDER START... [--fraction 0.1] [--epochs 10]

Rivals: the START checkpoints themselves, such as plain and augmentation-invariant ones, of one architecture and trained
on the same share of DATA. CORRUPTED is the folder of a corrupted test set. Each START is finetuned by FMA/CA at the
augmentation strengths that cost the first START ten points of accuracy, and gets a tiny loss predictor with the default
loss. FOLDER gets the checkpoints, start.md and start.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from studies import dot_plot, errors_in_one_line, open_study_folder

from allweather.evaluation.augmented import augmented_evaluation
from allweather.evaluation.policies import policy_evaluation
from allweather.reports.html import write_files
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets import CorruptedSet, open_corrupted_set
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

POLICY = "top:1"
COLUMNS = (
    "clean", "average of the ten rows", "common 15, center", "common 15, top:1", "extra 4, center", "extra 4, top:1",
)  # fmt: skip


def find_or_read_strengths(start: Path, dataset: Dataset, folder: Path) -> dict[str, float]:
    """Returns the augmentation strengths for the first START; they are cached in the folder."""
    cache = folder / "strengths.json"
    if not cache.is_file():
        found = find_strengths(load_checkpoint(start).classifier(), dataset.val).parameters
        with atomic_file(cache) as temporary:
            temporary.write_text(json.dumps(found))
    strengths: dict[str, float] = json.loads(cache.read_text())
    return strengths


def finetuned(start: Checkpoint, data: Dataset, epochs: int, out: Path) -> Path:
    """Finetunes a START by FMA/CA if `out` does not exist, and returns `out`."""
    if not out.is_file():
        settings = FinetuneSettings("fma", "ca", fit=FitSettings(epochs=epochs, schedule="cosine"))
        finetune(start, data, settings, out, fabric=launch())
    return out


def with_predictor(start: Path, data: Dataset, epochs: int, out: Path) -> Path:
    """Adds a loss predictor to a checkpoint if `out` does not exist, and returns `out`."""
    if not out.is_file():
        settings = PredictorSettings(
            copy_settings=CopySettings(copies=2, dark=0.0), held_back=False, fit=FitSettings(epochs=epochs, shift=0)
        )
        folder = out.with_suffix(".losses")
        add_predictor(load_checkpoint(start), data, settings, out, losses_folder=folder, fabric=launch())
    return out


def errors(path: Path, dataset: Dataset, corrupted: CorruptedSet, strengths: dict[str, float]) -> list[float]:
    """Returns a row of the table, errors in percent; it is cached beside the checkpoint."""
    cache = path.with_suffix(".json")
    if not cache.is_file():
        with open_model(path) as target:
            average = augmented_evaluation(target, dataset, strengths).average
            evaluation, _ = policy_evaluation(target, dataset, corrupted, [parse_policy(POLICY)])
        results = {result.policy: result for result in evaluation.results}
        center, chosen = results["center"], results[POLICY]
        corrupted_errors = (center.common, chosen.common, center.extra, chosen.extra)
        row = [center.clean.value, 1 - average, *(each.value if each else math.nan for each in corrupted_errors)]
        with atomic_file(cache) as temporary:
            temporary.write_text(json.dumps([100 * value for value in row]))
    cached: list[float] = json.loads(cache.read_text())
    return cached


def main() -> None:
    """Trains the missing runs, evaluates all runs, and writes the table and the plot."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("starts", nargs="+", type=Path, metavar="start")
    parser.add_argument("--fraction", type=float, default=0.1, help="fraction of the training images")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    first = load_checkpoint(args.starts[0])
    dataset = open_dataset_of(args.data, first.classes, first.input)
    subset = dataset.subset(args.fraction, 0)
    corrupted = open_corrupted_set(args.corrupted, first.classes, first.input)
    shared = ("data", "corrupted", "fraction", "epochs")
    open_study_folder(args.folder, start=args.starts[0], **{name: getattr(args, name) for name in shared})
    strengths = find_or_read_strengths(args.starts[0], dataset, args.folder)
    rows: list[Sequence[str]] = [("test error, %", *COLUMNS)]
    plotted = {}
    for path in args.starts:
        start = dataclasses.replace(load_checkpoint(path), strengths=strengths)
        tuned = finetuned(start, subset, args.epochs, args.folder / f"{path.stem}-fma.safetensors")
        for stage, trained in (("", path), (", then FMA/CA", tuned)):
            out = args.folder / f"{trained.stem}-predictor.safetensors"
            row = errors(with_predictor(trained, subset, args.epochs, out), dataset, corrupted, strengths)
            rows.append((path.stem + stage, *(f"{value:.2f}" for value in row)))
            plotted[path.stem + stage] = row[2:3]
            plotted[f"{path.stem}{stage}, top:1"] = row[3:4]
    text = "\n".join([*markdown_table(rows), ""])
    plot = dot_plot(plotted, "error on the common 15 corruptions, %")
    write_files(args.folder, {"start.md": text, "start.png": plot})
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
