"""Captures that OpenCV opens: devices, video files, network streams and GStreamer pipelines."""

from __future__ import annotations

import logging
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
from allweather.runtimes.system.leftovers import temporary_folder
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image

logger = logging.getLogger(__name__)

STREAM_TIMEOUT_SECONDS = 5.0  # to open a stream, and between two of its frames; cv2's own limit is 30 s
SILENT = 0  # level of OpenCV's own log
APPSINK = "`videoconvert ! video/x-raw,format=BGR ! appsink`"  # how a GStreamer pipeline must end
MOTION_JPEG_CURE = (  # FFMPEG refuses one that does not begin with a boundary, as that of some ESP32 cameras
    "; motion JPEG that only a browser shows is read with the environment variable "
    "OPENCV_FFMPEG_CAPTURE_OPTIONS='input_format;mjpeg'"
)
MIN_FPS = 0.01  # a damaged file may state a frame in a hundred years, for which playing it live would wait
MAX_FPS = 1000.0  # a stream that does not know its frame rate may state its time base instead, often 90000
MIN_SHARE_READ = 0.95  # of the number of frames that a file states; in some formats it is an estimate
_log_level_lock = threading.Lock()
_log_levels: list[int] = []  # the original level, and one entry for each thread that keeps the log silent


class OpenCvCapture:
    """Frames of a `cv2.VideoCapture`, converted to RGB.

    Attributes:
        fps: Frames per second as stated by the source; None if it states none, or an impossible one.
        endless: Whether the source has no regular end, as a device has none.
    """

    def __init__(self, video: cv2.VideoCapture, name: str, *, stored: bool = False, endless: bool = False) -> None:
        """Takes over an opened capture.

        Args:
            video: The capture; it is released by `close`.
            name: Name of the source for messages and logs, without passwords.
            stored: Whether it is a file, which states its number of frames.
            endless: Whether the source has no regular end.
        """
        self.endless = endless
        fps = float(video.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if MIN_FPS <= fps <= MAX_FPS else None
        self._video = video
        self._name = name
        self._stored = stored
        self._grabbed = 0

    def grab(self) -> bool:
        """Waits for the next frame; returns False when there are no more frames.

        Raises:
            CameraError: A file has no readable frame at all.
        """
        if self._video.grab():
            self._grabbed += 1
            return True
        if self._stored:
            self._check_frame_count()
        return False

    def retrieve(self) -> Image | None:
        """Decodes the grabbed frame: uint8 [H, W, 3] RGB, or None if it is damaged.

        Raises:
            CameraError: The source does not give 8 bits per channel, or neither 1, 3 nor 4 channels.
        """
        try:
            decoded, image = self._video.retrieve()
        except cv2.error:  # a Motion JPEG frame truncated on the cable
            return None
        if not decoded or image is None or not image.size:
            return None
        if image.dtype != np.uint8:
            raise CameraError(f"{self._name} gives {image.dtype} pixels; set it to 8 bits per channel")
        channels = image.shape[2] if image.ndim == 3 else 1
        conversion = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
        if conversion is None:
            raise CameraError(f"{self._name} gives pixels of {channels} channels; end the pipeline in {APPSINK}")
        return np.asarray(cv2.cvtColor(image, conversion), np.uint8)

    def close(self) -> None:
        """Releases the source."""
        self._video.release()

    def _check_frame_count(self) -> None:
        """Reports a damaged file, which ends early without an error: cv2 only says that there is no next frame."""
        if not self._grabbed:
            raise CameraError(f"the video {self._name} holds no readable frame; it is damaged, copy it again")
        stated = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        if self._grabbed < MIN_SHARE_READ * stated:
            logger.warning(
                "the video %s ended after %d of about %d frames; it may be damaged: copy it again",
                self._name, self._grabbed, int(stated),
            )  # fmt: skip


def open_device(source: str) -> OpenCvCapture:
    """Opens a camera of this machine, by index ("0") or by path ("/dev/video0").

    Raises:
        CameraError: The device does not exist, may not be used by this user, or is in use.
    """
    linux = sys.platform.startswith("linux")
    path = Path(f"/dev/video{int(source)}") if source.isdecimal() and linux else Path(source)
    if linux:
        if not path.exists():
            devices = ", ".join(sorted(str(other) for other in Path("/dev").glob("video*"))) or "none"
            raise CameraError(f"there is no camera {path}; plug it in, or name one of the devices found: {devices}")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraError(f"no permission to use the camera {path}; add your user to the group `video`")
        with opencv_log_silenced():
            video = _open_capture(str(path), cv2.CAP_V4L2 if _has(cv2.CAP_V4L2) else cv2.CAP_ANY)
    else:
        with opencv_log_silenced():
            video = _open_capture(int(source) if source.isdecimal() else source, cv2.CAP_ANY)
    if video is None:
        raise CameraError(f"the camera {path} cannot be opened; check that it is one and that no other program uses it")
    return OpenCvCapture(video, str(path), endless=True)


def open_video(path: Path | str) -> OpenCvCapture:
    """Opens a video file.

    Raises:
        CameraError: It may not be read, is not a video, or has a format that the installed cv2 does not read.
    """
    path = as_path(path)
    if not os.access(path, os.R_OK):
        raise CameraError(f"no permission to read {path}; change its mode or its owner")
    with opencv_log_silenced(), name_for_opencv(path) as name:
        video = _open_capture(name, cv2.CAP_FFMPEG if _has(cv2.CAP_FFMPEG) else cv2.CAP_ANY)
    if video is None:
        raise CameraError(f"{path} is not a video that OpenCV can read; copy it again, or convert it to mp4")
    return OpenCvCapture(video, str(path), stored=True)


@contextmanager
def name_for_opencv(path: Path) -> Iterator[str]:
    """Yields a name of a file that OpenCV and FFMPEG open as that file, whatever it is called.

    FFMPEG takes a relative name with a colon for a protocol ("12:30.mp4"), so that the name is absolute. cv2 crashes
    on a name that is not UTF-8, which is therefore given as a link in a temporary folder.

    Args:
        path: The file, whose folder exists.
    """
    absolute = str(path.absolute())
    if _is_utf8(absolute):
        yield absolute
        return
    with temporary_folder() as folder:
        link = folder / f"video{path.suffix if _is_utf8(path.suffix) else ''}"
        link.symlink_to(absolute)
        yield str(link)


def check_ffmpeg(name: str) -> None:
    """Checks that the installed cv2 can read network streams.

    Args:
        name: Name of the stream, without passwords.

    Raises:
        DependencyError: cv2 is built without FFMPEG.
    """
    if not _has(cv2.CAP_FFMPEG):
        raise DependencyError(
            f"cannot open {name}: this cv2 is built without FFMPEG; "
            "name a GStreamer pipeline (rtspsrc ! ...), or pip install opencv-python-headless"
        )


def check_gstreamer(name: str) -> None:
    """Checks that the installed cv2 can run GStreamer pipelines.

    Args:
        name: The pipeline, without passwords.

    Raises:
        DependencyError: cv2 is built without GStreamer.
    """
    if not _has(cv2.CAP_GSTREAMER):
        raise DependencyError(
            f"cannot open {name}: this cv2 is built without GStreamer, as all wheels from PyPI are; "
            "pip uninstall opencv-python opencv-python-headless and use the system's cv2 "
            "(on Jetson and Debian: apt install python3-opencv)"
        )


def open_stream(url: str, name: str, timeout: float = STREAM_TIMEOUT_SECONDS) -> OpenCvCapture:
    """Opens a network stream, with limits on how long it may take to respond.

    Args:
        url: A rtsp, rtsps, http, https or udp URL.
        name: The URL without passwords, for messages.
        timeout: Limit in seconds. FFMPEG applies it twice: to connecting, and to finding the format.

    Raises:
        CameraError: There is no response in time, or the response is not a video.
    """
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * timeout),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * STREAM_TIMEOUT_SECONDS),
    ]  # fmt: skip
    with opencv_log_silenced():
        video = _open_capture(url, cv2.CAP_FFMPEG, limits)
    if video is None:
        raise CameraError(
            f"no video from {name}; check the address, the password and that the camera is on, or its stream is of a "
            f"kind that FFMPEG does not read: try it with ffplay{MOTION_JPEG_CURE if url[:4].lower() == 'http' else ''}"
        )
    # An http URL may name a video file, which has an end and states its length; all others are cameras.
    return OpenCvCapture(video, name, endless=not video.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def open_pipeline(pipeline: str, name: str) -> OpenCvCapture:
    """Opens a GStreamer pipeline that ends in an appsink.

    Args:
        pipeline: The pipeline as for gst-launch-1.0.
        name: The pipeline without passwords, for messages.

    Raises:
        CameraError: GStreamer cannot run the pipeline.
    """
    with opencv_log_silenced():
        video = _open_capture(pipeline, cv2.CAP_GSTREAMER)
    if video is None:
        raise CameraError(f"GStreamer cannot run {name}; try it with gst-launch-1.0, and end it in {APPSINK}")
    return OpenCvCapture(video, name, endless="filesrc" not in pipeline and "num-buffers" not in pipeline)


@contextmanager
def opencv_log_silenced() -> Iterator[None]:
    """Keeps OpenCV's own log from stderr, as a `CameraError` reports the same faults once and more clearly.

    The log level belongs to the whole process, so the last of the threads in such a block restores it. FFMPEG's own
    lines ("moov atom not found") do not pass through this log; only the environment variable OPENCV_FFMPEG_LOGLEVEL=-8
    silences them, and as it is read once in a process, setting it is left to the program.
    """
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the two functions in its top module
    if not hasattr(log, "setLogLevel") or not hasattr(log, "getLogLevel"):
        yield
        return
    with _log_level_lock:
        if not _log_levels:
            _log_levels.append(log.getLogLevel())
            log.setLogLevel(SILENT)
        _log_levels.append(SILENT)
    try:
        yield
    finally:
        with _log_level_lock:
            _log_levels.pop()
            if len(_log_levels) == 1:
                log.setLogLevel(_log_levels.pop())


def _open_capture(source: str | int, backend: int, settings: Sequence[int] = ()) -> cv2.VideoCapture | None:
    """Returns the opened capture, or None: cv2 raises an exception for some faults, and nothing for most."""
    try:
        video = cv2.VideoCapture(source, backend, settings) if settings else cv2.VideoCapture(source, backend)
    except cv2.error:
        return None
    if video.isOpened():
        return video
    video.release()
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has(backend: int) -> bool:
    """Returns whether this build of cv2 has a certain video backend."""
    return bool(cv2.videoio_registry.hasBackend(backend))
