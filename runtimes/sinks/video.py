"""A sink that records frames and decisions as a video."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from allweather.runtimes.cameras.opencv import MAX_FPS, MIN_FPS, name_for_opencv, opencv_log_silenced
from allweather.runtimes.errors import OutputError, UsageError, map_write_errors
from allweather.runtimes.setting_types import is_real
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.system.atomic_files import atomic_file, check_file
from allweather.runtimes.system.output_lock import output_lock
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Decision, Frame, Image

logger = logging.getLogger(__name__)

PROBE_BYTES = 4096  # written where the encoder does not start: a disk that takes no more is full
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}  # those that the cv2 wheels can encode
LEAST_FPS = {".webm": 1.0}  # a slower one gets a header that nothing can read; the others take a frame in 100 seconds
MIN_SIDE = 16  # pixels, a block of the encoders: of fewer, some give nothing, and MJPG ends the program


class VideoSink(Sink):
    """Writes a video of the frames with their decisions drawn on them.

    The video appears under its name when the loop ends. If an error or Ctrl-C ends it, the video holds the frames up to
    that moment. It has the size of the first frame, rounded down to even numbers of pixels, as video formats require.
    Frames of another size are resized to it.
    """

    def __init__(
        self,
        path: Path | str,
        fps: float | Callable[[], float],
        draw: Callable[[Frame, Sequence[Decision]], Image] = lambda frame, decisions: annotate(frame.image, decisions),
    ) -> None:
        """Creates no file yet.

        Args:
            path: The file, .mp4, .avi or .webm; its folder is created if missing.
            fps: Frames per second at which the video plays, 0.01 to 1000, of .webm at least 1. Or a function that
                returns them and is called at the first frame, as a camera may not know its frame rate earlier.
            draw: Makes an image of the video, uint8 [H, W, 3], RGB, of a frame and its decisions.

        Raises:
            UsageError: The suffix or the frame rate is not supported.
        """
        path = as_path(path)
        check_video_suffix(path)
        self._path, self._draw = path, draw
        self._fps = fps if callable(fps) else _check_fps(fps, path)
        self._lock, self._cleanup = ExitStack(), ExitStack()
        self._temporary_path = path
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # width, height
        self._frames_written = 0

    def open(self) -> None:
        """Checks that the file can be written, which otherwise the first frame would tell.

        Raises:
            OutputError: It cannot, or another program writes it.
        """
        check_file(self._path)
        self._frames_written = 0
        self._lock.enter_context(output_lock(self._path))  # else the video that is finished first would be lost

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Draws and encodes one frame.

        Raises:
            OutputError: The path cannot be written to, or the installed cv2 cannot encode the format.
        """
        image = self._draw(frame, decisions)
        if self._writer is None:
            self._writer = self._start_writer(width=image.shape[1], height=image.shape[0])
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        with opencv_log_silenced():  # a full disk is reported once, by close, and not for each frame
            self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._frames_written += 1

    def close(self) -> None:
        """Finishes the video, checks that it can be read, and gives it its name.

        Raises:
            OutputError: The video is incomplete. This is how a full disk shows, as cv2 does not report it.
        """
        with self._lock:
            if self._writer is None:
                logger.warning("nothing was recorded: %s was not written", self._path)
                return
            writer, self._writer = self._writer, None
            with self._cleanup:  # gives the file its name, or removes it after an error
                writer.release()
                self._check_video()

    def _start_writer(self, *, width: int, height: int) -> cv2.VideoWriter:
        """Opens the encoder on a temporary file beside the final one."""
        fps = _check_fps(self._fps(), self._path) if callable(self._fps) else self._fps
        self._size = (max(MIN_SIDE, width - width % 2), max(MIN_SIDE, height - height % 2))
        with ExitStack() as stack:
            self._temporary_path = stack.enter_context(atomic_file(self._path))
            codec = CODECS[self._path.suffix.lower()]
            name = stack.enter_context(name_for_opencv(self._temporary_path))
            with opencv_log_silenced():
                writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*codec), fps, self._size)
            if not writer.isOpened():
                with map_write_errors(self._path):  # a full disk is told as one
                    self._temporary_path.write_bytes(bytes(PROBE_BYTES))
                raise OutputError(
                    f"cannot write {self._path}: this cv2 cannot encode {codec} at {self._size[0]} x "
                    f"{self._size[1]} pixels; try another of {', '.join(CODECS)}"
                )
            self._cleanup = stack.pop_all()
        return writer

    def _check_video(self) -> None:
        with opencv_log_silenced(), name_for_opencv(self._temporary_path) as name:
            video = cv2.VideoCapture(name)
            readable = video.isOpened() and video.grab()
            stated = video.get(cv2.CAP_PROP_FRAME_COUNT)
            video.release()
        # Some formats compute the number of frames from the duration, and round it.
        if not readable or stated < self._frames_written - 1:
            raise OutputError(
                f"cannot write {self._path}: it holds {int(stated) if readable else 0} of {self._frames_written} "
                "frames; the disk may be full, free some space or choose another path"
            )


def check_video_suffix(path: Path) -> None:
    """Checks that a video can be written to a path.

    Raises:
        UsageError: It has another suffix.
    """
    if path.suffix.lower() not in CODECS:
        raise UsageError(f"a video is written as {', '.join(CODECS)}; got {path.name!r}")


def _check_fps(fps: float | None, path: Path) -> float:
    least = LEAST_FPS.get(path.suffix.lower(), MIN_FPS)
    if fps is not None and is_real(fps) and least <= fps <= MAX_FPS:
        return float(fps)
    cure = ""
    if fps is None:
        cure = ": a camera may not know its own, write camera.fps or 25"
    elif is_real(fps) and MIN_FPS <= fps < least:
        cure = f": name a .mp4 or .avi file, which take {MIN_FPS:g} and more"
    raise UsageError(
        f"a {path.suffix.lower()} video has {least:g} to {MAX_FPS:.0f} frames per second; got {fps!r:.40}{cure}"
    )
