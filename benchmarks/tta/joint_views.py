"""Compares views that a loss predictor chooses one by one with pairs of views that it chooses jointly.

    python benchmarks/tta/joint_views.py CHECKPOINT DATA CORRUPTED FOLDER [--copies 5] [--epochs 10]

One predictor learns the loss of each view, and policy top:2 runs the two lowest; another one learns the loss of the
averaged vote of each pair. Both learn on four fifths of the val split, in corrupted copies, without flipped ones.
Rivals: one view, the best view by prediction, and the pair that is the best one for all images together. CHECKPOINT
is a classifier that was trained without the val split of DATA; CORRUPTED is the folder of a corrupted test set. Which
is better is read off the last fifth of the val split; test images are run once. FOLDER gets the outputs of the
classifier, so that a killed run goes on, and a record of each way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from run_records import new_record, save_record
from studies import errors_in_one_line, open_study_folder
from unseen_images import JUDGE_COPIES, UnseenImages

from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.views import IDENTITY, VIEWS
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CopySettings, corrupted_copies
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.methods.loss_predictor import PredictorSettings, ViewLosses, fit_predictor
from allweather.trainers.models.loss_predictor import LossPredictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

SINGLES = tuple(VIEWS)
PAIRS = tuple(combinations(range(len(SINGLES)), 2))
CENTER = SINGLES.index(IDENTITY.name)


@dataclass(frozen=True)
class Outputs:
    """Images, and what the classifier makes of each of their views.

    Attributes:
        images: uint8 [n, h, w, 3].
        probabilities: float32 [n, V, C].
        labels: int64 [n].
        source: int64 [n], row of the image before corruption.
        corruption: int64 [n], index of the corruption, -1 for clean images.
    """

    images: Tensor
    probabilities: Tensor
    labels: Tensor
    source: Tensor
    corruption: Tensor

    def votes(self, sets: tuple[tuple[int, ...], ...]) -> Tensor:
        """Returns the averaged probabilities of sets of views, float32 [n, sets, C]."""
        return torch.stack([self.probabilities[:, list(each)].mean(1) for each in sets], 1)

    def table(self, sets: tuple[tuple[int, ...], ...]) -> ViewLosses:
        """Returns the losses of the votes of sets of views; a set of one view has the name of the view."""
        votes, rows = self.votes(sets), torch.arange(len(self.labels))
        return ViewLosses(
            images=self.images,
            losses=-votes[rows, :, self.labels].clamp(min=1e-7).log(),
            correct=votes.argmax(2) == self.labels[:, None],
            source=self.source,
            corruption=self.corruption,
            views=tuple("&".join(SINGLES[index] for index in each) for each in sets),
        )


def run(model: EvaluatedModel, images: Image, keep: Path) -> Tensor:
    """Returns the probabilities of the classifier for all views, float32 [n, V, C]; reads them if they are kept."""
    if keep.is_file():
        return torch.from_numpy(np.load(keep))
    parts = [
        torch.stack(
            [
                torch.from_numpy(model.logits(np.stack([each.apply(image) for image in images[first:][:BATCH_SIZE]])))
                for each in VIEWS.values()
            ],
            1,
        ).softmax(2)
        for first in range(0, len(images), BATCH_SIZE)
    ]
    with atomic_file(keep) as temporary, temporary.open("wb") as file:
        np.save(file, torch.cat(parts).numpy())
    return torch.cat(parts)


def corrupted(model: EvaluatedModel, split: LabeledImages, copies: int, keep: Path) -> Outputs:
    """Returns what the classifier makes of corrupted copies of the images of a split."""
    source = torch.arange(len(split)).repeat(copies)
    taken = split.take(source).loaded()
    images, corruption = corrupted_copies(
        taken.images.numpy(), CopySettings(copies, dark=0.0), np.random.default_rng(0)
    )
    return Outputs(
        torch.from_numpy(images), run(model, images, keep), taken.labels, source, torch.from_numpy(corruption)
    )


def test_outputs(model: EvaluatedModel, images: UnseenImages, folder: Path) -> dict[str, Outputs]:
    """Returns the outputs for clean test images, and for both groups of corruptions."""
    test, found = images.dataset.test.loaded(), open_corrupted_set(images.corrupted, model.classes, model.input)
    pixels = {"clean": (test.images.numpy(), test.labels)}
    for group, names in (("common", COMMON), ("extra", EXTRA)):
        cells = [np.concatenate([*found.batches(name, each, BATCH_SIZE)]) for name in names for each in SEVERITIES]
        pixels[group] = np.concatenate(cells), torch.from_numpy(found.labels).long().repeat(len(cells))
    outputs = {}
    for name, (each, labels) in pixels.items():
        rows = torch.arange(len(labels))
        outputs[name] = Outputs(
            torch.from_numpy(each), run(model, each, folder / f"{name}.npy"), labels, rows, torch.zeros_like(rows)
        )
    return outputs


def errors(outputs: Outputs, predictors: Mapping[str, LossPredictor], fixed: int) -> dict[str, float]:
    """Returns the errors of each way to choose views, in percent."""
    rows, by_pair = torch.arange(len(outputs.labels)), outputs.votes(PAIRS)
    one_by_one, jointly = (logits(predictors[name], outputs.images).cpu() for name in ("one by one", "jointly"))
    lowest = one_by_one.topk(2, largest=False).indices
    votes = {
        "one view": outputs.probabilities[:, CENTER],
        "top:1": outputs.probabilities[rows, lowest[:, 0]],
        "top:2": outputs.probabilities[rows[:, None], lowest].mean(1),
        "jointly": by_pair[rows, jointly[:, 1:].argmin(1)],  # the first column is the unchanged image
        "the same pair for all": by_pair[:, fixed],
    }
    return {name: 100 * float((vote.argmax(1) != outputs.labels).float().mean()) for name, vote in votes.items()}


def main() -> None:
    """Trains both predictors and measures them."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=5, help="corrupted copies of each image")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each predictor")
    args = parser.parse_args()
    open_study_folder(args.folder, **{name: value for name, value in vars(args).items() if name != "folder"})
    images = UnseenImages(args.checkpoint, args.data, args.corrupted, args.folder, launch())
    settings = PredictorSettings(fit=FitSettings(epochs=args.epochs, shift=0))
    with open_model(images.start) as model:
        learned = corrupted(model, images.unseen, args.copies, args.folder / "learned.npy")
        judged = corrupted(model, images.judge, JUDGE_COPIES, args.folder / "judged.npy")
        predictors = {}
        for name, sets in {"one by one": tuple((each,) for each in range(len(SINGLES))), "jointly": PAIRS}.items():
            table = learned.table(sets if name == "one by one" else ((CENTER,), *sets))
            predictors[name], *_ = fit_predictor(table, images.spec, settings, hflip=False, fabric=images.fabric)
        fixed = int(learned.table(PAIRS).correct.float().mean(0).argmax())
        found: dict[str, dict[str, float]] = {}
        for part, outputs in {"val": judged, **test_outputs(model, images, args.folder)}.items():
            for name, value in errors(outputs, predictors, fixed).items():
                found.setdefault(name, {})[part] = value
    facts = {"checkpoint": args.checkpoint.name, "data": args.data, "copies": args.copies, "epochs": args.epochs}
    facts |= {"the same pair for all": " & ".join(SINGLES[index] for index in PAIRS[fixed])}
    for name, results in found.items():
        save_record(
            args.folder / f"{name.replace(' ', '-').replace(':', '')}.json",
            new_record("joint-views", name, 0, facts, results, images.fabric),
        )
        print(f"{name:24}", {part: round(value, 2) for part, value in results.items()})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
