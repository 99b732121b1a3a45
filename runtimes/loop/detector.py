"""`ObjectDetector`: finds the objects of a frame by a function of the user's, as a stage of the frame's budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import DetectorError, StalledError, UsageError, first_line
from allweather.runtimes.loop.deciders import FoundObject
from allweather.runtimes.perceiver.boxes import visible_regions
from allweather.runtimes.threads import TimedOutError, Worker
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.types import Decision, Frame, Image

logger = logging.getLogger(__name__)

Detector: TypeAlias = Callable[[Image], Any]
"""A function from an image, uint8 [H, W, 3] RGB, to the boxes of its objects.

It gets the image read-only, as it is decided on next: draw on a copy. It returns int or float [n, 4] in pixels (left,
top, right and bottom edge; n may be 0), or an object that has them as `xyxy`, as the detections of supervision and the
boxes of Ultralytics do. Of such an object, `confidence` or `conf` [n] puts the most certain boxes first, and
`tracker_id` or `id` [n], whole numbers of 64 bits, tells which object of other frames each one is.
"""

FIRST_CALL_SECONDS = 120.0  # limit of the first call, which may load or compile a model
CALL_SECONDS = 5.0  # limit of any other call: a detector that is slow on purpose is faster, one that hangs never ends
MAX_TRACK = 2**63 - 1  # that a table can hold
MAX_HANGS = 3  # in a row; each leaves a thread behind


class ObjectDetector:
    """Runs a detector in a thread of its own, measures it, and limits its time.

    Args:
        function: The detector.
        clock: Returns monotonic seconds.
    """

    def __init__(self, function: Detector, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._function, self._clock = function, clock
        self._latency = LatencyModel()
        self._limit, self._hangs, self._told = FIRST_CALL_SECONDS, 0, False
        self._worker: Worker[Image, Any] | None = None  # the thread is started by the first call

    def as_if_detected(self, frame: Frame) -> Frame:
        """Returns the frame as if it were older by the time that the detector takes."""
        return replace(frame, captured=frame.captured - self._latency.seconds(1))

    def find(self, frame: Frame) -> tuple[tuple[FoundObject, ...], float]:
        """Finds the objects of a frame.

        Args:
            frame: The frame.

        Returns:
            The objects, the most certain first if the detector says how certain it is; and the seconds that it took.
            Boxes that cover nothing of the frame are left out.

        Raises:
            DetectorError: The detector failed, took too long, or returned something else than boxes.
            StalledError: It has hung again and again.
        """
        started = self._clock()
        found = self._call(frame.image)
        seconds = self._clock() - started
        self._latency.add(1, seconds)
        try:
            objects, outside = found_objects(found, *frame.image.shape[:2])
        except UsageError as error:
            raise DetectorError(f"the detector must return boxes: {error}") from error
        except Exception as error:  # what the user's function returned may raise anything, too
            failure = f"{type(error).__name__}: {first_line(error)}"
            raise DetectorError(f"the detector must return boxes; reading them failed with {failure}") from error
        if outside and not self._told:
            self._told = True
            logger.warning("the detector gave %d boxes that cover nothing of the frame; such are left out", outside)
        return objects, seconds

    def close(self) -> None:
        """Ends the thread; one that hangs is left behind."""
        if self._worker:
            self._worker.close()
            self._worker = None

    def _call(self, image: Image) -> Any:
        self._worker = self._worker or Worker(self._started, "detector")
        shown = image.view()
        shown.flags.writeable = False  # what it draws would be decided on
        try:
            found = self._worker.call(shown, self._limit)
        except TimedOutError:
            self._worker = None
            self._hangs += 1
            message = f"the detector has not finished within {self._limit:.0f} s"
            if self._hangs == MAX_HANGS:
                raise StalledError(f"{message}, {MAX_HANGS} times in a row; start the program again") from None
            raise DetectorError(message) from None
        except Exception as error:  # a function of the user's may raise anything
            cure = "; its image is read-only, so draw on image.copy()" if _is_of_writing(error) else ""
            raise DetectorError(
                f"the detector failed with {type(error).__name__}: {first_line(error)}{cure}"
            ) from error
        self._limit, self._hangs = CALL_SECONDS, 0
        return found

    @contextmanager
    def _started(self) -> Iterator[Detector]:
        yield self._function


def _is_of_writing(error: Exception) -> bool:
    """Tells whether NumPy or OpenCV refuse to write into an image that is read-only."""
    return any(words in str(error) for words in ("read-only", "readonly", "incompatible with cv::Mat"))


def found_objects(found: Any, height: int, width: int) -> tuple[tuple[FoundObject, ...], int]:
    """Returns what a detector has found in a frame, and the number of boxes that cover nothing of it.

    Args:
        found: What the detector returned; see `Detector`.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.

    Raises:
        UsageError: These are no boxes, or there are not as many confidences or numbers of tracks as boxes.
    """
    boxes = getattr(found, "xyxy", found)
    regions = visible_regions(boxes, height, width)
    count = len(regions)
    confidences, tracks = _column(found, ("confidence", "conf"), count), _tracks(found, count)
    order: Sequence[int] = range(count)
    if confidences is not None:
        order = np.argsort(-confidences, kind="stable").tolist()
    objects = tuple(
        FoundObject(region, track=None if tracks is None else tracks[index])
        for index in order
        if (region := regions[index]) is not None
    )
    return objects, count - len(objects)


def with_detect_time(decisions: Sequence[Decision], seconds: float) -> tuple[Decision, ...]:
    """Returns the decisions on the objects of a frame with their shares of the detector's time."""
    return tuple(
        replace(decision, times=replace(decision.times, detect=seconds / len(decisions))) for decision in decisions
    )


def _tracks(found: Any, count: int) -> list[int] | None:
    """Returns the number of the track of each box; None if the detector gives none.

    Raises:
        UsageError: They are no whole numbers of 64 bits: rounded, two objects would become one.
    """
    names = ("tracker_id", "id")
    column = _column(found, names, count)
    if column is None:
        return None
    # from the values themselves, as a float holds no more than 53 bits of a whole number
    values = np.asarray(next(each for name in names if (each := getattr(found, name, None)) is not None))
    tracks = [int(value) for value in values.tolist()]
    for track, value in zip(tracks, values.tolist(), strict=True):
        if not (track == float(value) if isinstance(value, str) else track == value) or abs(track) > MAX_TRACK:
            raise UsageError(f"{names[0]} is a whole number of 64 bits for each box; got {value!r:.40}")
    return tracks


def _column(found: Any, names: Sequence[str], count: int) -> npt.NDArray[np.float64] | None:
    """Returns the first of some attributes that is there, float64 [n], with a value for each box; None without one."""
    for name in names:
        values = getattr(found, name, None)
        if values is None:
            continue
        try:
            column = np.asarray(values, np.float64)
        except (TypeError, ValueError, RuntimeError) as error:  # such as a tensor on a GPU, or None among numbers
            raise UsageError(f"{name} is a number for each box; got {type(values).__name__}: {error}") from None
        if column.shape != (count,):
            raise UsageError(f"{name} is a number for each box, of shape [{count}]; got {list(column.shape)}")
        if not np.isfinite(column).all():
            raise UsageError(f"{name} is a finite number for each box; got {column[~np.isfinite(column)][0]:g}")
        return column
    return None
