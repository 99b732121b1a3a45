"""`CameraHealthTracker`: follows whether a camera sees well, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

from allweather.runtimes.camera_health.covered_blocks import CoveredBlocks
from allweather.runtimes.camera_health.measures import ImageMeasures, measure
from allweather.runtimes.camera_health.rules import FLAT, MAX_DARK, MIN_WHITE, RULES, Rule
from allweather.runtimes.camera_health.smoothing import Average, Normal, Switch
from allweather.runtimes.camera_health.states import CameraHealth, HealthReason, SmoothedMeasures
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import check_image
from allweather.runtimes.setting_types import is_number
from allweather.runtimes.types import Image

INTERVAL_SECONDS = 0.25  # between two frames that are measured: health changes over seconds
MAX_PASSED_SECONDS = 1.0  # that a single frame counts for, however long there was none before it
SMOOTHING_SECONDS = 1.0
MAX_UNKNOWN_SECONDS = 30.0  # for which a reason stays while nothing can be told of its measure
RECENT_SECONDS = 3.0  # over which the brightness before a sudden darkness is known
SUDDEN = 0.25  # share of its recent brightness that a scene keeps unless something suddenly covers the lens
NAMES = tuple(field.name for field in fields(SmoothedMeasures))


class CameraHealthTracker:
    """Follows whether one camera sees well. It needs two to four milliseconds of one core four times a second.

    Example::

        tracker = CameraHealthTracker()
        for frame in camera:
            health = tracker.update(frame.image, frame.captured)

    A measure must be bad for two seconds before the state becomes worse, and good for five before it becomes better, so
    that neither a scene cut nor a value that varies around a limit makes the state flap. What is normal for this camera
    is learned over minutes while it sees well; the first 40 seconds are judged by fixed limits alone.

    For use by one thread.
    """

    def __init__(self) -> None:
        self.health = CameraHealth()
        self._time: float | None = None
        self._averages = {name: Average(SMOOTHING_SECONDS) for name in NAMES}
        self._normals = {rule.measure: Normal() for rule in RULES if rule.factor is not None}
        self._switches = {rule: Switch(rule.on_seconds, rule.off_seconds) for rule in RULES}
        self._holding: dict[Rule, HealthReason] = {}  # the rules that hold, the worst first, with their reasons
        self._unknown = dict.fromkeys(NAMES, 0.0)  # seconds since each measure was known
        self._covered = CoveredBlocks()
        self._recent_brightness = Average(RECENT_SECONDS)
        self._brightness_before = math.nan  # the recent one, just before the image lost its detail

    def update(self, image: Image, time: float) -> CameraHealth:
        """Takes a frame and returns the present health.

        Args:
            image: uint8 [H, W, 3], RGB. It is not changed.
            time: Time of the frame in seconds. A frame that comes less than a quarter of a second after the last one
                that was measured, or shortly before it, is passed over. After a clock was set back, no time has passed.

        Raises:
            UsageError: `image` is not uint8 [H, W, 3], or the time is no number.
        """
        check_image(image)
        if not is_number(time) or not math.isfinite(time):
            raise UsageError(f"the time of a frame is a number of seconds; got {time!r:.40}")
        if self._time is not None and -MAX_PASSED_SECONDS < time - self._time < INTERVAL_SECONDS:
            return self.health
        return self.add(measure(image), time)

    def add(self, measures: ImageMeasures, time: float) -> CameraHealth:
        """Takes the measures of a frame, and returns the present health; see `update`."""
        passed = 0.0 if self._time is None else min(max(0.0, time - self._time), MAX_PASSED_SECONDS)
        self._time = time
        smoothed = self._smooth(measures, passed)
        values: Mapping[str, float] = vars(smoothed)
        for name, value in values.items():
            self._unknown[name] = self._unknown[name] + passed if math.isnan(value) else 0.0
        holding: dict[Rule, HealthReason] = {}
        for rule, switch in self._switches.items():
            value = values[rule.measure]
            normal = self._normals[rule.measure].median if rule.factor is not None else math.nan
            is_known = self._unknown[rule.measure] <= MAX_UNKNOWN_SECONDS
            turn_on, stay_on = rule.turns_on(value, normal), is_known and rule.stays_on(value, normal)
            if switch.update(turn_on=turn_on, stay_on=stay_on, passed=passed):
                holding[rule] = self._holding.get(rule) or self._reason(rule, smoothed)
        self._holding = holding
        if not holding:
            self._learn(values, passed)
        state = next(iter(holding)).state if holding else "clear"
        reasons = tuple(dict.fromkeys(holding.values()))
        unchanged = (state, reasons) == (self.health.state, self.health.reasons)
        self.health = CameraHealth(state, reasons, self.health.since if unchanged else time, smoothed)
        return self.health

    def _smooth(self, measures: ImageMeasures, passed: float) -> SmoothedMeasures:
        if measures.detail >= FLAT.leave:
            self._brightness_before = self._recent_brightness.value
        self._recent_brightness.add(measures.brightness, passed)
        values = {
            "brightness": measures.brightness,
            "overexposed": measures.overexposed,
            "detail": measures.detail,
            "sharpness": measures.sharpness,
            "noise": measures.noise,
            "covered": self._covered.update(measures.thumbnail, measures.thumbnail_noise, passed),
        }
        return SmoothedMeasures(**{name: self._averages[name].add(value, passed) for name, value in values.items()})

    def _learn(self, values: Mapping[str, float], passed: float) -> None:
        """Learns what is normal, while nothing is wrong."""
        for name, normal in self._normals.items():
            normal.learn(values[name], passed)

    def _reason(self, rule: Rule, smoothed: SmoothedMeasures) -> HealthReason:
        """Returns the reason of a rule that has just come to hold: an image may also be flat because of the light."""
        if rule is not FLAT:
            return rule.reason
        if smoothed.overexposed > MIN_WHITE:
            return "overexposed"
        is_sudden = smoothed.brightness < SUDDEN * self._brightness_before
        return "dark" if smoothed.brightness < MAX_DARK and not is_sudden else "covered"
