"""Captures that need no video decoder: the image files of a folder, and arrays from a Python iterable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from allweather.runtimes.cameras.image_files.decode import read_and_decode
from allweather.runtimes.cameras.image_files.names import IMAGE_SUFFIXES, UNREAD_SUFFIXES, is_image_name
from allweather.runtimes.errors import CameraError, DataError
from allweather.runtimes.system.hidden_names import is_hidden
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.runtimes.types import Frame, Image

logger = logging.getLogger(__name__)


class FolderCapture:
    """Reads image files one after the other. A file that cannot be decoded is named in a warning.

    If that is so of all files, the end is an error: a result without any decision would look like a success.
    """

    fps: float | None = None
    endless = False

    def __init__(self, files: Sequence[Path]) -> None:
        """Reads nothing yet.

        Args:
            files: Paths of the images, in the order of the frames.
        """
        self._files = iter(files)
        self._file = Path()
        self._skipped, self._has_decoded = 0, False

    @property
    def file_name(self) -> str:
        """Name of the present file."""
        return self._file.name

    def grab(self) -> bool:
        """Moves to the next file; returns False after the last one.

        Raises:
            CameraError: It was the last one, and none could be read.
        """
        file = next(self._files, None)
        if file is None:
            if self._skipped and not self._has_decoded:
                folder = self._file.parent
                raise CameraError(
                    f"none of the images in {folder} could be read (see the warnings); {self._skipped} skipped"
                )
            return False
        self._file = file
        return True

    def retrieve(self) -> Image | None:
        """Decodes the file: uint8 [H, W, 3] RGB, or None if it is damaged or cannot be read.

        Raises:
            CameraError: Its folder is no longer there, and so none of the files that follow.
        """
        try:
            image = read_and_decode(self._file).pixels
        except (OSError, DataError) as error:
            folder = self._file.parent
            if not folder.is_dir():
                raise CameraError(
                    f"the folder {printable(str(folder))} was removed or unmounted while it was read, before "
                    f"{printable(self._file.name)}; bring it back, and start again"
                ) from error
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            logger.warning("skipped %s: %s", printable(str(self._file)), reason)
            self._skipped += 1
            return None
        self._has_decoded = True
        return image

    def close(self) -> None:
        """Ends reading."""
        self._files = iter(())


def image_files(folder: Path | str) -> list[Path]:
    """Returns the image files of a folder, sorted by name, without hidden files. What else may be meant is told.

    Raises:
        CameraError: The folder holds no images or cannot be read.
    """
    folder = as_path(folder)
    try:
        entries = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
        files = sorted(entry for entry in entries if is_image_name(entry.name) and entry.is_file())
        folders = [entry for entry in entries if entry.is_dir()]
    except OSError as error:
        raise CameraError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    if not files:
        suffixes, first = ", ".join(sorted(IMAGE_SUFFIXES)), min((entry.name for entry in folders), default="")
        cure = f"the folders in it are not read: choose one, such as {first}" if first else "choose a folder that does"
        raise CameraError(f"the folder {folder} holds no images ({suffixes}); {cure}")
    unread = sorted({entry.suffix.lower() for entry in entries} & UNREAD_SUFFIXES)
    parts = [f"{len(folders)} folder{'s' * (len(folders) > 1)}"] if folders else []
    parts += [f"files {', '.join(unread)}"] if unread else []
    if parts:
        logger.warning("%s also holds %s, which are not read", printable(str(folder)), " and ".join(parts))
    return files


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
            if isinstance(image, Frame):
                came += "; to keep its time of capture, call perceiver.decide(frame), or derive from allweather.Camera"
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
