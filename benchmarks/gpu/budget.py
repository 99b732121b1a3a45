"""Minutes: how much time is left, how it is shared, and the error that ends a run when its share is spent."""

from __future__ import annotations

import time
from collections.abc import Callable


class OutOfTimeError(Exception):
    """The share of the minutes is spent; what is on disk lets a later call go on."""


class Budget:
    """Some seconds of wall-clock time that run from now on.

    Args:
        seconds: How many.
        clock: Returns monotonic time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + seconds

    def left(self) -> float:
        """Returns the seconds that are left, 0 or more."""
        return max(0.0, self._end - self._clock())

    def share(self, share: float) -> Budget:
        """Returns a share, 0..1, of what is left now, as a budget of its own that ends no later than this one."""
        return Budget(share * self.left(), self._clock)

    def check(self, *_: object) -> None:
        """Raises OutOfTimeError if nothing is left; takes any arguments, as the `watch` of a long step does."""
        if not self.left():
            raise OutOfTimeError
