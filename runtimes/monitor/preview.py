"""`LivePreview`: the newest frame of one camera with its decisions, drawn and encoded only while there is a viewer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from allweather.runtimes.camera_health.states import CameraHealth
from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.history import History
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.record import decision_record, finite_or_none
from allweather.runtimes.types import Budget, Decision, Frame, Image

MAX_SIDE_PIXELS = 960  # of the JPEG; encoding it takes some 3 ms of a core
JPEG_QUALITY = 80
MAX_FRAMES_PER_SECOND = 15.0  # encoded of one camera
HISTOGRAM_BOUNDS = tuple(0.0005 * 2 ** (step / 2) for step in range(25))  # seconds: 0.5 ms to 2 s


@dataclass(frozen=True)
class EncodedFrame:
    """A frame with its decisions drawn on it.

    Attributes:
        version: Number of frames of this camera that were decided on up to this one; it identifies the image.
        index: Index of the frame in its source.
        decisions: The decisions on the frame.
        jpeg: The image as JPEG.
    """

    version: int
    index: int
    decisions: Sequence[Decision]
    jpeg: bytes


class LivePreview(Sink):
    """A sink that keeps the newest frame, its decisions, and the last minutes in short, for any number of viewers.

    Args:
        camera: The camera of the loop.
        stats: The statistics of the loop.
        budget: The latency budget of its decisions.
        clock: Returns monotonic seconds.

    Attributes:
        history: What was decided in each of the last seconds.
    """

    def __init__(
        self, camera: Camera, stats: LoopStats, budget: Budget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.camera, self.stats = camera, stats
        self._budget, self._clock = budget, clock
        self._newest: tuple[int, Frame, Sequence[Decision]] | None = None  # the version first
        self.history = History()
        self._encoding = threading.Lock()
        self._encoded: EncodedFrame | None = None
        self._last_encoded = -math.inf  # monotonic seconds

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Keeps one frame and its decisions instead of the previous ones."""
        health = self.stats.health
        self.history.add(self._clock(), decisions, health.state if health else "")
        self._newest = (self._newest[0] + 1 if self._newest else 1, frame, decisions)

    def encode(self) -> EncodedFrame | None:
        """Returns the newest frame with its decisions as JPEG; None before the first.

        An image serves all viewers, and is made at most `MAX_FRAMES_PER_SECOND` times a second, however many they are.
        """
        with self._encoding:
            newest, now = self._newest, self._clock()
            is_new = newest is not None and (self._encoded is None or newest[0] != self._encoded.version)
            if newest and is_new and now - self._last_encoded >= 1 / MAX_FRAMES_PER_SECOND:
                version, frame, decisions = newest
                self._encoded = EncodedFrame(version, frame.index, decisions, _jpeg(annotate(frame.image, decisions)))
                self._last_encoded = now
            return self._encoded

    def timeline(self) -> list[Mapping[str, Any]]:
        """Returns the last minutes as JSON values; see `History.record`."""
        return self.history.record(self._clock())

    def snapshot(self, decisions: Sequence[Decision] | None = None) -> Mapping[str, Any]:
        """Returns what the page shows besides the image, as JSON values; None replaces nan and infinity.

        Args:
            decisions: The decisions to show: those of the image beside it. The newest ones if None.
        """
        report, newest = self.stats.report(), self._newest
        shown = decisions if decisions is not None else newest[2] if newest else ()
        decision_time_counts, frame_age_counts = self.stats.cumulative_counts(HISTOGRAM_BOUNDS)
        return {
            "camera": asdict(self.camera.state),
            "budget_seconds": finite_or_none(self._budget.seconds),
            "decided": report.decided,
            "late": report.late,
            "drops": asdict(report.drops),
            "decisions_per_second": report.decisions_per_second,
            "views_per_frame": list(report.views_per_frame),
            "histogram_bounds": list(HISTOGRAM_BOUNDS),
            "decision_time_counts": decision_time_counts,
            "frame_age_counts": frame_age_counts,
            "frame_age": asdict(report.frame_age) if report.frame_age else None,
            "health": _health_record(report.health) if report.health else None,
            "decisions": [decision_record(decision) for decision in shown],
        }


def _health_record(health: CameraHealth) -> Mapping[str, Any]:
    """Returns how well a camera sees as JSON values."""
    measures = {name: finite_or_none(value) for name, value in asdict(health.measures).items()}
    return {"state": health.state, "reasons": list(health.reasons), "measures": measures}


def _jpeg(image: Image) -> bytes:
    """Returns an image, uint8 [H, W, 3] RGB, as JPEG with sides of at most `MAX_SIDE_PIXELS`."""
    scale = MAX_SIDE_PIXELS / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
