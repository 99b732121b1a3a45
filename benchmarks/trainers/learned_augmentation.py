"""Compares the learned augmentation with others (Lee et al., CVPR 2020, table 1, 5.2); the same command resumes a run.

    python benchmarks/trainers/learned_augmentation.py DATA FOLDER [--arch resnet20] [--epochs 36] [--fraction 0.1]
        [--seeds 3] [--classifier-epochs 20] [--only NAME ...]

Rivals: no augmentation, shifts and flips, RandAugment, and random warps. Every row is trained for the same number of
epochs on the same images. An augmentation is learned anew for each seed, with a fifth of those images held out; labels
of other images are not used. FOLDER gets a checkpoint for each run, each augmentation, table.md and table.png; all runs
in it must have the same DATA and options. NAMEs choose the rows of the table to train; the table has all finished runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from studies import dot_plot, errors_in_one_line, mean_and_deviation, open_study_folder, seeds

from allweather.evaluation.clean import clean_evaluation
from allweather.reports.html import write_files
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint, save_augmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.learned_augmentation.learn import (
    LearnAugmentationSettings,
    learn_augmentation,
)
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

LEARNED = {"learned": "parallel", "serial": "serial", "spatial": "spatial", "appearance": "appearance"}
RANDOM = "random warps"  # of an untrained network, within the same limits
ROWS = ("none", "shifts and flips", "randaugment", RANDOM, *LEARNED)
STATISTICS_BATCHES = 200  # from which the statistics of its normalization are estimated


def checkpoint_path(row: str, seed: int, args: argparse.Namespace) -> Path:
    """Returns the path of a run's checkpoint."""
    return Path(args.folder / f"{row.replace(' ', '-')}-{seed}.safetensors")


def random_warps(seed: int, dataset: Dataset) -> AugmentationCheckpoint:
    """Returns an untrained spatial network; only the statistics that normalize its outputs are fitted."""
    torch.manual_seed(seed)
    network, rng = AugmentationNetwork("spatial").train(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(STATISTICS_BATCHES):
            indices = torch.randint(len(dataset.train), (128,), generator=rng)
            network(to_float(dataset.train.images[indices]), rng)
    return AugmentationCheckpoint("spatial", network.state_dict(), dataset.name)


def augmentation(row: str, seed: int, args: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> Path:
    """Learns the augmentation of a row if its file does not exist, and returns the path."""
    out: Path = checkpoint_path(row, seed, args).with_suffix(".augmentation.safetensors")
    if out.is_file():
        return out
    if row == RANDOM:
        save_augmentation(out, random_warps(seed, dataset))
        return out
    started, classifier = time.monotonic(), FitSettings(epochs=args.classifier_epochs, seed=seed)
    settings = LearnAugmentationSettings(mode=LEARNED[row], classifier=classifier)  # type: ignore[arg-type]
    learned = learn_augmentation(args.arch, dataset, settings, out, fabric=fabric)
    print(row, seed, learned.metrics, f"{time.monotonic() - started:.0f} s", flush=True)
    return out


def train_and_test(row: str, seed: int, args: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> dict[str, float]:
    """Trains a run if its checkpoint does not exist, and returns its accuracies."""
    out = checkpoint_path(row, seed, args)
    cache = out.with_suffix(".json")
    if not cache.is_file():
        if not out.is_file():
            augment = "randaugment" if row == "randaugment" else None
            if row in (RANDOM, *LEARNED):
                augment = f"learned:{augmentation(row, seed, args, dataset, fabric)}"
            plain = row == "none"
            config = TrainConfig(variants="rh" if plain else "rp", augment=augment)
            settings = FitSettings(epochs=args.epochs, seed=seed, hflip=False if plain else None)
            train([args.arch], dataset, settings, out, fabric=fabric, config=config)
        with open_model(out) as target:
            accuracies = {"test": clean_evaluation(target, dataset).accuracy, "val": target.history[-1]["val_accuracy"]}
        with atomic_file(cache) as temporary:
            temporary.write_text(json.dumps(accuracies))
        print(row, seed, accuracies, flush=True)
    cached: dict[str, float] = json.loads(cache.read_text())
    return cached


def main() -> None:
    """Trains the missing runs, evaluates all runs, and writes the table and the plot."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--classifier-epochs", type=int, default=20, help="of the first stage")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=ROWS, choices=ROWS)
    args = parser.parse_args()
    fabric, dataset = launch(), open_dataset(args.data).subset(args.fraction, 0)
    shared = ("data", "arch", "epochs", "classifier_epochs", "fraction")
    open_study_folder(args.folder, **{name: getattr(args, name) for name in shared})
    results: dict[str, list[dict[str, float]]] = {}
    for row in ROWS:
        count = args.seeds if row in args.only else 0
        for seed in seeds(count, lambda seed, row=row: checkpoint_path(row, seed, args).is_file()):  # type: ignore[misc]
            results.setdefault(row, []).append(train_and_test(row, seed, args, dataset, fabric))
    table: list[Sequence[str]] = [(f"{args.arch}, {len(dataset.train)} images, {args.epochs} epochs", "test error, %")]
    errors = {row: [100 - 100 * run["test"] for run in runs] for row, runs in results.items()}
    table += [(row, mean_and_deviation(values)) for row, values in errors.items()]
    text = "\n".join([*markdown_table(table), ""])
    write_files(args.folder, {"table.md": text, "table.png": dot_plot(errors, "test error, %")})
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
