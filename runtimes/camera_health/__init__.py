"""Camera health: whether a camera sees well, and if not, why, from its images alone."""

from allweather.runtimes.camera_health.measures import ImageMeasures, measure
from allweather.runtimes.camera_health.states import CameraHealth, HealthReason, HealthState, SmoothedMeasures
from allweather.runtimes.camera_health.tracker import CameraHealthTracker

__all__ = [
    "CameraHealth",
    "CameraHealthTracker",
    "HealthReason",
    "HealthState",
    "ImageMeasures",
    "SmoothedMeasures",
    "measure",
]
