"""What OpenCV opens: devices, video files, network streams and GStreamer pipelines."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from allweather.runtimes.errors import CameraError, DependencyError
from allweather.runtimes.types import Image

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0  # to open a stream, and between two of its frames; cv2 waits 30 s by itself
SILENT = 0  # level of OpenCV's own log
_quieting = threading.Lock()
_levels: list[int] = []  # what it was, and one more for each thread that keeps it quiet
SINK = "`videoconvert ! video/x-raw,format=BGR ! appsink`"  # what a pipeline is to end in
FASTEST = 1000.0  # frames a second; streams that know nothing state their time base, often 90000


class OpenCvCapture:
    """Frames from a `cv2.VideoCapture`, as RGB.

    Attributes:
        fps: frames a second as the source states it; None when it does not.
        endless: whether it has no end, as a device has none.
    """

    def __init__(self, video: cv2.VideoCapture, name: str, *, stored: bool = False, endless: bool = False) -> None:
        """Takes over an opened capture.

        Args:
            video: the capture; it is released by `close`.
            name: what to call it in messages; no passwords.
            stored: whether it is a file, whose frames were counted when it was written.
            endless: whether it has no end.
        """
        self.endless = endless
        fps = float(video.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if math.isfinite(fps) and 0 < fps <= FASTEST else None
        self._video = video
        self._name = name
        self._stored = stored
        self._grabbed = 0

    def grab(self) -> bool:
        """Waits for the next frame; False when there are no more.

        Raises:
            CameraError: a file has not one readable frame.
        """
        if self._video.grab():
            self._grabbed += 1
            return True
        if self._stored:
            self._explain_the_end()
        return False

    def retrieve(self) -> Image | None:
        """The frame as uint8 [H, W, 3] RGB; None when it is damaged.

        Raises:
            CameraError: the source gives pixels that are not 8 bits deep, or neither gray nor colored.
        """
        try:
            fine, image = self._video.retrieve()
        except cv2.error:  # a Motion JPEG frame cut off by the cable
            return None
        if not fine or image is None or not image.size:
            return None
        if image.dtype != np.uint8:
            raise CameraError(f"{self._name} gives {image.dtype} pixels; set it to 8 bits a channel")
        channels = image.shape[2] if image.ndim == 3 else 1
        how = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
        if how is None:
            raise CameraError(f"{self._name} gives pixels of {channels} channels; end the pipeline in {SINK}")
        return np.asarray(cv2.cvtColor(image, how), np.uint8)

    def close(self) -> None:
        """Releases the source."""
        self._video.release()

    def _explain_the_end(self) -> None:
        """A damaged file ends early without a word: cv2 only says that there is no next frame."""
        if not self._grabbed:
            raise CameraError(f"the video {self._name} holds no readable frame; it is damaged, copy it again")
        promised = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        if self._grabbed < 0.95 * promised:  # some formats only estimate the number
            logger.warning(
                "the video %s ended after %d of about %d frames; it may be damaged",
                self._name, self._grabbed, int(promised),
            )  # fmt: skip


def open_device(source: str) -> OpenCvCapture:
    """Opens a camera of this machine, by number ("0") or by path ("/dev/video0").

    Raises:
        CameraError: it is not there, may not be used, or is in use.
    """
    linux = sys.platform.startswith("linux")
    path = Path(f"/dev/video{int(source)}") if source.isdecimal() and linux else Path(source)
    if linux:
        if not path.exists():
            there = ", ".join(sorted(str(other) for other in Path("/dev").glob("video*"))) or "none"
            raise CameraError(f"there is no camera {path}; plug it in, or name one of those there: {there}")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraError(f"no permission to use the camera {path}; add your user to the group `video`")
        with quiet():
            video = _try(str(path), cv2.CAP_V4L2 if _has(cv2.CAP_V4L2) else cv2.CAP_ANY)
    else:
        with quiet():
            video = _try(int(source) if source.isdecimal() else source, cv2.CAP_ANY)
    if video is None:
        raise CameraError(f"the camera {path} cannot be opened; see that no other program uses it, and that it is one")
    return OpenCvCapture(video, str(path), endless=True)


def open_video(path: Path) -> OpenCvCapture:
    """Opens a video file.

    Raises:
        CameraError: it is no video, or of a format that this cv2 does not read.
    """
    if not os.access(path, os.R_OK):
        raise CameraError(f"no permission to read {path}; change its mode or its owner")
    with quiet():
        video = _try(str(path), cv2.CAP_FFMPEG if _has(cv2.CAP_FFMPEG) else cv2.CAP_ANY)
    if video is None:
        raise CameraError(f"{path} is no video that OpenCV can read; is it whole? else convert it to mp4")
    return OpenCvCapture(video, str(path), stored=True)


def need_ffmpeg(name: str) -> None:
    """Refuses a stream that this cv2 will never read.

    Args:
        name: of the stream, without passwords.

    Raises:
        DependencyError: it is built without FFMPEG.
    """
    if not _has(cv2.CAP_FFMPEG):
        raise DependencyError(
            f"cannot open {name}: this cv2 is built without FFMPEG; "
            "name a GStreamer pipeline (rtspsrc ! ...), or pip install opencv-python-headless"
        )


def need_gstreamer(name: str) -> None:
    """Refuses a pipeline that this cv2 will never run.

    Args:
        name: the pipeline, without passwords.

    Raises:
        DependencyError: it is built without GStreamer.
    """
    if not _has(cv2.CAP_GSTREAMER):
        raise DependencyError(
            f"cannot open {name}: this cv2 is built without GStreamer, as all wheels from the index are; "
            "pip uninstall opencv-python opencv-python-headless and use the system's cv2 "
            "(on Jetson and Debian: apt install python3-opencv)"
        )


def open_stream(url: str, name: str, seconds: float = TIMEOUT_SECONDS) -> OpenCvCapture:
    """Opens a network stream, with limits on how long it may take to answer.

    Args:
        url: rtsp, rtsps, http, https or udp.
        name: the same without passwords, for messages.
        seconds: that it may take to open; FFMPEG gives them once to connect, and again to find the format.

    Raises:
        CameraError: nobody answers, or what answers is no video.
    """
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * seconds),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * TIMEOUT_SECONDS),
    ]  # fmt: skip
    with quiet():
        video = _try(url, cv2.CAP_FFMPEG, limits)
    if video is None:
        raise CameraError(f"no video from {name}; check the address, the password and that the camera is on")
    # What comes over http may be a film, which ends and knows its length; the others are cameras.
    return OpenCvCapture(video, name, endless=not video.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def open_pipeline(pipeline: str, name: str) -> OpenCvCapture:
    """Opens a GStreamer pipeline that ends in an appsink.

    Args:
        pipeline: as for gst-launch-1.0.
        name: the same without passwords, for messages.

    Raises:
        CameraError: GStreamer refuses the pipeline.
    """
    with quiet():
        video = _try(pipeline, cv2.CAP_GSTREAMER)
    if video is None:
        raise CameraError(f"GStreamer cannot run {name}; try it with gst-launch-1.0, and end it in {SINK}")
    return OpenCvCapture(video, name, endless="filesrc" not in pipeline and "num-buffers" not in pipeline)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps OpenCV's own log from stderr: what it warns of here is said by a `CameraError`, once and better.

    The level belongs to the whole process, so the last of the threads in here puts it back. FFMPEG's own lines
    ("moov atom not found") do not pass through this log; only the environment variable OPENCV_FFMPEG_LOGLEVEL=-8
    silences them, and as it is read once in a process, setting it is left to the program.
    """
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the two functions at its top
    if not hasattr(log, "setLogLevel") or not hasattr(log, "getLogLevel"):
        yield
        return
    with _quieting:
        if not _levels:
            _levels.append(log.getLogLevel())
            log.setLogLevel(SILENT)
        _levels.append(SILENT)
    try:
        yield
    finally:
        with _quieting:
            _levels.pop()
            if len(_levels) == 1:
                log.setLogLevel(_levels.pop())


def _try(source: str | int, backend: int, settings: Sequence[int] = ()) -> cv2.VideoCapture | None:
    """The opened capture, or None: some refusals of cv2 are exceptions, most are silence."""
    try:
        video = cv2.VideoCapture(source, backend, settings) if settings else cv2.VideoCapture(source, backend)
    except cv2.error:
        return None
    if video.isOpened():
        return video
    video.release()
    return None


def _has(backend: int) -> bool:
    """Whether this build of cv2 has a way to read video."""
    return bool(cv2.videoio_registry.hasBackend(backend))
