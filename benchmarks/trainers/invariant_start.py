"""Do FMA/CA and the loss predictor add up with augmentation-invariant training? Side by side from several starts.

    python benchmarks/trainers/invariant_start.py DATA CORRUPTED FOLDER START... [--fraction 0.1] [--epochs 10]

STARTs are checkpoints of one architecture on the same share of DATA, CORRUPTED is a corrupted test set on disk. Each is
finetuned by FMA/CA at the strengths that cost the first ten points, and gets a predictor, tiny, of the default losses.
FOLDER gets the checkpoints, start.md and start.png. Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from studies import dots, in_one_line, keep_to

from allweather.evaluation.augmented import evaluate_augmented
from allweather.evaluation.model import open_model
from allweather.evaluation.policies import evaluate_policies
from allweather.reports.html import markdown, write
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy import parse_policy
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint
from allweather.trainers.corruptions.sets import CorruptedSet, open_corrupted_set
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.loss_predictor.train import PredictorSettings, add_predictor
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

LOOK = "top:1"
COLUMNS = (
    "clean", "average of the ten", "common 15, one look", "common 15, top:1", "extra 4, one look", "extra 4, top:1",
)  # fmt: skip


def calibrated(start: Path, dataset: Dataset, folder: Path) -> dict[str, float]:
    """The strengths for the first start; kept in the folder."""
    kept = folder / "strengths.json"
    if not kept.is_file():
        found = find_strengths(load_checkpoint(start).classifier(), dataset.val).parameters
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps(found))
    strengths: dict[str, float] = json.loads(kept.read_text())
    return strengths


def finetuned(start: Checkpoint, shown: Dataset, epochs: int, out: Path) -> Path:
    """After FMA/CA."""
    if not out.is_file():
        settings = FinetuneSettings("fma", "ca", fit=FitSettings(epochs=epochs, schedule="cosine"))
        finetune(start, shown, settings, out, fabric=launch())
    return out


def seeing(start: Path, shown: Dataset, epochs: int, out: Path) -> Path:
    """With a predictor."""
    if not out.is_file():
        settings = PredictorSettings(copy_settings=CopySettings(copies=2), fit=FitSettings(epochs=epochs, shift=0))
        keep = out.with_suffix(".losses")
        add_predictor(load_checkpoint(start), shown, settings, out, keep=keep, fabric=launch())
    return out


def errors(path: Path, dataset: Dataset, corrupted: CorruptedSet, strengths: dict[str, float]) -> list[float]:
    """A row of the table, percent wrong; kept beside the checkpoint."""
    kept = path.with_suffix(".json")
    if not kept.is_file():
        with open_model(path) as target:
            average = evaluate_augmented(target, dataset, strengths).average
            measured, _ = evaluate_policies(target, dataset, corrupted, [parse_policy(LOOK)])
        scores = {score.policy: score for score in measured.scores}
        once, chosen = scores["center"], scores[LOOK]
        rest = (once.common, chosen.common, once.extra, chosen.extra)
        row = [once.clean.value, 1 - average, *(each.value if each else math.nan for each in rest)]
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps([100 * each for each in row]))
    found: list[float] = json.loads(kept.read_text())
    return found


def main() -> None:
    """Trains what is missing, measures, and writes the table and the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("starts", nargs="+", type=Path, metavar="start")
    parser.add_argument("--fraction", type=float, default=0.1, help="of the training pictures")
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    first = load_checkpoint(given.starts[0])
    dataset = open_dataset_of(given.data, first.classes, first.input)
    shown, corrupted = dataset.subset(given.fraction, 0), open_corrupted_set(given.corrupted, first.classes, first.input)
    alike = ("data", "corrupted", "fraction", "epochs")
    keep_to(given.folder, start=given.starts[0], **{name: getattr(given, name) for name in alike})
    strengths = calibrated(given.starts[0], dataset, given.folder)
    rows: list[Sequence[str]] = [("test error, %", *COLUMNS)]
    picture = {}
    for path in given.starts:
        start = dataclasses.replace(load_checkpoint(path), strengths=strengths)
        tuned = finetuned(start, shown, given.epochs, given.folder / f"{path.stem}-fma.safetensors")
        for stage, trained in (("", path), (", then FMA/CA", tuned)):
            place = given.folder / f"{trained.stem}-seeing.safetensors"
            found = errors(seeing(trained, shown, given.epochs, place), dataset, corrupted, strengths)
            rows.append((path.stem + stage, *(f"{each:.2f}" for each in found)))
            picture[path.stem + stage] = found[2:3]
            picture[f"{path.stem}{stage}, top:1"] = found[3:4]
    text = "\n".join([*markdown(rows), ""])
    drawn = dots(picture, "error on the common 15 corruptions, %")
    write(given.folder, {"start.md": text, "start.png": drawn})
    print(text)


if __name__ == "__main__":
    with in_one_line():
        main()
