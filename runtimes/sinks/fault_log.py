"""`FaultLog`: says why a receiver takes nothing, once, and not at each attempt."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

QUIET_SECONDS = 60.0  # after a line about a fault, so that a receiver that comes and goes does not fill the log


class FaultLog:
    """Logs the faults of a receiver, and that it works again.

    Args:
        name: Name of the receiver, without passwords.
        clock: Returns monotonic seconds.

    Attributes:
        fault: Why the last attempt failed; empty if it did not.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._next = 0.0  # when a fault may be logged again
        self._told = ""  # the last fault that was logged, until the receiver works again
        self.fault = ""

    def note(self, fault: str, consequence: str) -> None:
        """Notes that an attempt has failed; logs it if the fault is a new one, or later if a line has just been logged.

        Args:
            fault: Why.
            consequence: What that means for the decisions.
        """
        if fault != self._told and self._clock() >= self._next:
            logger.warning("%s: %s; %s", self._name, fault, consequence)
            self._next, self._told = self._clock() + QUIET_SECONDS, fault
        self.fault = fault

    def clear(self) -> None:
        """Notes that the receiver works; logs it if a fault was logged before."""
        if self._told:
            logger.warning("%s takes decisions again", self._name)
        self._told, self.fault = "", ""
