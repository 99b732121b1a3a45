"""The images on which accepted decisions are judged, in groups, and the classifier's logits for views of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits

from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, EXTRA, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CopySettings, open_corrupted_set
from allweather.trainers.corruptions.sets.corrupted_copies import corrupted_copies
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel
from allweather.trainers.policies.every_view import ViewLogits, view_logits

Labels = npt.NDArray[np.int64]
COUNT = 500  # images of noise of each kind
FIRST, SECOND = "first half of val", "second half of val"
CLEAN, SEEN, HELD_OUT = "clean", "kinds as in val", "4 held-out kinds"
OTHER = (
    "uniform noise", "noise around gray", "noise almost black", "black", "white", "gray", "road signs", "digits",
)  # fmt: skip
GROUPS = (FIRST, SECOND, CLEAN, SEEN, HELD_OUT, *COMMON, *EXTRA, *OTHER)


def corrupted_by_held_out_kinds(images: Image, rng: np.random.Generator) -> Image:
    """Corrupts each image by one of the four kinds that tuning never uses, at a random severity."""
    kinds, severities = rng.integers(len(EXTRA), size=len(images)), rng.choice(SEVERITIES, size=len(images))
    result = images.copy()
    for kind, name in enumerate(EXTRA):
        for severity in SEVERITIES:
            rows = (kinds == kind) & (severities == severity)
            if rows.any():
                result[rows] = corrupt_images(images[rows], name, severity, rng)
    return result


def other_images(side: int, rng: np.random.Generator) -> Iterator[tuple[str, Image]]:
    """Yields (name, images) of what no class of the data is on: in the order of `OTHER`."""
    shape = (COUNT, side, side, 3)
    yield OTHER[0], rng.integers(0, 256, shape, np.uint8)
    yield OTHER[1], (128 + 40 * rng.standard_normal(shape)).clip(0, 255).astype(np.uint8)
    yield OTHER[2], rng.integers(0, 12, shape, np.uint8)
    for name, level in zip(OTHER[3:6], (0, 255, 128), strict=True):
        yield name, np.full((1, side, side, 3), level, np.uint8)
    signs = open_dataset("signs", num_train=100).test.loaded().images.numpy()[: 2 * COUNT]
    yield OTHER[6], np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in signs])
    digits = (load_digits().images[: 2 * COUNT] * 255 / 16).astype(np.uint8)
    large = (cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC) for each in digits)
    yield OTHER[7], np.stack([np.repeat(each[:, :, None], 3, 2) for each in large])


def groups(
    dataset: Dataset, classes: Sequence[str], model: EvaluatedModel, folder: str, count: int, seed: int
) -> Iterator[tuple[str, Image, Labels]]:
    """Yields (name, images, labels) of every group but those of the val split; other images have the label -1."""
    rng = np.random.default_rng(seed)
    test = dataset.test.take(torch.arange(min(count, len(dataset.test)))).loaded()
    images, labels = test.images.numpy(), test.labels.numpy()
    yield CLEAN, images, labels
    yield SEEN, corrupted_copies(images, CopySettings(copies=1), rng)[0], labels
    yield HELD_OUT, corrupted_by_held_out_kinds(images, rng), labels
    reference = open_corrupted_set(folder, tuple(classes), model.input)
    for name in reference.corruptions:
        of_kind = np.concatenate(
            [*(part for level in SEVERITIES for part in reference.batches(name, level, BATCH_SIZE))]
        )
        yield name, of_kind, np.tile(reference.labels, len(SEVERITIES))
    for name, others in other_images(model.input.height, rng):
        yield name, others, np.full(len(others), -1)


def logits_of(model: EvaluatedModel, names: Sequence[str], images: Image, labels: Labels) -> ViewLogits:
    """Runs views of images as they are."""
    rows = []
    for name in names:
        viewed = np.stack([view(name).apply(image) for image in images])
        rows.append(
            np.concatenate([model.logits(viewed[at : at + BATCH_SIZE]) for at in range(0, len(viewed), BATCH_SIZE)])
        )
    return ViewLogits(tuple(names), torch.from_numpy(np.stack(rows)), torch.from_numpy(labels))


def all_logits(
    model: EvaluatedModel, dataset: Dataset, folder: str, names: Sequence[str], count: int, seed: int, kept: Path
) -> dict[str, ViewLogits]:
    """Runs views of all groups, and keeps the logits of each in `kept`, where a later run finds them."""
    kept.mkdir(parents=True, exist_ok=True)

    def path(name: str) -> Path:
        return kept / f"{name.replace(' ', '-')}.npz"

    def keep(name: str, run: Callable[[], ViewLogits]) -> None:
        if not path(name).exists():
            result = run()
            arrays = {"logits": result.logits.numpy(), "labels": result.labels.numpy()}
            np.savez(path(name), names=np.array(result.names), **arrays)
            print(f"{name}: {len(result.labels)} images", flush=True)

    if not all(path(name).exists() for name in GROUPS):
        for name, every_other in ((FIRST, 0), (SECOND, 1)):  # as `tuning_images` divides them without a predictor
            part = dataset.val.take(torch.arange(every_other, len(dataset.val), 2))
            settings = CopySettings(1, seed=seed + every_other)
            keep(name, partial(view_logits, model, part, settings, candidates=names))
        for name, images, labels in groups(dataset, model.classes, model, folder, count, seed):
            keep(name, partial(logits_of, model, names, images, labels))
    return {name: _read(path(name)) for name in GROUPS}


def _read(path: Path) -> ViewLogits:
    with np.load(path) as stored:
        logits, labels = torch.from_numpy(stored["logits"]), torch.from_numpy(stored["labels"])
        return ViewLogits(tuple(stored["names"].tolist()), logits, labels)
