"""`History`: what a camera decided in each of the last seconds, for the timeline of the page."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from allweather.runtimes.types import Decision

LENGTH_SECONDS = 300


@dataclass
class _Second:
    """The frames of one second that were decided on."""

    number: int  # of the second, by the clock of the history
    frames: int = 0
    views: int = 0
    late: int = 0
    decided: int = 0  # decisions with a label
    confidence: float = 0.0  # sum over these
    labels: Counter[str] = field(default_factory=Counter)
    health: str = ""


class History:
    """Keeps what was decided in each of the last five minutes' seconds. One thread adds, and any thread may read."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=LENGTH_SECONDS)
        self._lock = threading.Lock()

    def add(self, time: float, decisions: Sequence[Decision], health: str) -> None:
        """Adds a frame that was decided on.

        Args:
            time: When, in seconds of a monotonic clock.
            decisions: Its decisions.
            health: State of the camera's health; empty if it is not known.
        """
        number = int(time)
        with self._lock:
            if not self._seconds or self._seconds[-1].number != number:
                self._seconds.append(_Second(number))
            second = self._seconds[-1]
            second.frames += 1
            second.late += any(decision.late for decision in decisions)
            second.health = health
            for decision in decisions:
                second.views += len(decision.views)
                if decision.label:
                    second.decided += 1
                    second.confidence += decision.confidence
                    second.labels[decision.label] += 1

    def record(self, time: float) -> list[Mapping[str, Any]]:
        """Returns the seconds in which something was decided, the oldest first, as JSON values.

        Args:
            time: The present time, by the same clock.

        Returns:
            For each second its `age` in seconds (0 for the present one), the most frequent `label` ("" if nothing was
            decided), the mean `confidence` (None if nothing was), `views` a frame, the numbers of `frames` and of
            `late` ones, and the camera's `health`.
        """
        now = int(time)
        with self._lock:
            return [
                {
                    "age": now - second.number,
                    "label": max(second.labels, key=second.labels.__getitem__, default=""),
                    "confidence": second.confidence / second.decided if second.decided else None,
                    "views": second.views / second.frames,
                    "frames": second.frames,
                    "late": second.late,
                    "health": second.health,
                }
                for second in self._seconds
                if now - second.number < LENGTH_SECONDS
            ]
