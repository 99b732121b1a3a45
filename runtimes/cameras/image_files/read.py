"""Reads an image file for a program of the user's own."""

from __future__ import annotations

from pathlib import Path

from allweather.runtimes.cameras.image_files.decode import read_and_decode
from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.runtimes.types import Image


def read_image(path: Path | str) -> Image:
    """Reads an image file as the camera loop and the training read it.

    It is turned as its EXIF orientation says. Gray becomes three equal channels. More than 8 bits a channel are scaled.

    Args:
        path: File in a format that the installed OpenCV reads, such as JPEG, PNG, WebP or TIFF.

    Returns:
        uint8 [H, W, 3], RGB, as `Perceiver` takes it.

    Raises:
        DataError: The file is missing, damaged, no image or a pipe; the message names it and says why.
    """
    try:
        return read_and_decode(path).pixels
    except OSError as error:
        raise DataError(f"{printable(str(path))} cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{printable(str(path))} cannot be used: {error}") from error
