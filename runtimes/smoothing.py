"""Predicted losses over a stream: weather lasts longer than a frame, so frames before this one tell about it, too."""

from __future__ import annotations

import numpy as np

from allweather.runtimes.frame import Floats


class Smoothing:
    """Exponential mean of predicted losses over the frames of one stream.

    The first frames are averaged evenly, so that the very first counts as it is.

    Args:
        frames: about how many the mean looks back, >= 1; with 1 every frame stands alone.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.forget()

    def forget(self) -> None:
        """Begins a new stream."""
        self._mean: Floats | None = None
        self._seen = 0

    def __call__(self, losses: Floats) -> Floats:
        """Takes in further frames of the stream.

        Args:
            losses: float32 [n, V], one row a frame, in their order.

        Returns:
            float32 [n, V], the mean up to and with each frame. What is nan in a frame leaves a mean as it was.
        """
        if self.frames == 1:
            return losses
        found = np.empty_like(losses)
        for row, new in enumerate(losses):
            self._seen += 1
            share = max(1 / self.frames, 1 / self._seen)
            old = new if self._mean is None else self._mean
            known = np.where(np.isnan(old), new, old)
            self._mean = np.where(np.isnan(new), known, known + np.float32(share) * (new - known))
            found[row] = self._mean
        return found
