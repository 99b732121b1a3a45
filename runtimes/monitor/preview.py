"""What viewers see of one camera: its newest frame and decision, drawn and encoded only while somebody looks."""

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
from allweather.runtimes.sinks.jsonl import entry, number
from allweather.runtimes.types import Budget, Decision, Frame

LONGEST_SIDE = 960  # pixels of the picture sent; encoding it costs some 3 ms of a core
QUALITY = 80  # of JPEG
BOUNDS = tuple(0.0005 * 2 ** (step / 2) for step in range(25))  # seconds: 0.5 ms to 2 s, of the histogram


class LivePreview(Sink):
    """Keeps the newest frame for any number of viewers. For the loop it costs two assignments.

    Args:
        camera: what it shows.
        tally: of the loop that watches the camera.
        budget: of its decisions.
    """

    def __init__(self, camera: Camera, stats: LoopStats, budget: Budget) -> None:
        self.camera, self.stats = camera, stats
        self._budget = budget
        self._newest: tuple[Frame, Decision, Region | None] | None = None
        self._number = 0
        self._changed = threading.Condition()
        self._drawing = threading.Lock()
        self._drawn = (0, b"")

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Shows one decision."""
        with self._changed:
            self._newest = (frame, decision, region)
            self._number += 1
            self._changed.notify_all()

    def wait(self, number: int, seconds: float) -> int:
        """Waits for a decision after the one of this number, but not longer than so; gives the newest one's number."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, seconds)
            return self._number

    def picture(self) -> bytes:
        """The newest frame with its decision as JPEG; empty before the first. Encoded once for all viewers."""
        with self._drawing:
            with self._changed:
                number, newest = self._number, self._newest
            if newest and number != self._drawn[0]:
                frame, decision, region = newest
                image = annotate(frame.image, decision, region)
                shrink = LONGEST_SIDE / max(image.shape[:2])
                if shrink < 1:
                    size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
                    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
                _, data = cv2.imencode(
                    ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
                )
                self._drawn = (number, data.tobytes())
            return self._drawn[1]

    def snapshot(self) -> Mapping[str, Any]:
        """All that the page shows but the picture, as plain values; infinity is None."""
        report, newest = self.stats.report(), self._newest
        times, ages = self.stats.at_most(BOUNDS)
        return {
            "camera": asdict(self.camera.state),
            "budget": number(self._budget.seconds),
            "decided": report.decided,
            "late": report.late,
            "drops": asdict(report.drops),
            "rate": report.decisions_per_second,
            "looks": list(report.views_run),
            "bounds": list(BOUNDS),
            "decision_times": times,
            "frame_ages": ages,
            "age": asdict(report.frame_age) if report.frame_age else None,
            "decision": entry(newest[1]) if newest else None,
        }
