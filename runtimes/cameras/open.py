"""Opens a camera from the text that names it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from allweather.runtimes.cameras.base import Camera, Capture, StoredCamera
from allweather.runtimes.cameras.images import SUFFIXES, FolderCapture, IteratorCapture, pictures
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.opencv import (
    need_ffmpeg,
    need_gstreamer,
    open_device,
    open_pipeline,
    open_video,
)
from allweather.runtimes.cameras.playback import PacedCapture
from allweather.runtimes.cameras.reconnect import StreamConnector
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.types import Image

__all__ = ["Camera", "Capture", "LiveCamera", "StoredCamera", "camera_from", "open_camera", "redacted"]

_STREAM = re.compile(r"(rtsps?|https?|udp)://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# Up to the last @ of an element, as passwords are often written with raw @, / and all else in them. A path with an @
# then loses its host in messages, which is the safe side.
_LOGIN = re.compile(r"(?<=://)(?:(?! ! ).)*@")
_SECRET = re.compile(
    r"([?&;/ ](?:u|user|username|user-id|user-pw|usr|login\w*|p|pas\w*|pwd|pw|auth\w*|sig\w*|jwt|"
    r"[\w-]*(?:token|key|secret|signature|credential))=)"
    r"(?:\"[^\"]*\"|[^&;\s]+)",
    re.IGNORECASE,
)


FPS = 25.0  # of a recording that does not state its speed, and of pictures, when they are played


def open_camera(source: str | int | Path, *, live: bool = False, clock: Callable[[], float] = time.monotonic) -> Camera:
    """Opens a source of frames, to be used in a `with` block.

    A device, stream or pipeline is connected to by a thread of the camera, and again whenever it is lost: that it is
    not there yet is no error (see `LiveCamera.state`). A file or folder has to be there.

    Args:
        source: the number of a device (0 or "0") or its path ("/dev/video0"); a video file; a folder of images or
            one image; a network stream (rtsp://, rtsps://, http://, https://, udp://); or a GStreamer
            pipeline that ends in an appsink (anything with " ! ").
        live: play a file or folder at its own speed and lose what is not looked at in time, as a camera would.
        clock: gives the monotonic seconds by which frames are stamped.

    Raises:
        CameraError: the file or folder is not there, or holds no frames.
        DependencyError: this cv2 cannot read such a source.
        UsageError: `source` is of another kind.
    """
    if isinstance(source, bool) or not isinstance(source, str | int | Path):
        raise UsageError(f"a source is text, a number or a path; got {type(source).__name__}: name the source first")
    source = str(source)
    name = redacted(source)
    if " ! " in source:
        need_gstreamer(name)
        return LiveCamera(partial(open_pipeline, source, name), name, clock=clock)
    if _STREAM.match(source):
        need_ffmpeg(name)
        return LiveCamera(StreamConnector(source, name), name, clock=clock)
    if source.isdecimal() or source.startswith("/dev/"):
        return LiveCamera(partial(open_device, source), name, clock=clock)
    if source:  # as a path, "" is the working folder
        try:
            capture = _open_stored(Path(source), name)
        except OSError as error:
            raise CameraError(f"cannot open {name}: {error.strerror or error}; name another file") from error
        if live:
            paced = PacedCapture(capture, capture.fps or FPS, clock=clock)
            return LiveCamera(lambda: paced, name, clock=clock, reconnects=False)
        return StoredCamera(capture, name, clock=clock)
    raise CameraError("a camera needs a name: 0, /dev/video0, a file, a folder of images, or rtsp://...")


def camera_from(images: Iterable[Image], *, clock: Callable[[], float] = time.monotonic) -> Camera:
    """A camera made of arrays.

    Args:
        images: uint8 [H, W, 3] RGB arrays; they are not copied, so do not write into one again.
        clock: gives the monotonic seconds by which frames are stamped.
    """
    return StoredCamera(IteratorCapture(images), "iterator", clock=clock)


def redacted(text: str) -> str:
    """`text` without the passwords and tokens of the addresses in it: rtsp://***@host/path."""
    return _SECRET.sub(r"\1***", _LOGIN.sub("***@", text))


def _open_stored(path: Path, name: str) -> Capture:
    if path.is_dir():
        return FolderCapture(pictures(path))
    if path.is_file():
        return FolderCapture([path]) if path.suffix.lower() in SUFFIXES else open_video(path)
    if _SCHEME.match(name):
        raise CameraError(f"cannot open {name}: known are rtsp://, rtsps://, http://, https:// and udp://")
    if path.exists():
        raise CameraError(f"cannot open {name}: it is neither a file nor a folder")
    raise CameraError(
        f"there is no camera, video, folder or stream {name!r}; name a device (0, /dev/video0), a file, "
        "a folder of images, a URL (rtsp://...) or a GStreamer pipeline (... ! appsink)"
    )
