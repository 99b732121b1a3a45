"""Captures that need no video decoder: the image files of a folder, and arrays from a Python iterable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


class FolderCapture:
    """Reads image files one after the other. A file that cannot be decoded is named in a warning."""

    fps: float | None = None
    endless = False

    def __init__(self, files: Sequence[Path]) -> None:
        """Reads nothing yet.

        Args:
            files: Paths of the images, in the order of the frames.
        """
        self._files = iter(files)
        self._file = Path()

    def grab(self) -> bool:
        """Moves to the next file; returns False after the last one."""
        file = next(self._files, None)
        if file is None:
            return False
        self._file = file
        return True

    def retrieve(self) -> Image | None:
        """Decodes the file: uint8 [H, W, 3] RGB, or None if it is damaged or cannot be read."""
        try:
            image = decode_image(self._file.read_bytes())
        except OSError as error:
            logger.warning("skipped %s: %s", self._file, error.strerror or error)
            return None
        if image is None:
            logger.warning("skipped %s: it is damaged or not an image; remove or replace it", self._file)
        return image

    def close(self) -> None:
        """Ends reading."""
        self._files = iter(())


def image_files(folder: Path) -> list[Path]:
    """Returns the image files of a folder, sorted by name, without hidden files.

    Raises:
        CameraError: The folder holds no images or cannot be read.
    """
    try:
        images = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    except OSError as error:
        raise CameraError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    files = sorted(file for file in images if not file.name.startswith("."))
    if not files:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise CameraError(f"the folder {folder} holds no images ({suffixes}); choose a folder that does")
    return files


def decode_image(data: bytes) -> Image | None:
    """Decodes the bytes of an image file to uint8 [H, W, 3] RGB; returns None if they are damaged or truncated."""
    if not _is_complete(data):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # cv2 raises for an empty file and for sizes beyond its limits
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _is_complete(data: bytes) -> bool:
    """Returns whether a file has its end: cv2 fills the rest of a truncated JPEG with gray without an error."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")  # the end-of-image marker follows the last scan
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-64:]
    return bool(data)


class IteratorCapture:
    """Passes on the arrays of a Python iterable; an exception that it raises reaches the reader."""

    fps: float | None = None
    endless = False

    def __init__(self, images: Iterable[Image], *, bgr: bool = False) -> None:
        """Takes no array yet.

        Args:
            images: uint8 [H, W, 3] arrays; they are not copied.
            bgr: Whether their channels are blue, green, red, as OpenCV reads them, instead of red, green, blue.
        """
        self._images: Iterator[Image] = iter(images)
        self._image: Image | None = None
        self._bgr = bgr

    def grab(self) -> bool:
        """Takes the next array; returns False when there are no more."""
        try:
            self._image = next(self._images)
        except StopIteration:
            return False
        return True

    def retrieve(self) -> Image | None:
        """Returns the array, uint8 [H, W, 3] RGB.

        Raises:
            CameraError: It is not uint8 [H, W, 3].
        """
        image = self._image
        if not isinstance(image, np.ndarray):
            came = type(image).__name__
            if isinstance(image, str):
                came += "; to watch several sources, call watch once for each, in a thread of its own"
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            came = f"{image.dtype} {list(image.shape)}"
        else:
            return image[..., ::-1] if self._bgr else image
        raise CameraError(f"a frame is a uint8 [H, W, 3] RGB array; the iterable gave {came}")

    def close(self) -> None:
        """Takes no more arrays, and closes a generator so that it can clean up."""
        close = getattr(self._images, "close", None)
        if callable(close):
            close()
        self._images = iter(())
