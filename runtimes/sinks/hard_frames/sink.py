"""`HardFramesSink`: saves frames that were hard to decide on, for people to label."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.setting_types import check_text, is_number
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.hard_frames.folder import FrameFolder, image_name
from allweather.runtimes.sinks.outbox import Outbox
from allweather.runtimes.sinks.record import decision_record, finite_or_none
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json
from allweather.runtimes.types import Decision, Frame, Image

logger = logging.getLogger(__name__)

MEGABYTE = 10**6
MAX_CONFIDENCE = 0.6
MAX_AGREEMENT = 0.5
MIN_SECONDS = 10.0
MAX_FOLDER_MB = 500.0
JPEG_QUALITY = 95
MAX_WAITING = 4  # images that a slow disk has not taken yet
CLOSE_SECONDS = 10.0
SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


@dataclass(frozen=True)
class _Hard:
    """What is saved of a frame."""

    image: Image
    decision: Decision
    file: str
    time: float


class HardFramesSink(Sink):
    """Saves what was decided on where the confidence is low or views disagree, with the decision as JSON beside it.

    With temporal smoothing, the confidence of the frame alone counts: that of an object is low whenever it changes. Of
    several hard objects of a frame the least certain is saved. A frame is saved when some seconds have passed since
    the last one, so that a bad hour does not fill the folder, and the oldest ones are removed when the folder is full.
    Names begin with the time, and have camera, label and confidence. Images are compressed and written by a thread of
    its own, and those that a slow disk does not take are left out.

    Args:
        folder: The folder, which is created if missing. Several cameras may share it. Files of others in it stay.
        source: Name of the camera, without passwords.
        max_confidence: A decision with this confidence or less is hard, 0..1; 1 saves any.
        max_agreement: A decision with which this share of its views or less agree is hard, 0..1; 0 looks at confidence
            alone. A single view agrees with itself.
        min_seconds: Seconds between two images at least.
        max_folder_mb: Megabytes of all images in the folder at most.
        image_format: "png", as the camera gave it, or "jpeg", a tenth of the size.
        clock: Returns monotonic seconds.
        wall_clock: Returns seconds since 1970, UTC.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        source: str = "camera",
        max_confidence: float = MAX_CONFIDENCE,
        max_agreement: float = MAX_AGREEMENT,
        min_seconds: float = MIN_SECONDS,
        max_folder_mb: float = MAX_FOLDER_MB,
        image_format: Literal["png", "jpeg"] = "png",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.

        Raises:
            UsageError: A number is out of range, or the format is unknown.
        """
        for name, share in (("max_confidence", max_confidence), ("max_agreement", max_agreement)):
            if not is_number(share) or not 0 <= share <= 1:
                raise UsageError(f"{name} is a number from 0 to 1; got {share!r:.40}")
        if not is_number(min_seconds) or not 0 <= min_seconds < math.inf:
            raise UsageError(f"min_seconds is a number of seconds, at least 0; got {min_seconds!r:.40}")
        if not is_number(max_folder_mb) or not 0 < max_folder_mb * MEGABYTE < math.inf:
            raise UsageError(f"max_folder_mb is a number of megabytes above 0; got {max_folder_mb!r:.40}")
        if not isinstance(image_format, str) or image_format not in SUFFIXES:
            raise UsageError(f"image_format is {' or '.join(SUFFIXES)}; got {image_format!r:.40}")
        check_text("source of hard frames", source)
        self._path = as_path(folder, "a folder")
        self._folder = FrameFolder(self._path, round(max_folder_mb * MEGABYTE))
        self._source, self._suffix = source, SUFFIXES[image_format]
        self._max_confidence, self._max_agreement, self._min_seconds = max_confidence, max_agreement, min_seconds
        self._clock, self._wall_clock = clock, wall_clock
        self._last = -math.inf  # when an image was taken last, in monotonic seconds
        self._failing, self._fault = False, ""  # whether the last image could not be written; why one could not
        self._outbox: Outbox[_Hard] = Outbox(str(self._path), self._save, max_waiting=MAX_WAITING)

    def open(self) -> None:
        """Makes the folder if it is missing.

        Raises:
            OutputError: No file can be written there.
        """
        self._folder.open()
        self._failing, self._fault = False, ""
        self._outbox.start()

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Takes the least certain of the decisions, if it is hard and some seconds have passed since the last one."""
        now = self._clock()
        if now < self._last + self._min_seconds:
            return
        hard = [each for each in decisions if self._is_hard(each)]
        if not hard:
            return
        self._last, hardest = now, min(hard, key=_own_confidence)
        image = frame.image if hardest.region is None else hardest.region.crop(frame.image)
        self._outbox.put(_Hard(image, hardest, frame.file, self._wall_clock()))

    def _is_hard(self, decision: Decision) -> bool:
        if decision.reason == "undecided":  # nothing is known
            return False
        is_sure = _own_confidence(decision) > self._max_confidence  # nan is not
        return not is_sure or decision.agreement <= self._max_agreement

    def close(self) -> None:
        """Writes what waits.

        Raises:
            OutputError: Some images could not be written.
        """
        if lost := self._outbox.close(CLOSE_SECONDS):
            cause = self._fault or self._outbox.failure or "they came faster than they could be written"
            raise OutputError(f"{lost} hard frames are missing in {self._path}: {cause}")

    def _save(self, batch: Sequence[_Hard]) -> int:
        (hard,) = batch
        decision = hard.decision
        options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY) if self._suffix == ".jpg" else ()
        _, data = cv2.imencode(self._suffix, cv2.cvtColor(hard.image, cv2.COLOR_RGB2BGR), options)
        notes = {
            "time": round(hard.time, 3), "source": self._source, "file": hard.file, **decision_record(decision),
            "probabilities": [finite_or_none(each) for each in decision.probabilities],
        }  # fmt: skip
        label = decision.label if decision.stable is None else decision.frame_label
        name = image_name(hard.time, self._source, label, float(_own_confidence(decision)))
        try:
            self._folder.save(name, self._suffix, data.tobytes(), to_json(notes))
        except OutputError as error:
            if not self._failing:  # logged once, however many images follow
                logger.error("%s; hard frames are left out until then", error)
            self._failing, self._fault = True, str(error)
            return 1
        self._failing = False
        return 0


def _own_confidence(decision: Decision) -> float:
    """Returns the confidence of the frame alone, which temporal smoothing leaves beside that of the object."""
    return decision.confidence if decision.stable is None else decision.frame_confidence
