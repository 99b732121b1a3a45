"""`CameraHealth`: whether a camera sees well, and if not, why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

HealthState = Literal["clear", "degraded", "blind"]
"""How well a camera sees.

- "clear": As it should.
- "degraded": Worse than it should; decisions are less reliable.
- "blind": Hardly anything can be seen.
"""

HealthReason = Literal["dark", "overexposed", "blurred", "noisy", "covered"]
"""Why a camera does not see well.

- "dark": There is too little light.
- "overexposed": A large part of the image is white, as against the sun.
- "blurred": The sharpest edges are not sharp: the lens is out of focus, or has a film on it.
- "noisy": The sensor is noisy, as at high gain.
- "covered": Something lies on the lens: the whole image shows no detail, or a part has lost it or stands still.
"""


@dataclass(frozen=True)
class SmoothedMeasures:
    """What the health of a camera is judged by, averaged over the last second or two; nan where nothing is known.

    Attributes:
        brightness: Mean luma, 0..1.
        overexposed: Share of pixels at the upper end of the range, 0..1.
        detail: Standard deviation of the luma within the richest blocks, in levels of 255.
        sharpness: Slope of the sharpest edges relative to their height, per pixel; about 0.4 in a sharp image.
        noise: Standard deviation of the noise, in levels of 255.
        covered: Share of the image that has lost its movement or its detail, of the part of which that can be told;
            0..1.
    """

    brightness: float = math.nan
    overexposed: float = math.nan
    detail: float = math.nan
    sharpness: float = math.nan
    noise: float = math.nan
    covered: float = math.nan


@dataclass(frozen=True)
class CameraHealth:
    """Whether a camera sees well at one moment.

    Attributes:
        state: "clear", "degraded" or "blind".
        reasons: Why it is not "clear", the worst first; empty if it is.
        since: Time of the frame with which this state and these reasons began, in the seconds that the frames have.
        measures: What it was judged by.
    """

    state: HealthState = "clear"
    reasons: tuple[HealthReason, ...] = ()
    since: float = -math.inf
    measures: SmoothedMeasures = SmoothedMeasures()
