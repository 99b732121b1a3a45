"""A sink that records what was seen and decided as a video."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from allweather.runtimes.cameras.opencv import FASTEST, quiet
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.types import Decision, Frame

logger = logging.getLogger(__name__)

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}  # those that cv2's wheels can write


class VideoSink(Sink):
    """Writes each frame with its decision drawn on it.

    The video appears under its name when the loop has ended, also by an error or Ctrl-C: then it holds
    what came until then. It has the size of the first frame, less a last odd row or column, which video
    formats do not know; frames of another size are resized to it.
    """

    def __init__(self, path: Path, fps: float | Callable[[], float]) -> None:
        """Touches nothing yet.

        Args:
            path: the file, .mp4, .avi or .webm; its folder is made if missing.
            fps: frames a second at which it will play, > 0; or what tells them when the first frame is there, as a
                camera that had to be waited for does not know its speed before.

        Raises:
            UsageError: the suffix or the speed is none that can be written.
        """
        if path.suffix.lower() not in CODECS:
            raise UsageError(f"a video is written as {', '.join(CODECS)}; got {path.name!r}")
        self._path = path
        self._fps = fps if callable(fps) else _speed(fps)
        self._undo = ExitStack()
        self._beside = path
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # width, height
        self._count = 0

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Draws and encodes one frame.

        Raises:
            OutputError: the place cannot be written to, or this cv2 cannot encode the format.
        """
        image = annotate(frame.image, decision, region)
        if self._writer is None:
            self._writer = self._start(width=image.shape[1], height=image.shape[0])
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        with quiet():  # a full disk is said once, when the video is closed, not for each frame
            self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Finishes the video, looks whether it can be read, and gives it its name.

        Raises:
            OutputError: it cannot be read, as cv2 does not say when the disk is full.
        """
        if self._writer is None:
            logger.warning("nothing was recorded: %s was not written", self._path)
            return
        writer, self._writer = self._writer, None
        with self._undo:  # left by an error, it takes the unfinished file away
            writer.release()
            self._check()

    def _start(self, *, width: int, height: int) -> cv2.VideoWriter:
        """Opens the encoder on a file beside the final one."""
        fps = _speed(self._fps()) if callable(self._fps) else self._fps
        self._size = (max(2, width - width % 2), max(2, height - height % 2))
        with ExitStack() as undo:
            self._beside = undo.enter_context(atomic_file(self._path))
            codec = CODECS[self._path.suffix.lower()]
            with quiet():
                writer = cv2.VideoWriter(str(self._beside), cv2.VideoWriter.fourcc(*codec), fps, self._size)
            if not writer.isOpened():
                raise OutputError(
                    f"cannot write {self._path}: this cv2 cannot encode {codec} at {self._size[0]} x "
                    f"{self._size[1]} pixels; try another of {', '.join(CODECS)}"
                )
            self._undo = undo.pop_all()
        return writer

    def _check(self) -> None:
        with quiet():
            video = cv2.VideoCapture(str(self._beside))
            fine = video.isOpened() and video.grab()
            count = video.get(cv2.CAP_PROP_FRAME_COUNT)
            video.release()
        if not fine or count < self._count - 1:  # some formats count by time, and round
            raise OutputError(
                f"cannot write {self._path}: it holds {int(count) if fine else 0} of {self._count} frames; "
                "the disk may be full, free some space or choose another place"
            )


def _speed(fps: float) -> float:
    if not (math.isfinite(fps) and 0 < fps <= FASTEST):
        raise UsageError(f"a video has more than 0 and at most {FASTEST:.0f} frames a second; got {fps}")
    return fps
