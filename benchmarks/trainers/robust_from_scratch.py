"""Compares robust training from scratch with other ways to spend the same time.

    python benchmarks/trainers/robust_from_scratch.py DATA CORRUPTED FOLDER [--arch resnet20] [--cost 36] [--seeds 1]
        [--size 32] [--fraction 1] [--test-images 10000] [--only NAME ...] [--train-only]

Rivals: plain training, AugMix and TrivialAugment without a consistency loss, and plain training that ends with
`finetune --method robust`. The cost is that of so many epochs of plain training; each row gets as many epochs as its
steps allow for that (benchmarks/trainers/finetuning_cost.py). The last row finetunes the one before it by FMA/CA on top
of that cost. CORRUPTED is the folder of a corrupted test set, or "generate", which corrupts --test-images of the test
images; it is run once for each network. What is chosen is chosen by "val", the error on corrupted validation images.
FOLDER gets a checkpoint and a record of each row and seed, and the same command resumes a killed run. With --train-only
no row is measured, as on a machine without CORRUPTED.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.evaluation import evaluate, evaluate_corrupted
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets import CopySettings, corrupted_copies
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import BATCH_SIZE, open_model
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

STUDY = "robust-from-scratch"
ROBUST_STEP = 3.1  # plain steps that one of training for consistency costs
FINETUNING_STEP, FINETUNING_EPOCHS = 2.05, 4
VAL_COPIES = 2


@dataclass(frozen=True)
class Row:
    """A way to train.

    Attributes:
        config: How the network is trained.
        step: Cost of a step, in plain ones.
        finetuned: Method by which it is finetuned in the end, at the same cost in all; None for none.
        start: Row whose network is finetuned further, on top of its cost.
    """

    config: TrainConfig = PLAIN
    step: float = 1.0
    finetuned: str | None = None
    start: str | None = None

    def epochs(self, cost: float) -> int:
        """Returns the number of epochs that the cost allows."""
        spent = FINETUNING_EPOCHS * FINETUNING_STEP if self.finetuned and not self.start else 0.0
        return max(1, round((cost - spent) / self.step))


ROWS = {
    "plain": Row(),
    "AugMix": Row(TrainConfig(augment="augmix"), 1.1),
    "TrivialAugment": Row(TrainConfig(augment="trivial"), 1.05),
    "plain, finetuned robust": Row(finetuned="robust"),
    "robust augmix": Row(TrainConfig(robust="augmix"), ROBUST_STEP),
    "robust prime": Row(TrainConfig(robust="prime"), ROBUST_STEP),
    "robust mixed": Row(TrainConfig(robust="mixed"), ROBUST_STEP),
    "robust mixed, then FMA": Row(finetuned="fma", start="robust mixed"),
}


def network(name: str, seed: int, data: Dataset, args: argparse.Namespace, fabric: Fabric) -> Path:
    """Trains what is missing of a row, and returns its checkpoint."""
    row, out = ROWS[name], file_of(name, seed, args.folder, ".safetensors")
    if out.is_file():
        return out
    start = out.with_suffix(".start.safetensors") if row.finetuned else out
    if row.start:
        start = network(row.start, seed, data, args, fabric)
    elif not start.is_file():
        fit = FitSettings(epochs=row.epochs(args.cost), seed=seed)
        train([args.arch], data, fit, start, fabric=fabric, config=row.config)
    if row.finetuned:
        fit = FitSettings(epochs=FINETUNING_EPOCHS, schedule="cosine", seed=seed)
        settings = FinetuneSettings(row.finetuned, fit=fit)  # type: ignore[arg-type]
        finetune(load_checkpoint(start), data, settings, out, fabric=fabric)
    return out


def file_of(name: str, seed: int, folder: Path, suffix: str) -> Path:
    """Returns the path of a file of a row."""
    return folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}{suffix}"


def errors(checkpoint: Checkpoint, data: Dataset, corrupted: str, test_images: int) -> dict[str, float]:
    """Returns the errors in percent on clean, corrupted and corrupted validation images."""
    some = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[:test_images].sort().values
    tested = replace(data, test=data.test.take(some)) if corrupted == "generate" else data
    robustness = evaluate_corrupted(checkpoint, tested, corrupted)
    found = {"clean": 1 - evaluate(checkpoint, data).accuracy, "val": _validation_error(checkpoint, data)}
    found |= {"common": robustness.common.error, "extra": robustness.extra.error}
    return {group: 100 * error for group, error in found.items()}


def _validation_error(checkpoint: Checkpoint, data: Dataset) -> float:
    val = data.val.take(torch.arange(len(data.val)).repeat(VAL_COPIES)).loaded()
    copies, _ = corrupted_copies(val.images.numpy(), CopySettings(clean=0.0, dark=0.0), np.random.default_rng(0))
    with open_model(checkpoint) as opened:
        parts = [opened.logits(copies[i : i + BATCH_SIZE]) for i in range(0, len(copies), BATCH_SIZE)]
    return float((np.concatenate(parts).argmax(1) != val.labels.numpy()).mean())


def main() -> None:
    """Trains and measures the rows that have no record, and prints them."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--cost", type=float, default=36, help="epochs of plain training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=32, help="side in pixels of the images")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the training images")
    parser.add_argument("--test-images", type=int, default=10_000, help="test images that are corrupted")
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--train-only", action="store_true")
    args = parser.parse_args()
    settings = {name: getattr(args, name) for name in ("data", "arch", "cost", "size", "fraction")}
    open_study_folder(args.folder, **settings)
    fabric, data = launch(), open_dataset(args.data, args.size).subset(args.fraction, 0)
    for seed in range(args.seeds):
        for name in args.only:
            if args.train_only:
                network(name, seed, data, args, fabric)
                continue
            path = file_of(name, seed, args.folder, ".json")
            record = load_record(path)
            if record is None:
                trained = load_checkpoint(network(name, seed, data, args, fabric))
                found = errors(trained, data, args.corrupted, args.test_images)
                facts = {"corrupted": Path(args.corrupted).name, "epochs": ROWS[name].epochs(args.cost)}
                facts |= settings | {"train_images": len(data.train), "test_images": args.test_images}
                record = new_record(STUDY, name, seed, facts, found, fabric)
                save_record(path, record)
            print(name, seed, {key: round(value, 2) for key, value in record.results.items()}, flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
