"""Lines that tell how far a command of minutes is where no terminal shows a progress bar: at most one a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL = 60.0  # seconds
LONGEST_IN_SECONDS, LONGEST_IN_MINUTES = 90.0, 90 * 60.0


class MinuteLines:
    """Prints how much is done, and how long the rest will take at the pace so far.

    Args:
        say: Prints a line.
        clock: Returns monotonic seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._told = self._begun = clock()
        self._first = self._done = self._total = 0

    def __call__(self, done: int, description: str, total: int | None = None) -> None:
        """Takes the steps done of a total that may not be known, and what they are steps of; prints if it is time."""
        now = self._clock()
        if (total or 0) != self._total or done < self._done:  # of something else: its pace is another
            self._begun, self._first, self._total = now, done, total or 0
        self._done = done
        if now - self._told < INTERVAL:
            return
        self._told = now
        if not total:
            self._say(f"{description}: still running")
            return
        done, left = min(done, total), ""
        if self._first < done < total:
            left = f", about {duration((now - self._begun) * (total - done) / (done - self._first))} left"
        self._say(f"{description}: {100 * done // total} % done{left}")


def duration(seconds: float) -> str:
    """Returns a duration in the unit in which it is told: "45 s", "12 min" or "3.5 h"."""
    if seconds < LONGEST_IN_SECONDS:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < LONGEST_IN_MINUTES else f"{seconds / 3600:.1f} h"
