"""The blocks of an image: their means, their detail, and the lowest values that each had in the last ten minutes."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.types import Floats

GRID = (12, 16)  # rows and columns of blocks
SMALL_PIXELS = 15  # of a thumbnail of 160: detail is smaller than that, shading by the lens or a cloth is not
PERIOD_SECONDS = 20.0  # of each, the lowest value is kept
PERIODS = 30  # ten minutes
MIN_PERIODS = 6  # before, too little of the scene has been seen to say what is unusual


def block_means(luma: npt.NDArray[np.generic]) -> Floats:
    """Returns the mean of each block of a grid over an image, float32 [12, 16].

    Args:
        luma: uint8 or float32 [h, w].
    """
    return np.asarray(cv2.resize(luma.astype(np.float32, copy=False), GRID[::-1], interpolation=cv2.INTER_AREA))


def quantile(values: npt.NDArray[np.number], q: float) -> float:
    """Returns the value that a share `q` of the values does not exceed, ten times as fast as `np.quantile`.

    Args:
        values: Any shape; at least one value.
        q: 0..1.
    """
    index = int(q * (values.size - 1))
    return float(np.partition(values, index, axis=None)[index])


def block_detail(thumbnail: npt.NDArray[np.uint8], noise: float) -> Floats:
    """Returns the standard deviation of the small structures in each block, float32 [12, 16], in levels.

    In the blocks at the border, a slope counts as a small structure, too.

    Args:
        thumbnail: uint8 [h, w].
        noise: Standard deviation of its noise, which is taken off.
    """
    luma = thumbnail.astype(np.float32)
    small = luma - cv2.blur(luma, (SMALL_PIXELS, SMALL_PIXELS))
    return np.asarray(np.sqrt(np.maximum(block_means(small * small) - noise * noise, 0)), np.float32)


class LowestValues:
    """The lowest value of each block in the last ten minutes, without the last half a minute.

    What has been learned takes effect only after the next period, so that the value of a block that is being covered
    is not taken for its lowest one before it is known to be covered.

    Attributes:
        values: They, float32 [12, 16]; None before they have been learned for nearly three minutes.
    """

    def __init__(self) -> None:
        self._periods: deque[Floats] = deque(maxlen=PERIODS + 2)
        self._in_period = 0.0  # seconds of the present one
        self.values: Floats | None = None

    def learn(self, values: Floats, use: npt.NDArray[np.bool_], passed: float) -> None:
        """Takes the present values.

        Args:
            values: float32 [12, 16].
            use: Which of them to learn, bool [12, 16]; of the others, what was learned before is kept.
            passed: Seconds since the previous ones.
        """
        self._in_period += passed
        if not self._periods or self._in_period > PERIOD_SECONDS:
            before = self._periods[-1] if self._periods else np.full(GRID, math.inf, np.float32)
            self._periods.append(np.where(use, values, before).astype(np.float32))
            self._in_period = 0.0
            usable = list(self._periods)[:-2]
            self.values = np.min(usable, axis=0) if len(usable) >= MIN_PERIODS else None
        else:
            np.minimum(self._periods[-1], values, out=self._periods[-1], where=use)
