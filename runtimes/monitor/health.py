"""The health check of the loops: for a supervisor, for a person, and for systemd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allweather.runtimes.monitor.preview import LivePreview

MAX_INACTIVE_SECONDS = 10.0  # a loop hangs if for so long it neither decides nor reports that it waits for a frame
MAX_UNDECIDED_SECONDS = 5.0  # a loop that has not decided for so long is not ready, though it may be alive


@dataclass(frozen=True)
class Health:
    """The health of all loops.

    Attributes:
        alive: Whether every loop decides or waits for its camera. If not, a loop hangs, and a restart may help.
        ready: Whether frames of every camera are being decided on.
        problems: One line for each camera that is not ready, without passwords.
    """

    alive: bool
    ready: bool
    problems: tuple[str, ...]


def check_health(previews: Sequence[LivePreview]) -> Health:
    """Returns the present health of the loops.

    Args:
        previews: One per camera. Cameras whose frames have ended are not considered.
    """
    alive, ready, problems = True, True, []
    for preview in previews:
        state, heartbeat, now = preview.camera.state, preview.stats.heartbeat(), preview.stats.clock()
        if state.phase == "ended":
            continue
        last_decision = heartbeat.last_alive if heartbeat.last_decision is None else heartbeat.last_decision
        if now - heartbeat.last_alive > MAX_INACTIVE_SECONDS:
            alive = ready = False
            problems.append(f"{state.name}: the loop has been hanging for {now - heartbeat.last_alive:.0f} s")
        elif state.phase != "live":
            ready = False
            problems.append(f"{state.name}: {state.error or 'not connected yet'}")
        elif now - last_decision > MAX_UNDECIDED_SECONDS:
            ready = False
            problems.append(f"{state.name}: no decision for {now - last_decision:.0f} s")
    return Health(alive, ready, tuple(problems))
