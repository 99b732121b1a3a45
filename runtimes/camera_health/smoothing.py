"""Values over time: their average, what is normal for them, and switches that do not flap."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

NORMAL_SECONDS = 2.0  # between two samples of a normal
NORMAL_SAMPLES = 300  # of them are kept: those of ten minutes
MIN_NORMAL_SAMPLES = 20  # before that a camera has no normal


class Average:
    """Average of a value over time, with weights that fall exponentially.

    Args:
        seconds: Age at which the weight of a value is 1 / e. After twice as long without a value there is no average.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._missing = 0.0
        self.value = math.nan

    def add(self, value: float, passed: float) -> float:
        """Adds a value and returns the average; a nan is left out.

        Args:
            value: The value.
            passed: Seconds since the previous one.
        """
        is_missing = math.isnan(value)
        self._missing = self._missing + passed if is_missing else 0.0
        if self._missing > 2 * self._seconds or math.isnan(self.value):
            self.value = value
        elif not is_missing:
            self.value += (value - self.value) * (1 - math.exp(-passed / self._seconds))
        return self.value


class Normal:
    """What is normal for a value: its median over the last ten minutes in which it was learned."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=NORMAL_SAMPLES)
        self._waited = NORMAL_SECONDS
        self.median = math.nan  # until it has been learned for forty seconds

    def learn(self, value: float, passed: float) -> None:
        """Adds a value, unless it is nan or the last one was added less than two seconds ago.

        Args:
            value: The value.
            passed: Seconds since the previous call.
        """
        self._waited += passed
        if math.isnan(value) or self._waited < NORMAL_SECONDS:
            return
        self._waited = 0.0
        self._samples.append(value)
        if len(self._samples) >= MIN_NORMAL_SAMPLES:
            self.median = float(np.median(self._samples))


class Switch:
    """A switch that turns on after a condition has held for some time, and off after a weaker one has not.

    Args:
        on_seconds: How long the condition to turn on must hold.
        off_seconds: How long the condition to stay on must fail.
    """

    def __init__(self, on_seconds: float, off_seconds: float) -> None:
        self._on_seconds, self._off_seconds = on_seconds, off_seconds
        self._held = 0.0
        self.is_on = False

    def update(self, *, turn_on: bool, stay_on: bool, passed: float) -> bool:
        """Returns whether the switch is on.

        Args:
            turn_on: Whether the condition to turn on holds now; it counts only while the switch is off.
            stay_on: Whether the condition to stay on holds now; it counts only while the switch is on.
            passed: Seconds since the previous call.
        """
        against = not stay_on if self.is_on else turn_on
        self._held = self._held + passed if against else 0.0
        if self._held >= (self._off_seconds if self.is_on else self._on_seconds):
            self.is_on, self._held = not self.is_on, 0.0
        return self.is_on
