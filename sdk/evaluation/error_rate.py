"""Errors with their uncertainty: of one predictor, and the paired difference between two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from allweather.evaluation.metrics import bootstrap_intervals
from allweather.runtimes.errors import UsageError
from allweather.runtimes.text import printable
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CorruptedSet
from allweather.trainers.corruptions.sets.files_digest import files_digest
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.training.uncertainty import MIN_IMAGES

CellKey = tuple[str, int]  # corruption, severity
CLEAN: CellKey = ("clean", 0)
COMPARED_IMAGES = 16  # of one cell of a corrupted set, which tell it from others


@dataclass(frozen=True)
class ErrorRate:
    """Share of incorrect predictions, 0..1, or a difference of two, -1..1, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ErrorChange(ErrorRate):
    """Difference of two errors on the same images, -1..1, and the ends of its paired 95 % interval.

    Attributes:
        images: Number of images, each of which counts once, with all of its corrupted copies.
    """

    images: int

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval does not hold 0, on 50 images or more: fewer decide nothing."""
        return self.images >= MIN_IMAGES and not self.low <= 0 <= self.high


@dataclass(frozen=True, eq=False)
class Correctness:
    """Which predictions of an evaluation are correct, image by image, to be compared with those of another one.

    Attributes:
        data: The images in words.
        digest: A hash that tells these images from others, whatever the order of the classes.
        cells: bool [n] for each cell; those of the clean images are at ("clean", 0).
    """

    data: str
    digest: str
    cells: Mapping[CellKey, npt.NDArray[np.bool_]]

    @staticmethod
    def of(
        dataset: Dataset, cells: Mapping[CellKey, npt.NDArray[np.bool_]], corrupted: CorruptedSet | None = None
    ) -> Correctness:
        """Returns the correctness of predictions, with what tells the test images from others.

        Args:
            dataset: The data set whose test split was evaluated.
            cells: Whether the prediction for each image is correct.
            corrupted: The corrupted set; None for the clean images alone.
        """
        test = dataset.test
        digest = hashlib.sha256(json.dumps([dataset.classes[label] for label in test.labels.tolist()]).encode())
        digest.update(test.with_labels(torch.zeros_like(test.labels)).digest().encode())
        data = f"{len(test)} images of {printable(dataset.name)} at {test.size[1]} x {test.size[0]} px"
        if corrupted is not None:
            facts = [corrupted.source, files_digest(corrupted.source)]
            facts += [dataset.classes[label] for label in corrupted.labels.tolist()]
            digest.update(json.dumps(facts).encode("utf-8", "surrogateescape"))
            first = next(iter(corrupted.batches(min(corrupted.corruptions), SEVERITIES[-1], COMPARED_IMAGES)))
            digest.update(np.ascontiguousarray(first).data)
            data += f", and {len(corrupted.labels)} a cell, {printable(corrupted.source)}"
        return Correctness(data, digest.hexdigest()[:16], cells)


class KeptEvaluation(Protocol):
    """A result that keeps which predictions are correct: `CleanEvaluation`, `Robustness` or `PolicyResult`."""

    @property
    def correctness(self) -> Correctness:
        """Which predictions are correct."""


@dataclass(frozen=True)
class PairedDifference:
    """By how much a second classifier errs more than a first one on the same test images: below 0, it errs less.

    Attributes:
        clean: On the clean images.
        common: Over those of the 15 common corruptions that were evaluated; None without them.
        extra: Over those of the 4 other corruptions; None without them.
        by_corruption: Over the severities of each corruption, by name. Of twenty such differences, one is beyond chance
            by chance.
    """

    clean: ErrorChange
    common: ErrorChange | None
    extra: ErrorChange | None
    by_corruption: dict[str, ErrorChange]


def error_rate(correct: Sequence[npt.NDArray[np.bool_]]) -> ErrorRate | None:
    """Returns the mean error over cells of the same images; None without any.

    Args:
        correct: bool [n] for each cell, whether the prediction for each image is correct.
    """
    if not correct:
        return None
    incorrect = ~np.stack(correct)
    (low,), (high,) = bootstrap_intervals(incorrect, np.full((1, len(incorrect)), 1 / len(incorrect)))
    return ErrorRate(float(incorrect.mean()), float(low), float(high))


def error_change(before: Sequence[npt.NDArray[np.bool_]], after: Sequence[npt.NDArray[np.bool_]]) -> ErrorChange | None:
    """Returns the difference of two mean errors over cells of the same images; None without any.

    The interval is paired: images are resampled for both together, so that it is much narrower than those of the errors
    themselves. Where it does not hold 0, one is better than the other beyond chance.

    Args:
        before: bool [n] for each cell, whether the prediction that is compared with is correct.
        after: Likewise, of the other one; below 0, it errs less.
    """
    if not before:
        return None
    incorrect = ~np.stack([*after, *before])
    weights = np.repeat([[1, -1]], len(before), 1) / len(before)
    (low,), (high,) = bootstrap_intervals(incorrect, weights)
    errors = incorrect.sum(1)  # whole numbers, so that equal errors differ by exactly 0
    value = int(errors[: len(after)].sum() - errors[len(after) :].sum()) / incorrect[: len(after)].size
    return ErrorChange(value, float(low), float(high), incorrect.shape[1])


def paired_difference(first: KeptEvaluation, second: KeptEvaluation) -> PairedDifference:
    """Compares two classifiers that were evaluated on the same images, image by image.

    The 95 % intervals are paired: images are resampled for both classifiers together (a bootstrap), each with all of
    its corrupted copies. They are much narrower than those of the two errors, which may overlap although the difference
    is beyond chance. They tell how much depends on which images were tested, and nothing of another training: to
    compare two methods of training, repeat both with several seeds.

    Args:
        first: Result of `evaluate` or `evaluate_corrupted`, that is compared with; or that of one policy, one of the
            `results` of `evaluate_policies`, to compare two bundles as they run.
        second: Result of the same function for the other classifier, on the same data, corruptions and seed.

    Raises:
        UsageError: The two are of different images or corruptions, or no such results.
    """
    one, other = _correctness(first), _correctness(second)
    if one.cells.keys() != other.cells.keys():
        names = [", ".join(_corruptions(each)) or "none" for each in (one, other)]
        raise UsageError(
            f"the two were evaluated on other corruptions: {names[0]}, and {names[1]}; evaluate both on the same"
        )
    if one.digest != other.digest:
        data = one.data if one.data == other.data else f"{one.data}, and {other.data}"
        raise UsageError(
            f"the two were evaluated on other images, so nothing is paired: {data}; evaluate both on the same data, at "
            "the same size, with the same corruptions and seed, both streamed or both in memory"
        )
    clean = _change(one, other, [CLEAN[0]])
    assert clean is not None
    by_corruption = {name: _change(one, other, [name]) for name in _corruptions(one)}
    return PairedDifference(
        clean=clean,
        common=_change(one, other, COMMON),
        extra=_change(one, other, EXTRA),
        by_corruption={name: change for name, change in by_corruption.items() if change is not None},
    )


def are_paired(first: KeptEvaluation, second: KeptEvaluation) -> bool:
    """Returns whether two results are of the same images and corruptions, so that they can be compared."""
    one, other = first.correctness, second.correctness
    return one.digest == other.digest and one.cells.keys() == other.cells.keys()


def _corruptions(correctness: Correctness) -> list[str]:
    return [name for name in dict.fromkeys(name for name, _ in correctness.cells) if name != CLEAN[0]]


def _change(one: Correctness, other: Correctness, group: Sequence[str]) -> ErrorChange | None:
    keys = [key for key in one.cells if key[0] in group]
    return error_change([one.cells[key] for key in keys], [other.cells[key] for key in keys])


def _correctness(evaluation: KeptEvaluation) -> Correctness:
    correctness = getattr(evaluation, "correctness", None)
    if not isinstance(correctness, Correctness):
        raise UsageError(
            "two results of evaluate or of evaluate_corrupted are compared, or two of the results of "
            f"evaluate_policies(...).results; got {type(evaluation).__name__}"
        )
    return correctness
