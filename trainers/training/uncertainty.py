"""What a number of images can tell: bootstrap intervals, gains beyond chance, and the limits of few images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating]

LEVEL = 0.95  # of every interval and of every "beyond chance"
NUM_RESAMPLES = 1000
SEED = 0
MIN_IMAGES = 50  # with fewer images nothing is decided: resampling cannot show what so few images have never shown


@dataclass(frozen=True)
class Interval:
    """A mean over images and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def resampled_means(values: Values, seed: int = SEED) -> npt.NDArray[np.float64]:
    """Draws images with repetition, as many as there are, 1000 times, and returns the means of each draw.

    Args:
        values: float [n, k], k values of each of n images. What is not independent, such as several corrupted copies of
            an image, must be averaged into one row before.
        seed: Random seed.

    Returns:
        float64 [1000, k].
    """
    count, rng = len(values), np.random.default_rng(seed)
    rows, means = values.astype(np.float32), []
    for _ in range(10):  # a tenth of the resamples at a time keeps the array of counts small
        counts = rng.multinomial(count, np.full(count, 1 / count), NUM_RESAMPLES // 10)
        means.append((counts.astype(np.float32) @ rows / count).astype(np.float64))
    return np.concatenate(means)


def mean_interval(values: Values) -> Interval:
    """Returns the mean of float [n] and its 95 % bootstrap interval (percentiles)."""
    low, high = np.quantile(resampled_means(values[:, None])[:, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def lower_bounds(gains: Values) -> npt.NDArray[np.float64]:
    """Returns what each of several paired gains is at least, all of them together with a probability of 95 %.

    Among many candidates one has a gain by chance. The bounds therefore come from the largest deviation, in standard
    errors, of all candidates in each resample (a one-sided bootstrap of the maximum; Romano and Wolf 2005).

    Args:
        gains: float [n, k], by how much each of k candidates is better than the baseline on each of n images.

    Returns:
        float64 [k]. A candidate whose bound is above 0 is better beyond chance; minus infinity with fewer than 50
        images, which decide nothing.
    """
    if len(gains) < MIN_IMAGES:
        return np.full(gains.shape[1], -np.inf)
    means = gains.mean(0, dtype=np.float64)
    deviations = resampled_means(gains) - means
    errors = deviations.std(0)
    largest = (deviations / np.where(errors > 0, errors, np.inf)).max(1)
    bounds: npt.NDArray[np.float64] = means - np.quantile(largest, LEVEL) * errors
    return bounds


def unseen_share(count: int) -> float:
    """Returns the largest share of cases, 0..1, that a sample without a single one may still hide (at 95 %).

    Such as the share of changed predictions after none has changed on `count` images: 18 % with 15 images, 0.3 % with
    1000.
    """
    return float(1 - (1 - LEVEL) ** (1 / max(count, 1)))
