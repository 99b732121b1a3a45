"""`CoveredBlocks`: the part of the image behind dirt, which stands still or has lost what was to be seen there."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.camera_health.blocks import GRID, LowestValues, block_detail, block_means, quantile
from allweather.runtimes.types import Floats

FAST_SECONDS, SLOW_SECONDS = 3.0, 30.0  # over which blocks are averaged
MAX_CHANGE = 30.0  # levels: larger ones count as this, so that a sudden one is soon forgotten
SCENE_QUANTILE = 0.8  # of the blocks: how much the scene changes, also when most of it is covered
MIN_SCENE_CHANGE = 2.0  # levels; a scene with less is at rest
MIN_LOWEST_CHANGE = 0.1  # of the scene's: a block that has stood stiller before, as the sky, says nothing
MIN_LOWEST_DETAIL = 5.0  # levels: a block that has had less detail before says nothing
LOST = 0.4  # of its lowest value in ten minutes: a block that has less is covered
SAME_SHARE = 0.2  # of the blocks that are what they were, unless the camera has moved
MAX_SHIFT = 8.0  # levels by which such a block may differ from its average over half a minute
PASSING_SECONDS = 8.0  # for which most of the image may be another one until it is another scene
MIN_BLOCKS = GRID[0] * GRID[1] // 8  # that say something, or a share of them would mean little


class CoveredBlocks:
    """Finds the blocks that are covered, on cameras that move and on fixed ones.

    Where the scene moves, a covered block stands still (compared with the rest of the scene). Where it is at rest, a
    covered block has lost its detail, while the rest of the image is what it was. Both are compared with the lowest
    value that the same block had in the last ten minutes, so that neither the sky nor a wall is taken for dirt.
    """

    def __init__(self) -> None:
        self._previous: npt.NDArray[np.uint8] | None = None
        self._restart()

    def update(self, thumbnail: npt.NDArray[np.uint8], noise: float, passed: float) -> float:
        """Returns the covered share of the blocks of which it can be told, 0..1; nan if those are too few.

        Args:
            thumbnail: The luma of the image, uint8 [h, w].
            noise: Standard deviation of the noise of the thumbnail, in levels.
            passed: Seconds since the previous image.
        """
        previous, self._previous = self._previous, thumbnail
        if previous is None or previous.shape != thumbnail.shape:
            self._restart()
            return math.nan
        change = block_means(np.minimum(cv2.absdiff(thumbnail, previous), MAX_CHANGE))
        change = np.maximum(change - 2 / math.sqrt(math.pi) * noise, 0)
        self._seen_seconds += passed
        fast = 1 - math.exp(-passed / min(FAST_SECONDS, self._seen_seconds)) if passed else 0.0
        self._change += (change - self._change) * fast
        self._detail += (block_detail(thumbnail, noise) - self._detail) * fast
        self._luma += (block_means(thumbnail) - self._luma) * fast
        slow = 1 - math.exp(-passed / min(SLOW_SECONDS, self._seen_seconds)) if passed else 0.0
        self._slow_luma += (self._luma - self._slow_luma) * slow
        if self._seen_seconds < 2 * FAST_SECONDS:
            return math.nan
        known, covered = self._by_change(passed)
        known_by_detail, covered_by_detail = self._by_detail(passed)
        known, covered = known | known_by_detail, covered | covered_by_detail
        return float(covered.sum()) / float(known.sum()) if known.sum() >= MIN_BLOCKS else math.nan

    def _restart(self) -> None:
        self._change, self._detail, self._luma, self._slow_luma = (np.zeros(GRID, np.float32) for _ in range(4))
        self._lowest_change, self._lowest_detail = LowestValues(), LowestValues()
        self._seen_seconds = self._shifted_seconds = 0.0

    def _by_change(self, passed: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns of which blocks it can be told by their change whether they are covered, and which of them are."""
        scene = quantile(self._change, SCENE_QUANTILE)
        if scene < MIN_SCENE_CHANGE:
            return _none(), _none()
        relative = np.minimum(self._change / scene, 1)
        return _compare(self._lowest_change, relative, MIN_LOWEST_CHANGE, passed)

    def _by_detail(self, passed: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns the same by their detail, which is known of a camera that has not moved."""
        shift = np.abs(self._luma - self._slow_luma)
        has_shifted = quantile(shift, SAME_SHARE) > MAX_SHIFT  # or something large passes by
        self._shifted_seconds = self._shifted_seconds + passed if has_shifted else 0.0
        if self._shifted_seconds > PASSING_SECONDS:
            self._lowest_detail = LowestValues()
        if has_shifted:
            return _none(), _none()
        return _compare(self._lowest_detail, self._detail, MIN_LOWEST_DETAIL, passed)


def _none() -> npt.NDArray[np.bool_]:
    return np.zeros(GRID, np.bool_)


def _compare(
    lowest: LowestValues, values: Floats, least: float, passed: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Returns which blocks have had at least some value, and which of those have lost it; learns from the others."""
    known, covered = _none(), _none()
    before = lowest.values
    if before is not None:
        known = before >= least
        covered = known & (values < LOST * before)
    lowest.learn(values, ~covered, passed)
    return known, covered
