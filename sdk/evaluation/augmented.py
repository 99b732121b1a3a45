"""Accuracy on clean and augmented test pictures, row by row as in table 3 of Kapoor et al."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.types import Image
from allweather.trainers.augmentations.photometric import TABLE_ROWS, augment, row_augmentations
from allweather.trainers.data.batches import to_float, to_uint8
from allweather.trainers.data.dataset import Dataset

BATCH = 500
SEED = 40


@dataclass(frozen=True)
class AugmentedEvaluation:
    """A classifier measured on augmented pictures.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        parameters: of the seven augmentations.
        accuracies: "clean", the seven and the two combinations, 0..1.
        average: over the ten.
    """

    provenance: Provenance
    parameters: Mapping[str, float]
    accuracies: Mapping[str, float]
    average: float


def evaluate_augmented(
    target: EvaluatedModel,
    dataset: Dataset,
    parameters: Mapping[str, float],
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> AugmentedEvaluation:
    """Measures an open target on the test pictures of a data set, augmented in ten ways.

    The augmented pictures are rounded to 8 bits, as a camera's are; they are the same for every target.

    Args:
        target: see `open_model`.
        dataset: of its classes and size.
        parameters: of the seven augmentations.
        watch: told of (rows done, rows in all).
    """
    accuracies = {}
    rows = ("clean", *TABLE_ROWS)
    for number, row in enumerate(rows):
        watch(number, len(rows))
        names = () if row == "clean" else row_augmentations(row)
        rng = torch.Generator().manual_seed(SEED)
        right = 0
        for images, labels in zip(
            torch.split(dataset.test.images, BATCH), torch.split(dataset.test.labels, BATCH), strict=True
        ):
            augmented = augment(to_float(images), names, parameters, rng)
            answers = target.logits(to_uint8(augmented)).argmax(1)
            right += int((answers == labels.numpy()).sum())
        accuracies[row] = right / len(dataset.test)
    watch(len(rows), len(rows))
    return AugmentedEvaluation(
        provenance=Provenance.of(target, dataset),
        parameters=dict(parameters),
        accuracies=accuracies,
        average=sum(accuracies.values()) / len(accuracies),
    )


def examples(dataset: Dataset, parameters: Mapping[str, float], count: int = 4) -> dict[str, list[Image]]:
    """A few test pictures, clean and under each augmentation, uint8 [h, w, 3] each (figure 3)."""
    some = torch.linspace(0, len(dataset.test) - 1, min(count, len(dataset.test))).long()
    images = to_float(dataset.test.images[some])
    shown = {"clean": list(to_uint8(images))}
    for row in TABLE_ROWS:
        rng = torch.Generator().manual_seed(SEED)
        shown[row] = list(to_uint8(augment(images, row_augmentations(row), parameters, rng)))
    return shown
