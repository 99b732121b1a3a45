"""Runs a slow detector on every tenth frame, and OpenCV's tracker between: python track.py BUNDLE SOURCE.

The detector here finds whatever differs from the usual picture; put yours in its place. A box keeps its number while it
is tracked, so that decisions of one object can be told from those of another.
"""

import itertools
import sys
from types import SimpleNamespace

import cv2
import numpy as np

import allweather

EVERY, MOST = 10, 3  # frames between detections, and boxes: the tracker takes some 20 ms for each
LEAST_AREA = 100  # of an object in pixels


class TrackedDetector:
    """Detects on every tenth frame, and tracks the boxes on the others."""

    def __init__(self) -> None:
        self.background = cv2.createBackgroundSubtractorMOG2(history=100, detectShadows=False)
        self.numbers, self.frames = itertools.count(), itertools.count()
        self.trackers: dict[int, cv2.TrackerMIL] = {}

    def __call__(self, image: np.ndarray) -> SimpleNamespace:
        """Returns boxes with the numbers of their tracks."""
        changed = self.background.apply(image)
        found: dict[int, tuple[int, int, int, int]] = {}  # left, top, width, height
        if next(self.frames) % EVERY:
            for number, tracker in self.trackers.items():
                visible, box = tracker.update(image)
                if visible:
                    found[number] = box
        else:
            boxes = [cv2.boundingRect(each) for each in cv2.findContours(changed, cv2.RETR_EXTERNAL, 2)[0]]
            sizes = [(width * height, (left, top, width, height)) for left, top, width, height in boxes]
            small = [(area, box) for area, box in sizes if LEAST_AREA <= area <= image.shape[0] * image.shape[1] / 2]
            self.trackers = {}
            for _, box in sorted(small, reverse=True)[:MOST]:  # the whole frame changes with the light, or at the start
                tracker, number = cv2.TrackerMIL.create(), next(self.numbers)
                tracker.init(image, box)
                self.trackers[number], found[number] = tracker, box
        edges = [(left, top, left + width, top + height) for left, top, width, height in found.values()]
        return SimpleNamespace(xyxy=np.reshape(edges, (-1, 4)), tracker_id=list(found))


if len(sys.argv) != 3:
    sys.exit("usage: python track.py BUNDLE SOURCE")
with allweather.load(sys.argv[1], budget_ms=200, max_boxes=MOST) as perceiver:
    for decision in allweather.watch(sys.argv[2], perceiver, detector=TrackedDetector()):
        print(f"{decision.index:6d}  object {decision.track:3d}  {decision.label:20s} {decision.confidence:.0%}")
