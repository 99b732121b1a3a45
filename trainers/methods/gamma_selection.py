"""Chooses among gammas on validation images: the smallest that no other is better than beyond chance.

A small gamma changes the classifier least, so a larger one must show that it is better. Accuracies are compared on the
same images (a paired bootstrap), because differences of a few images come by chance, and for all gammas together,
because the best of many is better by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from allweather.trainers.augmentations.photometric import TABLE_ROWS
from allweather.trainers.training.uncertainty import LEVEL, MIN_IMAGES, Values, lower_bounds

MAX_CLEAN_DROP = 0.005  # accuracy on clean images that a gamma may cost
NUM_ROWS = 1 + len(TABLE_ROWS)  # of table 3: clean images, seven augmentations and two combinations


@dataclass(frozen=True)
class GammaTrial:
    """Result of a short run with one gamma.

    Attributes:
        gamma: The gamma of the run.
        clean_correct: Whether each validation image is classified correctly, float [n] of 0 and 1.
        rows_correct: In how many of the ten rows of table 3 (clean, augmented, combined) each of them is, float [n] of
            0 to 10.
    """

    gamma: float
    clean_correct: Values = field(repr=False, compare=False)
    rows_correct: Values = field(repr=False, compare=False)

    @property
    def clean_accuracy(self) -> float:
        """Accuracy on clean validation images, 0..1."""
        return float(self.clean_correct.mean())

    @property
    def average_accuracy(self) -> float:
        """Average accuracy over the ten rows of table 3, 0..1."""
        return float(self.rows_correct.mean()) / NUM_ROWS

    @property
    def images(self) -> int:
        """Number of validation images."""
        return len(self.clean_correct)

    def as_dict(self) -> dict[str, Any]:
        """Returns the trial as plain values."""
        counts = {"clean_correct": self.clean_correct, "rows_correct": self.rows_correct}
        return {"gamma": self.gamma} | {name: values.astype(int).tolist() for name, values in counts.items()}

    @staticmethod
    def from_dict(row: Mapping[str, Any]) -> GammaTrial:
        """Returns the trial that `as_dict` made the plain values of.

        Raises:
            KeyError, TypeError, ValueError: They are those of no trial.
        """
        clean, rows = np.array(row["clean_correct"], np.float64), np.array(row["rows_correct"], np.float64)
        if clean.ndim != 1 or clean.shape != rows.shape or not len(clean):
            raise ValueError("the trial's images are not one row of numbers")
        return GammaTrial(float(row["gamma"]), clean, rows)


@dataclass(frozen=True)
class GammaSelection:
    """Result of choosing among gammas.

    Attributes:
        gamma: The gamma to finetune with.
        trials: All that were compared.
        level_with: Other gammas from which the images cannot tell the chosen one.
        costly: Gammas that were left out, because they cost clean accuracy.
        images: Number of validation images.
    """

    gamma: float
    trials: tuple[GammaTrial, ...]
    level_with: tuple[float, ...]
    costly: tuple[float, ...]
    images: int

    def sentences(self) -> list[str]:
        """Says in plain words on how many images it was judged, what was chosen and what could not be told."""
        level = f"{100 * LEVEL:g} %, paired bootstrap"
        lines = [f"judged by accuracy on clean and augmented copies of {self.images} validation images ({level})"]
        if self.images < MIN_IMAGES:
            few = f"{self.images} images decide nothing, at least {MIN_IMAGES} are needed"
            return [*lines, f"{few}: the method's default gamma is used, {self.gamma:g}"]
        if self.costly:
            lines.append(
                f"gamma {_listed(self.costly)} costs more than {100 * MAX_CLEAN_DROP:g} points of accuracy on clean "
                "images beyond chance" + ("; so do all, so that all were compared" if self._all_costly() else "")
            )
        if self.level_with:
            lines.append(
                f"these images cannot tell gamma {self.gamma:g} from {_listed(self.level_with)}; it is the smallest of "
                "them"
            )
        else:
            lines.append(f"gamma {self.gamma:g} is better than all others beyond chance")
        return lines

    def _all_costly(self) -> bool:
        return len(self.costly) == len(self.trials)


def select_gamma(trials: Sequence[GammaTrial], clean_correct: Values, default: float) -> GammaSelection:
    """Chooses the gamma to finetune with.

    Gammas that cost more than half a point of clean accuracy, beyond chance, are left out; if all do, which can happen
    because the runs are short, all are compared. Of the rest the smallest is chosen that no other has a better average
    accuracy than, beyond chance.

    Args:
        trials: Finished trials on the same images, at least one.
        clean_correct: Whether the classifier was right about each clean image before, float [n] of 0 and 1.
        default: Gamma to use where there are too few images to decide.
    """
    images = len(clean_correct)
    if images < MIN_IMAGES:
        return GammaSelection(default, tuple(trials), (), (), images)
    costs = np.stack([clean_correct - each.clean_correct for each in trials], 1)
    too_much = (costs.mean(0) > MAX_CLEAN_DROP) & (lower_bounds(costs) > 0)
    kept = [each for each, costly in zip(trials, too_much, strict=True) if not costly] or trials
    compared = sorted(kept, key=lambda each: each.gamma)
    chosen = next(each for each in compared if not (_gains(compared, each) > 0).any())
    level = [each.gamma for each in compared if each is not chosen and not _gains([chosen], each)[0] > 0]
    costly = tuple(each.gamma for each, costly in zip(trials, too_much, strict=True) if costly)
    return GammaSelection(chosen.gamma, tuple(trials), tuple(level), costly, images)


def _gains(trials: Sequence[GammaTrial], baseline: GammaTrial) -> Values:
    """Returns what each trial gains at least over a baseline in rows per image, all of them together at 95 %."""
    return lower_bounds(np.stack([each.rows_correct - baseline.rows_correct for each in trials], 1))


def _listed(gammas: Sequence[float]) -> str:
    return ", ".join(f"{gamma:g}" for gamma in gammas)
