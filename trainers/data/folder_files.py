"""Finds the files of a folder data set: its splits, their classes and images, and what else lies there."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.cameras.image_files.names import is_hidden, is_image_name
from allweather.runtimes.errors import DataError

# names of the folders of a split, in lower case; all are in use by tools that export data sets
SPLIT_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LAYOUT = "a data set has its images in ROOT/train/CLASS, and in ROOT/val and ROOT/test"
NO_SUFFIX = "without a suffix"
SPECIAL = "pipes, sockets or devices"
UNKNOWN_BYTES = -1


@dataclass(frozen=True)
class ImageFile:
    """An image file by its name.

    Attributes:
        path: Its path.
        size: Its bytes; -1 if the system does not say, as for a broken link.
    """

    path: Path
    size: int


@dataclass(frozen=True)
class FoundFiles:
    """What lies in one folder and the folders in it; links are followed.

    Attributes:
        images: Image files, sorted by path.
        other: Number of files of other kinds, by suffix in lower case; pipes, sockets and devices are counted together.
        hidden: Files and folders of systems and programs, such as .git, @eaDir and Thumbs.db; they are not looked into.
        unreadable: Folders that cannot be read, each with the system's reason.
    """

    images: tuple[ImageFile, ...]
    other: Mapping[str, int]
    hidden: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]

    def reason_if_empty(self) -> str:
        """Returns what the folder holds instead of images, for a message."""
        if self.unreadable:
            path, reason = self.unreadable[0]
            return f"{path} cannot be read ({reason})"
        if self.other:
            return f"it holds {suffix_counts(self.other)}"
        return "it holds only hidden files and folders" if self.hidden else "it is empty"


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split.

    Attributes:
        folder: Folder of the split, with a folder for each class in it.
        classes: What lies in each class folder, by the folder's name, sorted.
        loose: What lies beside the class folders, and so has no class.
    """

    folder: Path
    classes: Mapping[str, FoundFiles]
    loose: FoundFiles


def find_split_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the splits, by "train", "val" and "test"; those that do not exist are left out.

    Raises:
        DataError: There is no training folder, or two folders could be the same split.
    """
    names = sorted(entry.name for entry in _entries(root) if entry.is_dir()) if root.is_dir() else []
    folders: dict[str, Path] = {}
    for split, known in SPLIT_FOLDERS.items():
        found = [name for name in names if name.lower() in known]
        if len(found) > 1:
            raise DataError(f"{root} has {' and '.join(found)}, and each could be the {split} split; keep one of them")
        if found:
            folders[split] = root / found[0]
    if "train" not in folders:
        visible = [name for name in names if not is_hidden(name)]
        inner = [root / name for name in visible if (root / name / "train").is_dir()]
        there = f"; {root} holds only the folders {list_names(visible)}" if visible else ""
        cure = f": name {inner[0]} instead" if inner else ""
        raise DataError(f"there is no folder {root / 'train'}; {LAYOUT}{there}{cure}")
    return folders


def unused_folders(root: Path, folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Returns the names of folders beside the splits, which no split uses."""
    used = {folder.name for folder in folders.values()}
    names = (entry.name for entry in _entries(root) if entry.is_dir())
    return tuple(sorted(name for name in names if name not in used and not is_hidden(name)))


def class_folders(split: Path) -> tuple[str, ...]:
    """Returns the names of the class folders of a split, sorted.

    Raises:
        DataError: The folder cannot be read.
    """
    return tuple(sorted(entry.name for entry in _entries(split) if entry.is_dir() and not is_hidden(entry.name)))


def find_split_files(split: Path) -> SplitFiles:
    """Finds the files of a split.

    Raises:
        DataError: The folder of the split cannot be read.
    """
    names = class_folders(split)
    return SplitFiles(split, {name: _find(split / name) for name in names}, _find(split, leave_out=frozenset(names)))


def same_name(name: str) -> str:
    """Returns the form by which two names are the same: systems write accents as one character or as two."""
    return unicodedata.normalize("NFC", name)


def list_names(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """Returns the first names separated by commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def suffix_counts(files: Mapping[str, int]) -> str:
    """Returns how many files of other kinds there are, such as "12 files of other kinds (.heic 12)"."""
    total = sum(files.values())
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(files.items(), key=lambda item: -item[1])[:5])
    return f"{total} file{'s' * (total > 1)} of other kinds ({kinds})"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def _find(folder: Path, leave_out: frozenset[str] = frozenset()) -> FoundFiles:
    images: list[ImageFile] = []
    other: Counter[str] = Counter()
    hidden: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    waiting, seen = [folder], set()
    while waiting:
        current = waiting.pop()
        try:
            state = current.stat()
            if (state.st_dev, state.st_ino) in seen:  # a link to a folder that was looked into
                continue
            seen.add((state.st_dev, state.st_ino))
            with os.scandir(current) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((current, error.strerror or str(error)))
            continue
        for entry in listed:
            path = Path(entry.path)
            if current == folder and entry.name in leave_out:
                continue
            if is_hidden(entry.name):
                hidden.append(path)
            elif entry.is_dir():
                waiting.append(path)
            elif _is_special(entry):
                other[SPECIAL] += 1
            elif is_image_name(entry.name):
                images.append(ImageFile(path, _size(entry)))
            else:
                other[path.suffix.lower() or NO_SUFFIX] += 1
    images.sort(key=lambda image: image.path)
    return FoundFiles(tuple(images), dict(other), tuple(hidden), tuple(unreadable))


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry that is no folder is a pipe, socket or device; reading it could wait for ever."""
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False  # such as a broken link, which is told when it is read


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return UNKNOWN_BYTES
