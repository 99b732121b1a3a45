"""Learned augmentation beside none and the usual one (Lee et al., CVPR 2020, table 1 and section 5.2); resumable.

    python benchmarks/trainers/learned_augmentation.py DATA FOLDER [--arch resnet20] [--epochs 36] [--fraction 0.1]
        [--seeds 3] [--classifier-epochs 20] [--only NAME ...]

Every row is trained for the same epochs on the same pictures. An augmentation is learned anew for each seed, with a
fifth of those pictures held out; no other label is used. FOLDER gets a checkpoint for each run, each augmentation,
table.md and table.png, and keeps to the other settings. NAMEs choose what is trained; the table has all rows that
are there. Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from studies import dots, in_one_line, keep_to, mean_and_deviation, seeds

from allweather.evaluation.clean import evaluate
from allweather.evaluation.model import open_model
from allweather.reports.html import markdown, write
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint, save_augmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.learned_augmentation.learn import (
    LearnAugmentationSettings,
    learn_augmentation,
)
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

LEARNED = {"learned": "parallel", "serial": "serial", "spatial": "spatial", "appearance": "appearance"}
RANDOM = "random warps"  # of a network that learned nothing; within the same limits
ROWS = ("none", "shifts and mirroring", "randaugment", RANDOM, *LEARNED)
SETTLING = 200  # batches over which its normalisation settles


def place(row: str, seed: int, given: argparse.Namespace) -> Path:
    """Of its checkpoint."""
    return Path(given.folder / f"{row.replace(' ', '-')}-{seed}.safetensors")


def unlearned(seed: int, dataset: Dataset) -> AugmentationCheckpoint:
    """Warps by chance: the spatial network as it starts, but for the statistics that normalise its answers."""
    torch.manual_seed(seed)
    network, rng = AugmentationNetwork("spatial").train(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(SETTLING):
            some = torch.randint(len(dataset.train), (128,), generator=rng)
            network(to_float(dataset.train.images[some]), rng)
    return AugmentationCheckpoint("spatial", network.state_dict(), dataset.name)


def augmentation(row: str, seed: int, given: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> Path:
    """Makes the augmentation of a row if it is not there."""
    out: Path = place(row, seed, given).with_suffix(".augmentation.safetensors")
    if out.is_file():
        return out
    if row == RANDOM:
        save_augmentation(out, unlearned(seed, dataset))
        return out
    started, classifier = time.monotonic(), FitSettings(epochs=given.classifier_epochs, seed=seed)
    settings = LearnAugmentationSettings(mode=LEARNED[row], classifier=classifier)  # type: ignore[arg-type]
    made = learn_augmentation(given.arch, dataset, settings, out, fabric=fabric)
    print(row, seed, made.metrics, f"{time.monotonic() - started:.0f} s", flush=True)
    return out


def accuracy(row: str, seed: int, given: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> dict[str, float]:
    """Trains a run if it is not there, and measures it."""
    out = place(row, seed, given)
    kept = out.with_suffix(".json")
    if not kept.is_file():
        if not out.is_file():
            augment = "randaugment" if row == "randaugment" else None
            if row in (RANDOM, *LEARNED):
                augment = f"learned:{augmentation(row, seed, given, dataset, fabric)}"
            plain = row == "none"
            config = TrainConfig(variants="rh" if plain else "rp", augment=augment)
            settings = FitSettings(epochs=given.epochs, seed=seed, hflip=False if plain else None)
            train([given.arch], dataset, settings, out, fabric=fabric, config=config)
        with open_model(out) as target:
            found = {"test": evaluate(target, dataset).accuracy, "val": target.history[-1]["val_accuracy"]}
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps(found))
        print(row, seed, found, flush=True)
    measured: dict[str, float] = json.loads(kept.read_text())
    return measured


def main() -> None:
    """Trains what is missing, measures, and writes the table and the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--classifier-epochs", type=int, default=20, help="of the one that is learned through")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=ROWS, choices=ROWS)
    given = parser.parse_args()
    fabric, dataset = launch(), open_dataset(given.data).subset(given.fraction, 0)
    alike = ("data", "arch", "epochs", "classifier_epochs", "fraction")
    keep_to(given.folder, **{name: getattr(given, name) for name in alike})
    found: dict[str, list[dict[str, float]]] = {}
    for row in ROWS:
        count = given.seeds if row in given.only else 0
        for seed in seeds(count, lambda seed, row=row: place(row, seed, given).is_file()):  # type: ignore[misc]
            found.setdefault(row, []).append(accuracy(row, seed, given, dataset, fabric))
    table: list[Sequence[str]] = [
        (f"{given.arch}, {len(dataset.train)} pictures, {given.epochs} epochs", "test error, %")
    ]
    errors = {row: [100 - 100 * run["test"] for run in runs] for row, runs in found.items()}
    table += [(row, mean_and_deviation(values)) for row, values in errors.items()]
    text = "\n".join([*markdown(table), ""])
    write(given.folder, {"table.md": text, "table.png": dots(errors, "test error, %")})
    print(text)


if __name__ == "__main__":
    with in_one_line():
        main()
