"""`RULES`: from which value of which measure on a camera does not see well, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from allweather.runtimes.camera_health.states import HealthReason, HealthState

ON_SECONDS, OFF_SECONDS = 2.0, 5.0


@dataclass(frozen=True)
class Rule:
    """When a measure is a reason for a state.

    The limits were chosen on three seeds of made footage, see docs/results/camera-health.md.

    Attributes:
        state: The state.
        reason: The reason.
        measure: Field of `SmoothedMeasures`.
        limit: Value beyond which the measure is bad for any camera.
        leave: Value on the other side of which it is good again.
        above: Whether it is bad above the limit; otherwise below.
        factor: Multiple of the camera's own normal value beyond which the measure is bad, too, if it is also beyond
            `doubtful`; None if only the limit counts.
        doubtful: Value up to which the measure is good in any camera, whatever its normal one.
        on_seconds: How long the measure must be bad before it is a reason.
        off_seconds: How long it must be good again before it is none.
    """

    state: HealthState
    reason: HealthReason
    measure: str
    limit: float
    leave: float
    above: bool = False
    factor: float | None = None
    doubtful: float = math.nan
    on_seconds: float = ON_SECONDS
    off_seconds: float = OFF_SECONDS

    def turns_on(self, value: float, normal: float) -> bool:
        """Returns whether a value is bad; never for a nan."""
        return self._beyond(value, self.limit) or (
            self.factor is not None and self._beyond(value, self.doubtful) and self._beyond(value, self.factor * normal)
        )

    def stays_on(self, value: float, normal: float) -> bool:
        """Returns whether a value is not good enough again; a nan says nothing, and leaves it as it was."""
        if math.isnan(value) or self._beyond(value, self.leave):
            return True
        if self.factor is None:
            return False
        way_back = math.sqrt(self.factor)  # half of the way, by ratio, to the normal value
        return self._beyond(value, self.doubtful * self.leave / self.limit) and self._beyond(value, way_back * normal)

    def _beyond(self, value: float, limit: float) -> bool:
        return value > limit if self.above else value < limit


MAX_DARK = 0.12  # brightness of a dark image
MIN_WHITE = 0.35  # share of an overexposed image that is white
FLAT = Rule("blind", "covered", "detail", 1.3, 1.8)
RULES = (  # the worst first
    FLAT,
    Rule("blind", "covered", "covered", 0.7, 0.5, above=True),
    Rule("blind", "dark", "brightness", 0.04, 0.06),
    Rule("blind", "overexposed", "overexposed", 0.9, 0.8, above=True),
    Rule("blind", "blurred", "sharpness", 0.03, 0.045),
    Rule("degraded", "covered", "covered", 0.1, 0.05, above=True, on_seconds=8.0),
    Rule("degraded", "dark", "brightness", MAX_DARK, 0.15),
    Rule("degraded", "overexposed", "overexposed", MIN_WHITE, 0.25, above=True),
    Rule("degraded", "blurred", "sharpness", 0.17, 0.2, factor=0.6, doubtful=0.25),
    Rule("degraded", "noisy", "noise", 15.0, 11.0, above=True, factor=4.0, doubtful=6.0),
)
