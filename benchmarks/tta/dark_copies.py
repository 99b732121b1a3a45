"""Measures what a loss predictor gains that learned on dark copies, too, on clean, corrupted and dark photographs.

    python benchmarks/tta/dark_copies.py CHECKPOINT DATA FOLDER [--fraction 1] [--shares 0 0.2]

CHECKPOINT is a classifier that was trained without the val split of DATA, of which the predictor learns on four fifths.
What is printed is of the other fifth: clean; in four copies with common corruptions; and with the values times a
factor, clear and with the noise of a sensor that amplifies what is left. With --fraction of the training images there
are fewer copies to learn on. FOLDER keeps the predictors, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from darkness import NOISE, darkened
from studies import errors_in_one_line, open_study_folder

from allweather import trainers
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.methods.loss_predictor import PredictorSettings
from allweather.trainers.methods.loss_predictor.held_back import policy_images
from allweather.trainers.policies.average import average_views

FACTORS = (0.35, 0.2, 0.1)  # of the values
POLICIES = ("center", "top:1", "top:2", "top:3")


def images_of(clean: Image) -> Mapping[str, Image]:
    """Returns the images of each row of the table, by its name; the dark ones without noise, then with it."""
    copies, _ = corrupted_copies(np.tile(clean, (4, 1, 1, 1)), CopySettings(clean=0, dark=0), np.random.default_rng(5))
    dark = {
        f"values times {factor}": np.concatenate([darkened(clean, factor, noise) for noise in (0.0, NOISE)])
        for factor in FACTORS
    }
    return {"clean": clean, "common": copies, **dark}


def errors(model: EvaluatedModel, images: Image, labels: npt.NDArray[np.int64]) -> list[float]:
    """Returns the error in percent of each policy of a model with a loss predictor."""
    assert model.predict_losses is not None
    losses = model.predict_losses(images)
    by_view = {view: _logits(model, view, images) for view in model.predictor_views}
    found = []
    for text in POLICIES:
        policy = parse_policy(text, (), model.predictor_views)
        chosen = policy.choose(losses if policy.needs_predictor else None, np.random.default_rng(0), len(images))
        probabilities, _ = average_views(policy, chosen, by_view)
        found.append(100 * float((probabilities.argmax(1) != labels).mean()))
    return found


def _logits(model: EvaluatedModel, view: str, images: Image) -> Floats:
    return np.concatenate(
        [model.run_view(view, images[first : first + BATCH_SIZE]) for first in range(0, len(images), BATCH_SIZE)]
    )


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
    open_study_folder(args.folder, checkpoint=args.checkpoint, data=args.data, fraction=args.fraction)
    rows: list[tuple[str, ...]] = [("error, %", *POLICIES)]
    judged = policy_images(data.val, has_predictor=True).loaded()
    for share in args.shares:
        path = args.folder / f"dark-{share:g}.safetensors"
        if not path.is_file():
            settings = PredictorSettings(copy_settings=CopySettings(dark=share))
            trainers.train_predictor(start, data, settings=settings, out=path)
        with open_model(path) as model:
            for name, images in images_of(judged.images.numpy()).items():
                labels = np.resize(judged.labels.numpy(), len(images))
                cells = (f"{error:.1f}" for error in errors(model, images, labels))
                rows.append((f"dark copies {share:g}: {name}", *cells))
    print("\n".join(markdown_table(rows)))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
