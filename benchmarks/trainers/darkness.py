"""Measures how classifiers read dark images, of which the corruption benchmark has none.

    python benchmarks/trainers/darkness.py DATA FOLDER CHECKPOINT...

Test images are darkened as dusk darkens them: all values are multiplied by the same factor. Values are not linear in
the light: at a factor of 0.35 a tenth of it is left, at 0.1 less than a hundredth. With "noise", a sensor that
amplifies what is left adds normal noise with a deviation of 0.02 of the range of values. Rivals: each other CHECKPOINT,
such as the one before its finetuning. FOLDER gets a record for each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line

from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.training.launch import launch

STUDY = "darkness"
FACTORS = (1.0, 0.5, 0.35, 0.2, 0.1)
NOISE = 0.02  # deviation, as a share of the range of values


def darkened(images: npt.NDArray[np.uint8], factor: float, noise: float) -> npt.NDArray[np.uint8]:
    """Returns a darker copy of uint8 [n, h, w, 3], with noise after that; the same numbers for all models."""
    values = images * np.float32(factor)
    if noise:
        values += np.random.default_rng(0).normal(0, 255 * noise, images.shape).astype(np.float32)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def error(model: EvaluatedModel, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    """Returns the error of a model in percent."""
    parts = [model.logits(images[i : i + BATCH_SIZE]).argmax(1) for i in range(0, len(images), BATCH_SIZE)]
    return 100 * float((np.concatenate(parts) != labels).mean())


def main() -> None:
    """Measures the checkpoints that have no record, and prints all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    fabric = launch()
    for path in args.checkpoints:
        file = args.folder / f"{path.stem}.json"
        record = load_record(file)
        if record is None:
            with open_model(path) as model:
                test = open_dataset_of(args.data, model.classes, model.input).test.loaded()
                images, labels = test.images.numpy(), test.labels.numpy()
                found = {
                    f"{factor:g}{', noise' if noise else ''}": error(model, darkened(images, factor, noise), labels)
                    for noise in (0.0, NOISE)
                    for factor in FACTORS
                }
            record = new_record(STUDY, path.stem, 0, {"data": args.data, "checkpoint": path.name}, found, fabric)
            save_record(file, record)
        print(path.stem, {name: round(value, 2) for name, value in record.results.items()}, flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
