"""Where encoded images come from: files, or whatever else gives bytes by an index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from allweather.runtimes.cameras.image_files.decode import read_file
from allweather.runtimes.text import printable


class ImageSource(Protocol):
    """Encoded images by index. Several processes read at once, each with its own copy of the object."""

    def __len__(self) -> int:
        """Returns the number of images."""
        ...

    def read(self, index: int) -> bytes:
        """Returns an encoded image, such as the content of a JPEG file.

        Raises:
            DataError: It cannot be used; the message begins with "it".
            OSError: It cannot be read.
        """
        ...

    def name(self, index: int) -> str:
        """Returns how messages name an image."""
        ...

    def stamp(self, index: int) -> str:
        """Returns a text that changes with the image, such as its file's name, size and time; it reads no image."""
        ...


class FileSource:
    """Image files by their paths.

    The paths are kept as one array of bytes. A list of a million Python objects would be copied into every worker
    process bit by bit, as each use of an object writes its count of references.

    Args:
        paths: The files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._text = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends: npt.NDArray[np.int64] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        """Returns the number of files."""
        return len(self._ends) - 1

    def path(self, index: int) -> Path:
        """Returns the path of a file."""
        return Path(os.fsdecode(self._text[self._ends[index] : self._ends[index + 1]].tobytes()))

    def read(self, index: int) -> bytes:
        """Returns the content of a file; see `ImageSource`."""
        return read_file(self.path(index))

    def name(self, index: int) -> str:
        """Returns the path as text that any stream can hold."""
        return printable(str(self.path(index)))

    def stamp(self, index: int) -> str:
        """Returns the path, the size and the time of a file; the path alone if the file is not there."""
        path = self.path(index)
        try:
            status = path.stat()
        except OSError:
            return self.name(index)
        return f"{self.name(index)} {status.st_size} {status.st_mtime_ns}"
