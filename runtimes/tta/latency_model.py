"""What a call costs: a high quantile of its seconds that knows a slow spell within three calls, and its end."""

from __future__ import annotations

import statistics
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping

RECENT = 5  # calls whose median is the pace of the device: three slow ones change it, a hiccup does not
REMEMBERED = 512  # calls of which the worst are known: 17 s at 30 frames a second
EXCEEDED = 0.05  # share of them that may cost more than `seconds` says; the planner learns what that does
LEARNING = 0.02  # how far one call moves what is known of its size
WORST_BATCH = 1.1  # a batch of n costs at most this many times n calls of one: else one bad warm-up would be for ever
SHORTEST = 1e-6  # seconds; a clock of a test stands still


class LatencyModel:
    """Seconds of running n views as one batch, for n from 1.

    What a call costs is taken for what n views usually cost (`measured`, and slowly what comes in) times the pace of
    the device, which all n share, the median of the last few calls; and to that comes its noise, the seconds by which
    95 in 100 of the last 512 calls exceeded this at most, as a program that gets in between takes as long whatever n
    is. So a slow spell is known after three calls and forgotten after three, and a single hiccup changes nothing, but
    many do. For use by one thread.

    Args:
        measured: seconds of some n, from a warm-up; may be empty.
    """

    def __init__(self, measured: Mapping[int, float] | None = None) -> None:
        self._sizes = {n: max(seconds, SHORTEST) for n, seconds in sorted((measured or {}).items())}
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._pace = 1.0
        self._noise: deque[float] = deque(maxlen=REMEMBERED)
        self._sorted: list[float] = []

    def seconds(self, n: int) -> float:
        """What `n` views will hardly exceed. Where nothing was measured, one costs nothing and more cost infinity."""
        if not self._sizes:
            return 0.0 if n == 1 else float("inf")
        usual = self._typical(n) * self._pace
        return usual + self._margin(usual)

    def add(self, n: int, seconds: float) -> None:
        """Learns from one call of `n` views."""
        seconds = max(seconds, SHORTEST)
        if n not in self._sizes:  # one call alone cannot tell what n views cost from how the device does just now
            known = self._typical(n) if self._sizes else seconds
            self._sizes = dict(sorted({**self._sizes, n: known}.items()))
        typical = self._typical(n)
        ratio = seconds / typical
        self._remember(max(seconds - typical * self._pace, 0.0))
        self._recent.append(ratio)
        self._pace = statistics.median(self._recent)
        off = min(max(ratio / self._pace, 0.5), 1.5) - 1  # one hiccup is not to teach much
        self._sizes[n] = typical * (1 + LEARNING * off)

    def follow(self, other: LatencyModel) -> None:
        """Learns from what another network did on the same device while this one was not run.

        Without that, one that was left out in a slow spell would be left out for ever.
        """
        if other._recent:
            self._recent.append(other._recent[-1])
            self._pace = statistics.median(self._recent)
            self._remember(0.0)

    def _typical(self, n: int) -> float:
        """Seconds of n views at the usual pace: measured, between those measured, or in proportion."""
        sizes = list(self._sizes)
        place = bisect_left(sizes, n)
        if place == len(sizes):
            found = self._sizes[sizes[-1]] * n / sizes[-1]
        elif sizes[place] == n or place == 0:
            found = self._sizes[sizes[place]]
        else:
            low, high = sizes[place - 1], sizes[place]
            share = (n - low) / (high - low)
            found = (1 - share) * self._sizes[low] + share * self._sizes[high]
        return min(found, WORST_BATCH * n * self._sizes[1]) if n > 1 and 1 in self._sizes else found

    def _remember(self, noise: float) -> None:
        if len(self._noise) == REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._noise[0])]
        self._noise.append(noise)
        insort(self._sorted, noise)

    def _margin(self, usual: float) -> float:
        """Seconds by which a call may exceed the usual; where few are known, more than they have shown."""
        known = len(self._sorted)
        return max(self._sorted[known - 1 - int(EXCEEDED * known)], usual / known) if known else 0.0
