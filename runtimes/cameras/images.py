"""Captures that need no video: the pictures of a folder, and arrays from a Python iterator."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Image

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


class FolderCapture:
    """Pictures from files, one after the other. A damaged one is named in a warning."""

    fps: float | None = None
    endless = False

    def __init__(self, files: Sequence[Path]) -> None:
        """Reads nothing yet.

        Args:
            files: the pictures, in the order of the frames.
        """
        self._files = iter(files)
        self._file = Path()

    def grab(self) -> bool:
        """Moves to the next file; False after the last."""
        file = next(self._files, None)
        if file is None:
            return False
        self._file = file
        return True

    def retrieve(self) -> Image | None:
        """The picture, uint8 [H, W, 3] RGB; None when the file is damaged or cannot be read."""
        try:
            image = decode(self._file.read_bytes())
        except OSError as error:
            logger.warning("skipped %s: %s", self._file, error.strerror or error)
            return None
        if image is None:
            logger.warning("skipped %s: it is damaged or no image; remove or replace it", self._file)
        return image

    def close(self) -> None:
        """Reads no further."""
        self._files = iter(())


def pictures(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; hidden files are left out.

    Raises:
        CameraError: there are none, or the folder cannot be read.
    """
    try:
        found = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
    except OSError as error:
        raise CameraError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    files = sorted(file for file in found if not file.name.startswith("."))
    if not files:
        raise CameraError(f"the folder {folder} holds no images ({', '.join(sorted(SUFFIXES))}); name one that does")
    return files


def decode(data: bytes) -> Image | None:
    """The picture in the bytes of an image file, uint8 [H, W, 3] RGB; None when it is damaged."""
    if not _is_whole(data):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # cv2 raises for an empty file and for sizes beyond its limits
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _is_whole(data: bytes) -> bool:
    """Whether the end is there: cv2 fills what a truncated JPEG lacks with gray and calls it an image."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")  # the picture's end comes after its start
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-64:]
    return bool(data)


class IteratorCapture:
    """Arrays that a Python iterator gives; an exception it raises reaches the reader."""

    fps: float | None = None
    endless = False

    def __init__(self, images: Iterable[Image]) -> None:
        """Takes nothing yet.

        Args:
            images: uint8 [H, W, 3] RGB arrays; they are passed on as they are, not copied.
        """
        self._images: Iterator[Image] = iter(images)
        self._image: Image | None = None

    def grab(self) -> bool:
        """Takes the next array; False when there are no more."""
        try:
            self._image = next(self._images)
        except StopIteration:
            return False
        return True

    def retrieve(self) -> Image | None:
        """The array.

        Raises:
            CameraError: it is not uint8 [H, W, 3].
        """
        image = self._image
        if not isinstance(image, np.ndarray):
            came = type(image).__name__
            if isinstance(image, str):
                came += "; one source is watched at a time, each of several by a thread of its own"
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            came = f"{image.dtype} {list(image.shape)}"
        else:
            return image
        raise CameraError(f"a frame is a uint8 [H, W, 3] RGB array; the iterator gave {came}")

    def close(self) -> None:
        """Takes no more, and lets a generator clean up after itself."""
        closing = getattr(self._images, "close", None)
        if callable(closing):
            closing()
        self._images = iter(())
