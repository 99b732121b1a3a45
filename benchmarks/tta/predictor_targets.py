"""Measures on whose images a loss predictor should learn a classifier's losses: on its own, or on unseen ones.

    python benchmarks/tta/predictor_targets.py CHECKPOINT DATA CORRUPTED FOLDER [--images 20000] [--epochs 10]
        [--fold-epochs 4] [--only NAME ...]

Rivals: one view, and the predictor that learns on the images that its classifier was trained on. CHECKPOINT is a
classifier that was trained without the val split of DATA; CORRUPTED is the folder of a corrupted test set. All rows
have about as many corrupted images:

- own: the classifier's training images
- own, other margin: the same predictor, with the margin for clean images found on unseen ones
- held back: four fifths of the val split, in more copies
- folds: the training images, with the losses of three classifiers that are finetuned for a few epochs without them

Which is best is read off the last fifth of the val split; the corrupted test set is run once at the end. FOLDER gets
the view losses, so that a killed run goes on, and a record for each row.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder
from unseen_images import UnseenImages

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.methods.loss_predictor import PredictorSettings, ViewLosses, fit_predictor
from allweather.trainers.methods.loss_predictor.identity_margin import add_identity_margin
from allweather.trainers.methods.train import train
from allweather.trainers.models.loss_predictor import LossPredictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

OTHER_MARGIN = ", other margin"
ROWS = ("own", f"own{OTHER_MARGIN}", "held back", "folds")
FOLDS = 3  # of the training images
OWN_COPIES = 2


def targets(row: str, images: UnseenImages, args: argparse.Namespace) -> ViewLosses:
    """Returns what the predictor of a row learns."""
    if row == "held back":
        return images.losses("held-back", images.unseen, round(OWN_COPIES * args.images / len(images.unseen)))
    if row == "folds":
        return joined(list(fold_losses(images, args)))
    train_images = images.dataset.train
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(train_images)))
    return images.losses("own", train_images.take(order[: args.images]), OWN_COPIES)


def fold_losses(images: UnseenImages, args: argparse.Namespace) -> Iterator[ViewLosses]:
    """Finetunes the classifier without each third of its images, and yields its losses on that third."""
    data = images.dataset
    for fold in range(FOLDS):
        out = args.folder / f"fold-{fold}.safetensors"
        rows = torch.arange(len(data.train)) % FOLDS == fold
        if not out.is_file():
            others = dataclasses.replace(data, train=data.train.take((~rows).nonzero()[:, 0]))
            train([images.start], others, FitSettings(epochs=args.fold_epochs), out, fabric=images.fabric)
        third = data.train.take(rows.nonzero()[:, 0][: args.images // FOLDS])
        yield images.losses(f"fold-{fold}", third, OWN_COPIES, of=load_checkpoint(out))


def joined(parts: list[ViewLosses]) -> ViewLosses:
    """Returns the rows of several tables, whose images keep their folds apart."""
    sources = [part.source * len(parts) + index for index, part in enumerate(parts)]
    names = ("images", "losses", "correct", "corruption")
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return ViewLosses(**columns, source=torch.cat(sources), views=parts[0].views)


def predictor(row: str, images: UnseenImages, args: argparse.Namespace) -> tuple[LossPredictor, tuple[str, ...]]:
    """Trains the predictor of a row; returns it with its views."""
    settings = PredictorSettings(fit=FitSettings(epochs=args.epochs, shift=0))
    learned = targets(row.removesuffix(OTHER_MARGIN), images, args)
    model, *_ = fit_predictor(learned, images.spec, settings, hflip=images.dataset.hflip, fabric=images.fabric)
    if row.endswith(OTHER_MARGIN):
        model = copy.deepcopy(model)
        add_identity_margin(model, targets("held back", images, args))
    return model, learned.views


def measure(row: str, images: UnseenImages, args: argparse.Namespace) -> None:
    """Measures a row that has no record, and prints it."""
    path = args.folder / f"{row.replace(', ', '-').replace(' ', '-')}.json"
    record = load_record(path)
    if record is None:
        started = time.monotonic()
        model, views = predictor(row, images, args)
        results = {"seconds": time.monotonic() - started, **images.errors(model, views)}
        facts = {"checkpoint": args.checkpoint.name, "data": args.data, "images": args.images, "epochs": args.epochs}
        record = new_record("predictor-targets", row, 0, facts, results, images.fabric)
        save_record(path, record)
    print(row, {name: round(value, 2) for name, value in record.results.items()}, flush=True)


def main() -> None:
    """Measures the rows."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20000, help="training images; each has two copies")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each predictor")
    parser.add_argument("--fold-epochs", type=int, default=4, help="epochs of each classifier that lacks a third")
    parser.add_argument("--only", nargs="*", default=ROWS)
    args = parser.parse_args()
    open_study_folder(
        args.folder, **{name: each for name, each in vars(args).items() if name not in ("only", "folder")}
    )
    images = UnseenImages(args.checkpoint, args.data, args.corrupted, args.folder, launch())
    for row in args.only:
        measure(row, images, args)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
