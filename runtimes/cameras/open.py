"""`open_camera` opens a camera by the text that names it; `camera_from` makes one from images."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from allweather.runtimes.cameras.base import Camera, Capture, StoredCamera
from allweather.runtimes.cameras.image_files.names import is_image_name
from allweather.runtimes.cameras.images import FolderCapture, IteratorCapture, image_files
from allweather.runtimes.cameras.live import LiveCamera, check_wait
from allweather.runtimes.cameras.opencv import (
    check_ffmpeg,
    check_gstreamer,
    open_device,
    open_pipeline,
    open_video,
)
from allweather.runtimes.cameras.playback import PacedCapture
from allweather.runtimes.cameras.reconnect import StreamConnector
from allweather.runtimes.cameras.source_text import read_source
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.redaction import redacted
from allweather.runtimes.setting_types import check_text
from allweather.runtimes.text import printable
from allweather.runtimes.types import Image

_INDEX = re.compile(r"[0-9]{1,9}")  # of a camera of this machine
_STREAM = re.compile(r"(rtsps?|https?|udp)://", re.IGNORECASE)
_ONE_SLASH = re.compile(r"(rtsps?|https?|udp):/?(?!/)", re.IGNORECASE)
_NO_HOST = re.compile(r"(rtsps?|https?)://([^/]*@)?(:[0-9]*)?(/|$)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

DEFAULT_FPS = 25.0  # of images, and of a video that does not state its frame rate, when they are played live


def open_camera(
    source: str | int | Path,
    *,
    name: str = "",
    live: bool = False,
    wait_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Camera:
    """Opens a source of frames, to be used in a `with` block or iterated over.

    A thread of the camera connects to a device, stream or pipeline, and does so again whenever it is lost; it is no
    error if it is not available yet (see `Camera.state`). A file or folder has to exist.

    Args:
        source: The index of a device (0 or "0") or its path ("/dev/video0"); a video file; a folder of images or one
            image; a network stream (rtsp://, rtsps://, http://, https://, udp://); or a GStreamer pipeline that ends in
            an appsink (any text with " ! "). "env:NAME" and "file:PATH" take any of these from an environment variable
            or from the only line of a file.
        name: Name of the camera for messages and logs; the source without passwords if empty.
        live: Whether to play a file or folder at its own speed and to drop frames that are not read in time, as for a
            device. Has no effect on devices, streams and pipelines.
        wait_seconds: Seconds without a frame after which reading a device, stream or pipeline fails, above 0; None to
            wait for ever.
        clock: Returns the monotonic seconds by which frames are stamped.

    Returns:
        The camera. Its frames are uint8 [H, W, 3] RGB.

    Raises:
        CameraError: The file or folder does not exist or holds no frames.
        DependencyError: The installed cv2 cannot read such a source.
        UsageError: `source` is of another type, or the variable or file that it names holds no source.
    """
    if isinstance(source, bool) or not isinstance(source, str | int | Path):
        raise UsageError(
            f"a source is text, a number or a path; got {type(source).__name__}: the first argument is the source"
        )
    check_text("name of a camera", name)
    source = read_source(source) if isinstance(source, str) else str(source)
    shown = printable(redacted(source))
    name = name or shown
    check_wait(wait_seconds)
    if " ! " in source and not os.path.lexists(source):
        check_gstreamer(name)
        return LiveCamera(partial(open_pipeline, source, name), name, clock=clock, wait_seconds=wait_seconds)
    if _STREAM.match(source):
        if _NO_HOST.match(source):
            raise CameraError(f"cannot open {name}: it names no host; write the camera's name or address behind ://")
        check_ffmpeg(name)
        return LiveCamera(StreamConnector(source, name), name, clock=clock, wait_seconds=wait_seconds)
    if _INDEX.fullmatch(source) or source.startswith("/dev/"):
        return LiveCamera(partial(open_device, source), name, clock=clock, wait_seconds=wait_seconds)
    if source:  # as a path, "" would be the working folder
        try:
            capture = _open_stored(source, shown)
        except OSError as error:
            raise CameraError(f"cannot open {shown}: {error.strerror or error}; name another file") from error
        if live:
            paced = PacedCapture(capture, capture.fps or DEFAULT_FPS, clock=clock)
            return LiveCamera(lambda: paced, name, clock=clock, reconnects=False)
        return StoredCamera(capture, name, clock=clock)
    raise CameraError(
        "the source is empty; name a device (0, /dev/video0), a file, a folder of images, or a URL (rtsp://...)"
    )


def camera_from(
    images: Iterable[Image], *, bgr: bool = False, clock: Callable[[], float] = time.monotonic
) -> StoredCamera:
    """Makes a camera from an iterable of images.

    Args:
        images: uint8 [H, W, 3] arrays, RGB. They are not copied, so they must not be changed afterwards.
        bgr: Whether their channels are blue, green, red, as OpenCV reads them.
        clock: Returns the monotonic seconds by which frames are stamped.

    Raises:
        UsageError: `images` is not iterable, or a single image.
    """
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise UsageError(
            f"expected many images; got one array {list(images.shape)}: for one image call perceiver(image)"
        )
    try:
        capture = IteratorCapture(images, bgr=bgr)
    except TypeError:
        came = type(images).__name__
        raise UsageError(
            f"expected an iterable of images, uint8 [H, W, 3] each; got {came}. Give a camera by its number or "
            "path, or derive from allweather.Camera"
        ) from None
    return StoredCamera(capture, "iterator", clock=clock)


def _open_stored(source: str, name: str) -> Capture:
    path = Path(source)
    if path.is_dir():
        return FolderCapture(image_files(path))
    if path.is_file():
        return FolderCapture([path]) if is_image_name(path.name) else open_video(path)
    if name.lower().startswith("file:/"):
        raise CameraError(f"cannot open {name}: write the path alone, without file://")
    if _ONE_SLASH.match(source):
        raise CameraError("cannot open the source: a URL has two slashes before its host, as in rtsp://HOST/path")
    if _SCHEME.match(name):
        raise CameraError(f"cannot open {name}: use a rtsp://, rtsps://, http://, https:// or udp:// URL")
    if path.exists():
        raise CameraError(f"cannot open {name}: it is neither a file nor a folder; name a video, an image or a folder")
    raise CameraError(
        f"there is no camera, video, folder or stream {name!r}; name a device (0, /dev/video0), a file, "
        "a folder of images, a URL (rtsp://...) or a GStreamer pipeline (... ! appsink)"
    )
