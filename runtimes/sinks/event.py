"""`Event`: something that happened to a camera, which is no decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["connection", "health"]
"""What an event is about.

- "connection": Whether frames come. The states are those of `CameraState.phase`.
- "health": Whether the camera sees well. The states are "clear", "degraded" and "blind".
"""


@dataclass(frozen=True)
class Event:
    """A camera has changed its state.

    Attributes:
        kind: What the event is about.
        source: Name of the camera, without passwords.
        state: The new state.
        reason: Why, in a few words; empty where there is nothing to say.
        time: When it happened, in seconds of the monotonic clock.
    """

    kind: EventKind
    source: str
    state: str
    reason: str
    time: float
