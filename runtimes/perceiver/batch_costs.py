"""Divides views into batches: as many as fit into a time, or a number of them in the least time."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class BatchCosts:
    """The least time for any number of views, in batches of given sizes.

    Args:
        seconds: Function from a batch size to the seconds that it takes.
        sizes: Sizes of batches that the engine has compiled, with 1 among them.
        least: Number of views that are asked for in any case.
        most: Largest number of views that is asked for.
        time_left: Seconds that there are at most; numbers of views above `least` that do not fit are left out.
    """

    def __init__(
        self, seconds: Callable[[int], float], sizes: Sequence[int], least: int, most: int, time_left: float
    ) -> None:
        usable = [(size, seconds(size)) for size in sizes if size <= most]
        self._seconds = [0.0]
        self._largest = [0]  # size of one batch of the cheapest division; the rest is that of the rest
        for count in range(1, most + 1):
            if count > least and self._seconds[-1] > time_left:
                break
            best, size = min((cost + self._seconds[count - size], -size) for size, cost in usable if size <= count)
            self._seconds.append(best)
            self._largest.append(-size)

    def seconds(self, count: int) -> float:
        """Returns the least time for `count` views, in seconds."""
        return self._seconds[count]

    def fitting(self, most: int, time_left: float) -> int:
        """Returns the largest number of views up to `most` that fits into the time; with more time it is never less."""
        counts = range(min(most, len(self._seconds) - 1), 0, -1)
        return next((count for count in counts if self._seconds[count] <= time_left), 0)

    def next_batch(self, count: int) -> int:
        """Returns the size of the first batch in which `count` views take least time."""
        return self._largest[count]
