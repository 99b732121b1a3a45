"""`LivePreview`: the newest frame and decision of one camera, drawn and encoded only while there is a viewer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import cv2

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.jsonl import decision_record, finite_or_none
from allweather.runtimes.types import Budget, Decision, Frame

MAX_SIDE_PIXELS = 960  # of the JPEG; encoding it takes some 3 ms of a core
JPEG_QUALITY = 80
HISTOGRAM_BOUNDS = tuple(0.0005 * 2 ** (step / 2) for step in range(25))  # seconds: 0.5 ms to 2 s


class LivePreview(Sink):
    """A sink that keeps the newest frame and decision for any number of viewers. It costs the loop two assignments.

    Args:
        camera: The camera of the loop.
        stats: The statistics of the loop.
        budget: The latency budget of its decisions.
    """

    def __init__(self, camera: Camera, stats: LoopStats, budget: Budget) -> None:
        self.camera, self.stats = camera, stats
        self._budget = budget
        self._newest: tuple[Frame, Decision, Region | None] | None = None
        self._version = 0  # number of decisions so far
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._encoded = (0, b"")  # version and JPEG

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Keeps one frame and its decision instead of the previous ones."""
        with self._changed:
            self._newest = (frame, decision, region)
            self._version += 1
            self._changed.notify_all()

    def wait(self, version: int, timeout: float) -> int:
        """Waits until there is a newer decision than `version`, for at most `timeout` seconds.

        Returns:
            The version of the newest decision: the number of decisions so far.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout)
            return self._version

    def jpeg(self) -> bytes:
        """Returns the newest frame with its decision as JPEG, encoded once for all viewers; empty before the first."""
        with self._encoding:
            with self._changed:
                version, newest = self._version, self._newest
            if newest and version != self._encoded[0]:
                frame, decision, region = newest
                image = annotate(frame.image, decision, region)
                scale = MAX_SIDE_PIXELS / max(image.shape[:2])
                if scale < 1:
                    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
                    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
                _, data = cv2.imencode(
                    ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                )
                self._encoded = (version, data.tobytes())
            return self._encoded[1]

    def snapshot(self) -> Mapping[str, Any]:
        """Returns what the page shows besides the image, as JSON values; None replaces nan and infinity."""
        report, newest = self.stats.report(), self._newest
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
            "decision": decision_record(newest[1]) if newest else None,
        }
