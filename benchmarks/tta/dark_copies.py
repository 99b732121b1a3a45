"""Measures what a loss predictor gains that learned on dark copies, too, on clean, corrupted and dark photographs.

    python benchmarks/tta/dark_copies.py CHECKPOINT DATA FOLDER [--fraction 1] [--shares 0 0.2]

CHECKPOINT is a classifier that was trained without the val split of DATA, of which the predictor learns on four fifths.
What is printed is of the other fifth: clean; in four copies with common corruptions; and with the values times a
factor, clear and with the noise of a sensor that amplifies what is left. With --fraction of the training images there
are fewer copies to learn on. FOLDER keeps the predictors, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather import trainers
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import BATCH_SIZE, open_model
from allweather.trainers.methods.loss_predictor import PredictorSettings
from allweather.trainers.methods.loss_predictor.held_back import policy_images

FACTORS = (0.35, 0.2, 0.1)  # of the values
NOISE = 0.02  # of the range of values
MAX_VIEWS = 3
POLICIES = ("center", *(f"top:{count}" for count in range(1, MAX_VIEWS + 1)))


def darkened(images: Image, factor: float) -> Image:
    """Returns the images with their values times a factor, clear and then with noise: uint8 [2 n, h, w, 3]."""
    dark = images.astype(np.float32) * factor
    noisy = dark + np.random.default_rng(0).normal(0, NOISE * 255, dark.shape)
    both: Image = np.clip(np.rint(np.concatenate([dark, noisy])), 0, 255).astype(np.uint8)
    return both


def images_of(clean: Image) -> Mapping[str, Image]:
    """Returns the images of each row of the table, by its name."""
    copies, _ = corrupted_copies(np.tile(clean, (4, 1, 1, 1)), CopySettings(clean=0, dark=0), np.random.default_rng(5))
    return {"clean": clean, "common": copies} | {f"values times {each}": darkened(clean, each) for each in FACTORS}


def errors(path: Path, images: Image, labels: npt.NDArray[np.int64]) -> list[float]:
    """Returns the error in percent of each policy of a checkpoint with a loss predictor."""
    checkpoint = load_checkpoint(path)
    assert checkpoint.predictor is not None
    with open_model(checkpoint) as model:

        @cache
        def probabilities(view: str) -> Floats:
            parts = [model.run_view(view, images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)]
            logits = np.concatenate(parts)
            exponentials = np.exp(logits - logits.max(1, keepdims=True))
            return np.asarray(exponentials / exponentials.sum(1, keepdims=True), np.float32)

        assert model.predict_losses is not None
        order = model.predict_losses(images).argsort(1)[:, :, None]
        by_view = np.stack([probabilities(view) for view in checkpoint.predictor.views], 1)
        chosen = [np.take_along_axis(by_view, order[:, :count], 1).mean(1) for count in range(1, MAX_VIEWS + 1)]
        return [100 * float((each.argmax(1) != labels).mean()) for each in (probabilities("identity"), *chosen)]


def main() -> None:
    """Trains the predictors that are missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the training images")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.2], help="shares of dark copies")
    args = parser.parse_args()
    start = load_checkpoint(args.checkpoint)
    data = open_dataset_of(args.data, start.classes, start.input).subset(args.fraction, 0)
    args.folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = [("error, %", *POLICIES)]
    judged = policy_images(data.val, has_predictor=True).loaded()
    for share in args.shares:
        path = args.folder / f"dark-{share:g}.safetensors"
        if not path.is_file():
            settings = PredictorSettings(copy_settings=CopySettings(dark=share))
            trainers.train_predictor(start, data, settings=settings, out=path)
        for name, images in images_of(judged.images.numpy()).items():
            labels = np.resize(judged.labels.numpy(), len(images))
            cells = (f"{error:.1f}" for error in errors(path, images, labels))
            rows.append((f"dark copies {share:g}: {name}", *cells))
    print("\n".join(markdown_table(rows)))


if __name__ == "__main__":
    main()
