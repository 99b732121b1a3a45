"""The folder of saved frames: names that sort by time, and a limit on their size."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_file

MAX_WORD_BYTES = 90  # two of them, time, confidence and what a temporary file adds fit into the 255 bytes of a name
NOTES = ".json"  # ends the name of what is noted beside an image
MAX_AHEAD = timedelta(minutes=1)  # an image with a later time than that was named before the clock was set back
_STAMP = "%Y%m%dT%H%M%S.%fZ"  # as `image_name` writes it, but for the number of digits of a second
_OTHER = re.compile(r"[^\w.+-]+")
_OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[\w.+-]+_[01]\.\d{2}(?:-\d+)?\.(?:png|jpg)")


@dataclass(frozen=True)
class SavedImage:
    """An image that was saved, and the notes beside it.

    Attributes:
        path: The image.
        bytes: Size of both files.
    """

    path: Path
    bytes: int


class FrameFolder:
    """A folder that holds images up to a size in all; the oldest go first.

    Only files of its own are removed: those that have a name as `save` gives it, and notes beside them.

    Args:
        path: The folder.
        max_bytes: Size of all images and notes.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path, self._max_bytes = path, max_bytes

    def open(self) -> None:
        """Makes the folder if it is missing.

        Raises:
            OutputError: No file can be written there.
        """
        from allweather.runtimes.system.atomic_files import check_file

        with map_write_errors(self._path):
            self._path.mkdir(parents=True, exist_ok=True)
        check_file(self._path / f"check{NOTES}")

    def save(self, name: str, suffix: str, image: bytes, notes: dict[str, Any]) -> Path:
        """Saves an image and what is known of it, and removes the oldest ones if there is too much now.

        Args:
            name: Name of the image without suffix, see `image_name`.
            suffix: ".png" or ".jpg".
            image: Content of the file.
            notes: Values of JSON.

        Returns:
            The path of the image.

        Raises:
            OutputError: It cannot be written.
        """
        path = self._free_path(name, suffix)
        with atomic_file(path.with_suffix(NOTES)) as temporary:  # first, so that no image is ever without notes
            temporary.write_text(json.dumps(notes, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(image)
        except OutputError:  # a disk that is nearly full takes the notes alone, and would be filled with them
            with suppress(OSError):
                path.with_suffix(NOTES).unlink()
            raise
        self._remove_oldest(path)
        return path

    def images(self) -> list[SavedImage]:
        """Returns the images that are there, the oldest first."""
        return sorted(self._found(), key=lambda each: each.path.name)

    def _found(self) -> Iterator[SavedImage]:
        with suppress(OSError), os.scandir(self._path) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file(follow_symlinks=False)}
            for name, size in sizes.items():
                notes = Path(name).with_suffix(NOTES).name
                if _OURS.fullmatch(name) and notes in sizes:
                    yield SavedImage(self._path / name, size + sizes[notes])

    def _free_path(self, name: str, suffix: str) -> Path:
        path, number = self._path / f"{name}{suffix}", 1
        while path.with_suffix(NOTES).exists():
            number += 1
            path = self._path / f"{name}-{number}{suffix}"
        return path

    def _remove_oldest(self, newest: Path) -> None:
        """Removes the oldest images; those that were named before the clock was set back count as the oldest."""
        now = datetime.strptime(newest.name.partition("_")[0], _STAMP).replace(tzinfo=timezone.utc)
        latest = f"{now + MAX_AHEAD:%Y%m%dT%H%M%S}"
        images = self.images()
        size = sum(each.bytes for each in images)
        for each in sorted(images, key=lambda each: each.path.name <= latest):
            if size <= self._max_bytes:
                return
            if each.path == newest:  # is kept, even if it alone is larger than the folder may be
                continue
            for path in (each.path, each.path.with_suffix(NOTES)):
                with suppress(OSError):  # removed by somebody, or by the sink of another camera
                    path.unlink()
            size -= each.bytes


def image_name(time: float, source: str, label: str, confidence: float) -> str:
    """Returns the name of an image without its suffix: time in UTC, camera, label, confidence.

    Args:
        time: Seconds since 1970.
        source: Name of the camera.
        label: The label.
        confidence: Its confidence, 0..1; nan counts as 0.
    """
    confidence = confidence if confidence > 0 else 0.0
    moment = datetime.fromtimestamp(round(time, 3), timezone.utc)
    stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z"
    return f"{stamp}_{_word(source, 'camera')}_{_word(label, 'undecided')}_{confidence:.2f}"


def _word(text: str, default: str) -> str:
    """Returns a text as a part of a name; of a long one the end, in which paths and addresses differ."""
    word = _OTHER.sub("-", text).strip("-.").encode()[-MAX_WORD_BYTES:]
    return word.decode("utf-8", "ignore").strip("-.") or default
