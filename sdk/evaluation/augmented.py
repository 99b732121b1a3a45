"""Evaluation on clean and augmented test images, row by row as in table 3 of the FMA paper (Kapoor et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from allweather.evaluation.provenance import Provenance
from allweather.runtimes.types import Image
from allweather.trainers.augmentations.photometric import TABLE_ROWS, augment_floats, row_augmentations
from allweather.trainers.data.batches import to_float, to_uint8
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel

SEED = 40


@dataclass(frozen=True)
class AugmentedEvaluation:
    """Result of evaluating a classifier on augmented test images.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        strengths: Strength of each of the seven augmentations.
        accuracies: Accuracy (0..1) on the "clean" images, under each of the seven augmentations, and under the two
            combinations of them.
        average: Mean of these ten accuracies.
    """

    provenance: Provenance
    strengths: Mapping[str, float]
    accuracies: Mapping[str, float]
    average: float


def augmented_evaluation(
    evaluated: EvaluatedModel,
    dataset: Dataset,
    strengths: Mapping[str, float],
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> AugmentedEvaluation:
    """Evaluates an open model on the test images of a data set, unchanged and augmented in nine ways.

    The augmented images are rounded to 8 bits, as those of a camera are; they are the same for every model.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size, whose test images can all be read; see `Dataset.readable`.
        strengths: Strength of each of the seven augmentations.
        watch: Called with (rows done, rows in total).
    """
    accuracies = {}
    rows = ("clean", *TABLE_ROWS)
    for index, row in enumerate(rows):
        watch(index, len(rows))
        names = () if row == "clean" else row_augmentations(row)
        rng = torch.Generator().manual_seed(SEED)
        num_correct = 0
        for batch in dataset.test.batches(BATCH_SIZE):
            augmented = augment_floats(to_float(batch.images), names, strengths, rng)
            predicted = evaluated.logits(to_uint8(augmented)).argmax(1)
            num_correct += int((predicted == batch.labels.numpy()).sum())
        accuracies[row] = num_correct / len(dataset.test)
    watch(len(rows), len(rows))
    return AugmentedEvaluation(
        provenance=Provenance.of(evaluated, dataset),
        strengths=dict(strengths),
        accuracies=accuracies,
        average=sum(accuracies.values()) / len(accuracies),
    )


def example_images(dataset: Dataset, strengths: Mapping[str, float], count: int = 4) -> dict[str, list[Image]]:
    """Augments a few test images, for a figure as figure 3 of the paper.

    Args:
        dataset: Its test images are used.
        strengths: Strength of each of the seven augmentations.
        count: Number of images.

    Returns:
        The images, uint8 [h, w, 3] each: "clean", and under each augmentation by its name.
    """
    indices = torch.linspace(0, len(dataset.test) - 1, min(count, len(dataset.test))).long()
    images = to_float(dataset.test.take(indices).loaded().images)
    examples = {"clean": list(to_uint8(images))}
    for row in TABLE_ROWS:
        rng = torch.Generator().manual_seed(SEED)
        examples[row] = list(to_uint8(augment_floats(images, row_augmentations(row), strengths, rng)))
    return examples
