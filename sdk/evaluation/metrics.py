"""How right and how sure answers are: error, calibration, bootstrap intervals and mean corruption error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import EngineError, UsageError
from allweather.runtimes.types import Floats

BINS = 15  # of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599)
RESAMPLES = 1000  # of the bootstrap
LEVEL = 0.95  # of its intervals
SEED = 0


@dataclass(frozen=True)
class Metrics:
    """What is kept of each answer.

    Attributes:
        answered: int64 [n], the most probable class.
        right: bool [n], whether that is the true one.
        confidence: float32 [n], the largest probability.
        nll: float32 [n], -log of the probability of the true class, in nats (NLL).
        brier: float32 [n], squared distance of the probabilities from the truth, 0..2 (Brier 1950).
    """

    answered: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    confidence: Floats
    nll: Floats
    brier: Floats


def compute_metrics(logits: Floats, labels: npt.NDArray[np.int64]) -> Metrics:
    """Scores answers.

    Args:
        logits: float32 [n, C].
        labels: int64 [n].

    Raises:
        EngineError: some answers are no finite numbers.
    """
    bad = len(logits) - int(np.isfinite(logits).all(axis=1).sum())
    if bad:
        raise EngineError(
            f"{bad} of {len(logits)} answers are no finite numbers: the weights are damaged, or overflow in this "
            "precision; train, import or export it again"
        )
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    chances = np.exp(logs)
    rows = np.arange(len(labels))
    true = chances[rows, labels]
    answered = logits.argmax(axis=1)
    return Metrics(
        answered=answered,
        right=answered == labels,
        confidence=chances.max(axis=1).astype(np.float32),
        nll=(-logs[rows, labels]).astype(np.float32),
        brier=((chances**2).sum(axis=1) - 2 * true + 1).astype(np.float32),
    )


def reliability_bins(
    confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]
) -> tuple[tuple[int, float, float], ...]:
    """For each of 15 equal bins of confidence: (pictures, mean confidence, accuracy); zeros for an empty one."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, confidence, BINS) / np.maximum(counts, 1)
    true = np.bincount(place, right, BINS) / np.maximum(counts, 1)
    return tuple(zip(counts.tolist(), sure.tolist(), true.tolist(), strict=True))


def calibration_error(bins: tuple[tuple[int, float, float], ...]) -> float:
    """Expected calibration error: the mean distance of confidence from accuracy over the pictures."""
    return sum(count * abs(sure - right) for count, sure, right in bins) / max(1, sum(count for count, _, _ in bins))


def intervals(
    wrong: npt.NDArray[np.bool_], groups: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bootstrap intervals (95 %, percentiles) of weighted means of errors over cells.

    Pictures are drawn again, each with all of its corrupted versions, as those are not independent of each other.

    Args:
        wrong: bool [cells, n], whether the answer to each picture of each cell is wrong.
        groups: [m, cells], the weight of each cell in each mean.

    Returns:
        (low, high), each float64 [m], 0..1.
    """
    pictures = wrong.shape[1]
    rng = np.random.default_rng(SEED)
    per_picture = (groups.astype(np.float32) @ wrong.astype(np.float32)).T
    means = []
    for _ in range(10):  # a tenth of the resamples at a time keeps the counts small
        times = rng.multinomial(pictures, np.full(pictures, 1 / pictures), RESAMPLES // 10).astype(np.float32)
        means.append(times @ per_picture / pictures)
    edges = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return edges[0], edges[1]


def mean_error(errors: Mapping[str, float]) -> float:
    """Mean over corruptions of their mean errors."""
    return sum(errors.values()) / len(errors)


def mean_corruption_error(errors: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """mCE of Hendrycks and Dietterich 2019 (section 4.2), in percent: the mean of the ratios to a baseline's errors.

    Args:
        errors: mean error over the severities of each corruption, in any unit.
        baseline: the same of the baseline, in the same unit; may have more corruptions.

    Raises:
        UsageError: the baseline has no error, or none above 0, for one of the corruptions; it is named.
    """
    missing = [name for name in errors if name not in baseline]
    if missing:
        raise UsageError(f"the baseline has no error for {', '.join(missing)}; add it, or leave --baseline out")
    perfect = [name for name in errors if not baseline[name] > 0]
    if perfect:
        raise UsageError(f"no error is relative to the baseline's {baseline[perfect[0]]:g} for {', '.join(perfect)}")
    return 100 * mean_error({name: error / baseline[name] for name, error in errors.items()})
