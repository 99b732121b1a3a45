"""Opens a camera from the text that names it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from allweather.runtimes.camera_capture import Camera, Capture, LiveCamera, StoredCamera
from allweather.runtimes.camera_images import SUFFIXES, FolderCapture, IteratorCapture, pictures
from allweather.runtimes.camera_opencv import open_device, open_pipeline, open_stream, open_video
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.frame import Image

__all__ = ["Camera", "Capture", "LiveCamera", "StoredCamera", "camera_from", "open_camera", "redacted"]

_STREAM = re.compile(r"(rtsps?|https?|udp)://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# Up to the last @ of a word, as passwords are often written with raw @ and / in them. A path with an @ then
# loses its host in messages, which is the safe side.
_LOGIN = re.compile(r"(?<=://)[^\s\"']*@")
_SECRET = re.compile(
    r"([?&; ](?:user|username|user-id|user-pw|usr|login|pass\w*|pwd|pw|auth\w*|sig\w*|"
    r"\w*(?:token|key|secret))=)"
    r"(?:\"[^\"]*\"|[^&;\s]+)",
    re.IGNORECASE,
)


def open_camera(source: str | int | Path, *, clock: Callable[[], float] = time.monotonic) -> Camera:
    """Opens a source of frames, to be used in a `with` block.

    Args:
        source: the number of a device (0 or "0") or its path ("/dev/video0"); a video file; a folder of images or
            one image; a network stream (rtsp://, rtsps://, http://, https://, udp://); or a GStreamer
            pipeline that ends in an appsink (anything with " ! ").
        clock: gives the monotonic seconds by which frames are stamped.

    Raises:
        CameraError: the source is not there, or gives no frames.
        UsageError: `source` is of another kind.
    """
    if isinstance(source, bool) or not isinstance(source, str | int | Path):
        raise UsageError(f"a source is text, a number or a path; got {type(source).__name__}: name the source first")
    source = str(source)
    name = redacted(source)
    if " ! " in source:
        capture = open_pipeline(source, name)
        return LiveCamera(capture, name, capture.fps, clock=clock)
    if _STREAM.match(source):
        capture = open_stream(source, name)
        # What comes over http may be a film, which ends; the others are cameras, which do not.
        endless = not source.lower().startswith("http")
        return LiveCamera(capture, name, capture.fps, endless=endless, clock=clock)
    if source.isdecimal() or source.startswith("/dev/"):
        capture = open_device(source)
        return LiveCamera(capture, name, capture.fps, endless=True, clock=clock)
    if source:  # as a path, "" is the working folder
        try:
            return _open_stored(Path(source), name, clock)
        except OSError as error:
            raise CameraError(f"cannot open {name}: {error.strerror or error}; name another file") from error
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


def _open_stored(path: Path, name: str, clock: Callable[[], float]) -> Camera:
    if path.is_dir():
        return StoredCamera(FolderCapture(pictures(path)), name, clock=clock)
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return StoredCamera(FolderCapture([path]), name, clock=clock)
        capture = open_video(path)
        return StoredCamera(capture, name, capture.fps, clock=clock)
    if _SCHEME.match(name):
        raise CameraError(f"cannot open {name}: known are rtsp://, rtsps://, http://, https:// and udp://")
    if path.exists():
        raise CameraError(f"cannot open {name}: it is neither a file nor a folder")
    raise CameraError(
        f"there is no camera, video, folder or stream {name!r}; name a device (0, /dev/video0), a file, "
        "a folder of images, a URL (rtsp://...) or a GStreamer pipeline (... ! appsink)"
    )
