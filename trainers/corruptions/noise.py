"""Noise: Gaussian, shot, impulse and speckle.

Each kind gives every value of every pixel a new random value, independently of its neighbors. So a kind of noise is 256
distributions, one for each input value, and is stored as a table of their quantiles: 4096 equally probable results per
input value. The index of a quantile is drawn at random, and the result is read from the table. This is as exact as 4096
quantiles allow, and three to ten times as fast as drawing normal and Poisson numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Image
from allweather.trainers.corruptions.corruption import Array, Corruption, Rng, random_uint16

QUANTILE_BITS = 12
NUM_QUANTILES = 1 << QUANTILE_BITS
Table = npt.NDArray[np.uint8]  # [256 * 4096]: result by input value and index of the quantile
Doubles = npt.NDArray[np.float64]


def draw_quantiles(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the index of a quantile for each value: uint16 [h, w, 3], 0..4095."""
    return (random_uint16(rng, height, width, 3) >> (16 - QUANTILE_BITS),)


def apply_table(images: Image, quantiles: npt.NDArray[np.uint16], table: Table) -> Image:
    """Replaces each value by the result at its quantile.

    Args:
        images: uint8 [n, h, w, 3].
        quantiles: uint16 [n, h, w, 3], 0..4095.
        table: Table of the noise.
    """
    index = images.astype(np.intp)
    index <<= QUANTILE_BITS
    index |= quantiles
    return table.take(index)


def _levels() -> Doubles:
    """Returns the 256 input values as 0..1, float64 [256, 1]."""
    return np.arange(256)[:, None] / 255


def _probabilities() -> Doubles:
    """Returns the probabilities of the quantiles, the centers of 4096 equal parts of 0..1: float64 [4096]."""
    return (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES


def _normal() -> Doubles:
    """Returns the quantiles of the standard normal distribution: float64 [4096]."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(probability) for probability in _probabilities()])


def _as_table(values: Doubles) -> Table:
    """Converts values of 0..1 by input value and quantile, [256, 4096], to a table; they are truncated, not rounded."""
    return (values.clip(0, 1) * 255).astype(np.uint8).ravel()


@lru_cache(maxsize=10)
def gaussian_table(deviation: float) -> Table:
    """Returns the table of x + N(0, deviation), for input values x in 0..1."""
    return _as_table(_levels() + deviation * _normal())


@lru_cache(maxsize=10)
def speckle_table(deviation: float) -> Table:
    """Returns the table of x + x N(0, deviation), for input values x in 0..1."""
    return _as_table(_levels() * (1 + deviation * _normal()))


@lru_cache(maxsize=10)
def impulse_table(share: float) -> Table:
    """Returns the table of a noise that sets a share of the values to 0 or 1, each equally often."""
    probability = _probabilities()
    values = np.broadcast_to(_levels(), (256, NUM_QUANTILES)).copy()
    values[:, probability <= share / 2] = 0
    values[:, probability > 1 - share / 2] = 1
    return _as_table(values)


@lru_cache(maxsize=10)
def shot_table(photons: float) -> Table:
    """Returns the table of Poisson(x * photons) / photons, for input values x in 0..1."""
    max_count = int(photons + 12 * np.sqrt(photons) + 12)
    counts = np.arange(max_count + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    expected = np.maximum(_levels() * photons, 1e-300)
    cumulative = np.exp(counts * np.log(expected) - expected - log_factorials).cumsum(axis=1)
    drawn = np.stack([np.searchsorted(row, _probabilities()) for row in cumulative])
    return _as_table(drawn / photons)


def _noise(table: Callable[[float], Table]) -> Callable[[Image, npt.NDArray[np.uint16], float], Image]:
    """Returns the function that applies the noise of a kind of table."""

    def apply(images: Image, quantiles: npt.NDArray[np.uint16], strength: float) -> Image:
        return apply_table(images, quantiles, table(strength))

    return apply


GAUSSIAN = Corruption(
    "gaussian_noise",
    family="noise",
    common=True,
    small=(0.04, 0.06, 0.08, 0.09, 0.10),
    large=(0.08, 0.12, 0.18, 0.26, 0.38),
    apply=_noise(gaussian_table),
    draw=draw_quantiles,
)
SHOT = Corruption(
    "shot_noise",
    family="noise",
    common=True,
    small=(500.0, 250.0, 100.0, 75.0, 50.0),
    large=(60.0, 25.0, 12.0, 5.0, 3.0),
    apply=_noise(shot_table),
    draw=draw_quantiles,
)
IMPULSE = Corruption(
    "impulse_noise",
    family="noise",
    common=True,
    small=(0.01, 0.02, 0.03, 0.05, 0.07),
    large=(0.03, 0.06, 0.09, 0.17, 0.27),
    apply=_noise(impulse_table),
    draw=draw_quantiles,
)
SPECKLE = Corruption(
    "speckle_noise",
    family="noise",
    common=False,
    small=(0.06, 0.1, 0.12, 0.16, 0.2),
    large=(0.15, 0.2, 0.35, 0.45, 0.6),
    apply=_noise(speckle_table),
    draw=draw_quantiles,
)
