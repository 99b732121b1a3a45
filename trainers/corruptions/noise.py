"""Noise of the sensor and the line: Gaussian, shot, impulse and speckle.

Each of them gives every value of every pixel a new value at random, independently of its neighbours. So a noise is 256
distributions, one for each gray level that can come in, and is kept as a table of their quantiles: 4096 equally
probable results a level. What is drawn is where in the distribution a value falls; applying it is to look it up. That
is as exact as 1 in 4096 allows, and three to ten times as fast as to draw normal and Poisson numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from allweather.trainers.corruptions.corruption import Corruption, Draw, Images, Rng, words

BITS = 12
PLACES = 1 << BITS
Table = npt.NDArray[np.uint8]  # [256 * 4096]: result by gray level and place in its distribution
Doubles = npt.NDArray[np.float64]


def places(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Where each value falls in its distribution: uint16 [h, w, 3], 0..4095."""
    return (words(rng, height, width, 3) >> (16 - BITS),)


def look_up(images: Images, place: npt.NDArray[np.uint16], table: Table) -> Images:
    """The results at those places."""
    index = images.astype(np.intp)
    index <<= BITS
    index |= place
    return table.take(index)


def _levels() -> Doubles:
    """float64 [256, 1]: the gray levels as 0..1."""
    return np.arange(256)[:, None] / 255


def _probabilities() -> Doubles:
    """float64 [4096]: the middles of equal parts of 0..1."""
    return (np.arange(PLACES) + 0.5) / PLACES


def _normal() -> Doubles:
    """float64 [4096]: equally probable values of the standard normal distribution."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(probability) for probability in _probabilities()])


def _as_table(values: Doubles) -> Table:
    """Values of 0..1 for each level and place, [256, 4096], as pictures hold them."""
    return (values.clip(0, 1) * 255).astype(np.uint8).ravel()


@lru_cache(maxsize=10)
def gaussian_table(deviation: float) -> Table:
    """x + N(0, deviation)."""
    return _as_table(_levels() + deviation * _normal())


@lru_cache(maxsize=10)
def speckle_table(deviation: float) -> Table:
    """x + x N(0, deviation)."""
    return _as_table(_levels() * (1 + deviation * _normal()))


@lru_cache(maxsize=10)
def impulse_table(share: float) -> Table:
    """A share of the values is 0 or 1, as likely as each other."""
    probability = _probabilities()
    values = np.broadcast_to(_levels(), (256, PLACES)).copy()
    values[:, probability <= share / 2] = 0
    values[:, probability > 1 - share / 2] = 1
    return _as_table(values)


@lru_cache(maxsize=10)
def shot_table(photons: float) -> Table:
    """Poisson(x photons) / photons."""
    most = int(photons + 12 * np.sqrt(photons) + 12)
    counts = np.arange(most + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    expected = np.maximum(_levels() * photons, 1e-300)
    cumulative = np.exp(counts * np.log(expected) - expected - log_factorials).cumsum(axis=1)
    drawn = np.stack([np.searchsorted(row, _probabilities()) for row in cumulative])
    return _as_table(drawn / photons)


def _noise(table: Callable[[float], Table]) -> Callable[[Images, npt.NDArray[np.uint16], float], Images]:
    def apply(images: Images, place: npt.NDArray[np.uint16], strength: float) -> Images:
        return look_up(images, place, table(strength))

    return apply


GAUSSIAN = Corruption(
    "gaussian_noise",
    "noise",
    True,
    small=(0.04, 0.06, 0.08, 0.09, 0.10),
    large=(0.08, 0.12, 0.18, 0.26, 0.38),
    apply=_noise(gaussian_table),
    draw=places,
)
SHOT = Corruption(
    "shot_noise",
    "noise",
    True,
    small=(500.0, 250.0, 100.0, 75.0, 50.0),
    large=(60.0, 25.0, 12.0, 5.0, 3.0),
    apply=_noise(shot_table),
    draw=places,
)
IMPULSE = Corruption(
    "impulse_noise",
    "noise",
    True,
    small=(0.01, 0.02, 0.03, 0.05, 0.07),
    large=(0.03, 0.06, 0.09, 0.17, 0.27),
    apply=_noise(impulse_table),
    draw=places,
)
SPECKLE = Corruption(
    "speckle_noise",
    "noise",
    False,
    small=(0.06, 0.1, 0.12, 0.16, 0.2),
    large=(0.15, 0.2, 0.35, 0.45, 0.6),
    apply=_noise(speckle_table),
    draw=places,
)
