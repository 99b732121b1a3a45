"""`Event`: something that happened to a camera, which is no decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["connection", "health"]
"""What an event is about.

- "connection": Whether frames come. The states are those of `CameraState.phase`: "connecting", "live", "waiting" (the
  camera is lost or not available; the reason is the error), and "ended".
- "health": Whether the camera sees well. The states are "clear", "degraded" and "blind", with the reasons of
  `CameraHealth` separated by commas.
"""


@dataclass(frozen=True)
class Event:
    """A camera has changed its state. A camera without an event of its health so far is "clear".

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
