"""Searches views beyond the paper's twelve that a loss predictor should choose from.

    python benchmarks/tta/extended_views.py CHECKPOINT DATA CORRUPTED FOLDER [--copies 8] [--epochs 10]

Rivals: one view, and the predictor of the paper's twelve views. CHECKPOINT is a classifier that was trained without the
val split of DATA; CORRUPTED is the folder of a corrupted test set. A predictor of all candidates learns on four fifths
of the val split. On the last fifth, views are added one after the other, each time the one with which the view of the
lowest predicted loss is correct most often. The chosen ones and the twelve then get a predictor each. FOLDER gets the
view losses, so that a killed run goes on, and a record for each set of views.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder
from unseen_images import JUDGE_COPIES, UnseenImages

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.views import FURTHER_VIEWS, IDENTITY, VIEWS
from allweather.trainers.inference.forward import logits
from allweather.trainers.methods.loss_predictor import PredictorSettings, ViewLosses, fit_predictor
from allweather.trainers.models.loss_predictor import LossPredictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

CANDIDATES = (*VIEWS, *FURTHER_VIEWS, "hflip", "zoom1.2/hflip", "zoom0.8/hflip")
LEAST_GAIN = 0.0005  # of the accuracy, for which a view is added
SETS = ("twelve", "chosen", "all candidates")


def of_views(table: ViewLosses, views: Sequence[str]) -> ViewLosses:
    """Returns the columns of some views."""
    columns = [table.views.index(name) for name in views]
    return dataclasses.replace(
        table, losses=table.losses[:, columns], correct=table.correct[:, columns], views=tuple(views)
    )


def fitted(table: ViewLosses, images: UnseenImages, args: argparse.Namespace) -> LossPredictor:
    """Trains a predictor of the views of a table."""
    settings = PredictorSettings(fit=FitSettings(epochs=args.epochs, shift=0))
    model, *_ = fit_predictor(table, images.spec, settings, hflip=images.dataset.hflip, fabric=images.fabric)
    return model


def search(model: LossPredictor, judged: ViewLosses) -> tuple[str, ...]:
    """Adds views greedily, by the accuracy on the view of the lowest predicted loss; prints each step."""
    predicted, chosen = logits(model, judged.images).cpu(), [judged.views.index(IDENTITY.name)]
    best = float(judged.correct[:, chosen[0]].float().mean())
    while others := [index for index in range(len(judged.views)) if index not in chosen]:
        accuracies = []
        for each in others:
            columns = torch.tensor([*chosen, each])
            first = columns[predicted[:, columns].argmin(1)]
            accuracies.append(float(judged.correct.gather(1, first[:, None]).float().mean()))
        accuracy = max(accuracies)
        if accuracy < best + LEAST_GAIN:
            break
        best = accuracy
        chosen.append(others[accuracies.index(accuracy)])
        print(f"{judged.views[chosen[-1]]:16} {100 * best:.2f} %", flush=True)
    return tuple(judged.views[index] for index in sorted(chosen))


def main() -> None:
    """Searches, and measures the sets of views that have no record."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=8, help="corrupted copies of each image")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each predictor")
    args = parser.parse_args()
    open_study_folder(args.folder, **{name: value for name, value in vars(args).items() if name != "folder"})
    images = UnseenImages(args.checkpoint, args.data, args.corrupted, args.folder, launch())
    learned = images.losses("learned", images.unseen, args.copies, CANDIDATES)
    judged = images.losses("judged", images.judge, JUDGE_COPIES, CANDIDATES)
    of_all = fitted(learned, images, args)
    sets = dict(zip(SETS, (tuple(VIEWS), search(of_all, judged), CANDIDATES), strict=True))
    for name, views in sets.items():
        path = args.folder / f"{name.replace(' ', '-')}.json"
        record = load_record(path)
        if record is None:
            model = of_all if views == CANDIDATES else fitted(of_views(learned, views), images, args)
            facts = {"checkpoint": args.checkpoint.name, "data": args.data, "copies": args.copies}
            facts |= {"epochs": args.epochs, "views": list(views)}
            record = new_record("extended-views", name, 0, facts, images.errors(model, views), images.fabric)
            save_record(path, record)
        print(name, ", ".join(views))
        print({key: round(value, 2) for key, value in record.results.items()}, flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
