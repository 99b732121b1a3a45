"""Compares a loss predictor with training on corruptions: table 2 of Kim et al. (2020); a killed run can be resumed.

    python benchmarks/tta/training_corruptions.py CHECKPOINT DATA CORRUPTED FOLDER [--epochs 4] [--fraction 1]
        [--predictor-epochs 10] [--seed 0]

Rivals: finetuning with AugMix and the 15 common corruptions among its operations ("AugMix+" in the paper), finetuning
on these corruptions alone, and the horizontal flip. CHECKPOINT is a classifier, from which all rows start; DATA its
data set such as cifar10:ROOT, CORRUPTED the folder of a corrupted test set. Each row is finetuned for as many steps, by
`finetune --method at`, on pairs of a clean image and an augmented copy. The loss predictor of the AugMix row learns on
copies with the same 15 corruptions of the same images. FOLDER gets the checkpoints, a record for each row, and table.md
with the paper's figures. Nothing is chosen by the results: test images are used once, at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from chosen_views import correct_by_policy
from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.evaluation.metrics import bootstrap_intervals
from allweather.evaluation.policies import GROUPS
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import BATCH_SIZE, open_model
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings


@dataclass(frozen=True)
class Row:
    """A row of the table: a classifier and how it is run.

    Attributes:
        name: Name of the row.
        augment: Augmentation that the classifier is finetuned with; None for the checkpoint as it is given.
        policy: Test-time augmentation policy.
    """

    name: str
    augment: str | None
    policy: str = "center"


ROWS = (
    Row("start", None),
    Row("AugMix", "augmix"),
    Row("AugMix + corruptions", "augmix+corruptions"),
    Row("corruptions", "corruptions"),
    Row("AugMix, hflip", "augmix", "hflip"),
    Row("AugMix, top:1", "augmix", "top:1"),
    Row("AugMix, top:2+flip", "augmix", "top:2+flip"),
)
CLASSIFIERS = (None, "augmix", "augmix+corruptions", "corruptions")
WITH_PREDICTOR = "augmix"
# Kim et al., tables 1 to 3: top-1 error in percent on CIFAR-100(-C), of a WRN-40-2 trained from scratch. The copy of
# table 2 at hand has lost most figures of the row AugMix.
HELD_OUT_AUGMIX = (43.07, 26.85, 27.67, 35.17)
EACH_AUGMIX_PLUS = (
    31.46, 29.71, 27.28, 27.06, 35.33, 28.93, 27.09, 30.34, 29.03, 31.57, 27.35, 30.87, 31.89, 29.56, 33.66,
    29.56, 27.52, 29.33, 35.54,
)  # fmt: skip
EACH_TOP_1 = (
    45.76, 29.77, 36.78, 24.93, 42.42, 27.89, 26.85, 34.71, 36.45, 33.23, 26.37, 30.78, 32.70, 28.93, 39.75,
    38.68, 25.82, 25.99, 32.88,
)  # fmt: skip
PAPER: Mapping[str, Mapping[str, float]] = {
    "AugMix": {"clean": 23.34, "common": 36.15, "extra": 33.19, **dict(zip(EXTRA, HELD_OUT_AUGMIX, strict=True))},
    "AugMix+": {
        "clean": 25.16,
        "common": 30.08,
        "extra": 30.49,
        **dict(zip(CORRUPTIONS, EACH_AUGMIX_PLUS, strict=True)),
    },
    "k = 1": {"clean": 23.31, "common": 33.15, "extra": 30.84, **dict(zip(CORRUPTIONS, EACH_TOP_1, strict=True))},
    "k = 2 + flip": {"clean": 22.69, "common": 32.76, "extra": 30.11},
}


def classifier_of(
    augment: str | None, start: Checkpoint, data: Dataset, args: argparse.Namespace, fabric: Fabric
) -> Path:
    """Trains what is missing of a classifier, and of its loss predictor if it gets one; returns its checkpoint."""
    if augment is None:
        return Path(args.checkpoint)
    path = Path(args.folder / f"{augment}.safetensors")
    if not path.is_file():
        fit = FitSettings(epochs=args.epochs, schedule="cosine", seed=args.seed)
        done = finetune(start, data, FinetuneSettings("at", augment=augment, fit=fit), path, fabric=fabric)
        print(augment, dict(done.metrics), flush=True)
    if augment != WITH_PREDICTOR:
        return path
    out = Path(args.folder / f"{augment}-predictor.safetensors")
    if not out.is_file():
        fit = FitSettings(epochs=args.predictor_epochs, shift=0, seed=args.seed)
        settings = PredictorSettings(copy_settings=CopySettings(dark=0.0), held_back=False, fit=fit)
        losses = args.folder / "view-losses"
        done = add_predictor(load_checkpoint(path), data, settings, out, losses_folder=losses, fabric=fabric)
        assert done.predictor is not None
        print("predictor", dict(done.predictor.metrics), flush=True)
    return out


def cells_of(
    path: Path, rows: Sequence[Row], data: Dataset, args: argparse.Namespace
) -> dict[str, list[npt.NDArray[np.bool_]]]:
    """Runs the policies of some rows on the test images.

    Returns:
        For "clean" and each corruption, by name, its cells: bool [rows, n], whether the predictions are correct.
    """
    policies, found = [parse_policy(row.policy) for row in rows], {}
    with open_model(path) as model:
        corrupted, labels = open_corrupted_set(args.corrupted, model.classes, model.input), data.test.labels.numpy()
        parts = zip(data.test.batches(BATCH_SIZE), range(0, len(labels), BATCH_SIZE), strict=True)
        clean = [
            correct_by_policy(model, policies, batch.images.numpy(), labels[first : first + BATCH_SIZE])
            for batch, first in parts
        ]
        found["clean"] = [np.concatenate(clean, 1)]
        for name in corrupted.corruptions:
            cells = (np.concatenate([*corrupted.batches(name, each, BATCH_SIZE)]) for each in SEVERITIES)
            found[name] = [correct_by_policy(model, policies, images, corrupted.labels) for images in cells]
    return found


def errors(index: int, cells: Mapping[str, Sequence[npt.NDArray[np.bool_]]]) -> dict[str, float]:
    """Returns the errors of a row in percent: of each corruption, and of each group with its 95 % interval."""
    found = {name: 100 * float(np.mean([~cell[index] for cell in cells[name]])) for name in CORRUPTIONS}
    for group, names in GROUPS.items():
        incorrect = np.stack([~cell[index] for name in names for cell in cells[name]])
        (low,), (high,) = bootstrap_intervals(incorrect, np.full((1, len(incorrect)), 1 / len(incorrect)))
        found |= {group: 100 * float(incorrect.mean()), f"{group} low": 100 * float(low)}
        found[f"{group} high"] = 100 * float(high)
    return found


def record_path(row: Row, args: argparse.Namespace) -> Path:
    """Returns the path of a row's record."""
    return Path(args.folder / f"{row.name.replace(', ', '-').replace(' ', '')}-{args.seed}.json")


def records_of(
    augment: str | None, start: Checkpoint, data: Dataset, args: argparse.Namespace, fabric: Fabric
) -> dict[str, RunRecord]:
    """Returns the records of a classifier's rows by name; trains and evaluates it first if they are missing."""
    rows = [row for row in ROWS if row.augment == augment]
    records = {row.name: load_record(record_path(row, args)) for row in rows}
    if None not in records.values():
        return {name: record for name, record in records.items() if record}
    cells, done = cells_of(classifier_of(augment, start, data, args, fabric), rows, data, args), {}
    for index, row in enumerate(rows):
        facts = {"augment": augment, "policy": row.policy, "data": args.data, "train_images": len(data.train)}
        facts |= {"epochs": args.epochs if augment else 0, "predictor_epochs": args.predictor_epochs}
        record = new_record("training-corruptions", row.name, args.seed, facts, errors(index, cells), fabric)
        save_record(record_path(row, args), record)
        done[row.name] = record
    return done


def table(records: Mapping[str, RunRecord]) -> str:
    """Returns the table in Markdown; the paper's columns are of another data set and network."""
    heads = ("error, %", *records, *(f"paper, CIFAR-100, WRN-40-2: {name}" for name in PAPER))
    rows: list[Sequence[str]] = [heads]
    for name in ("clean", *COMMON, "common", *EXTRA, "extra"):
        cells = []
        for record in records.values():
            found, interval = record.results, ""
            if f"{name} low" in found:
                interval = f" ({found[f'{name} low']:.1f} to {found[f'{name} high']:.1f})"
            cells.append(f"{found[name]:.2f}{interval}")
        published = (f"{column[name]:.2f}" if name in column else "" for column in PAPER.values())
        title = {"common": "mean of the 15", "extra": "mean of the 4 held out"}.get(name, name.replace("_", " "))
        rows.append((title, *cells, *published))
    return "\n".join([*markdown_table(rows), ""])


def main() -> None:
    """Trains and evaluates the missing rows, and writes the table."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each finetuning")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the training images")
    parser.add_argument("--predictor-epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start, fabric = load_checkpoint(args.checkpoint), launch()
    data = open_dataset_of(args.data, start.classes, start.input).subset(args.fraction, 0)
    open_study_folder(
        args.folder, checkpoint=args.checkpoint, data=args.data, epochs=args.epochs, fraction=args.fraction,
        predictor_epochs=args.predictor_epochs, seed=args.seed,
    )  # fmt: skip
    found = {}
    for augment in CLASSIFIERS:
        found |= records_of(augment, start, data, args, fabric)
    text = table({row.name: found[row.name] for row in ROWS})
    with atomic_file(args.folder / "table.md") as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
