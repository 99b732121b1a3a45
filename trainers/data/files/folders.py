"""Finds the files of a folder data set: its splits, their classes and images, and what else lies there."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from allweather.runtimes.cameras.image_files.names import is_image_name
from allweather.runtimes.errors import DataError
from allweather.runtimes.system.hidden_names import is_hidden
from allweather.runtimes.system.path_argument import as_path, real_path
from allweather.runtimes.text import forbidden_character, printable
from allweather.trainers.data.files.labeled_files import (
    UNKNOWN_BYTES,
    FoundFiles,
    ImageFile,
    LabeledFiles,
    SplitFiles,
    unknown_classes,
)
from allweather.trainers.data.files.names import SAVED_MARKS, SPLIT_NAMES, list_names, same_name, split_of

LAYOUT = "a data set has its images in ROOT/train/CLASS, and in ROOT/val and ROOT/test, or all of them in ROOT/CLASS"
NO_SUFFIX = "without a suffix"
SPECIAL = "pipes, sockets or devices"


def find_folder(root: Path | str) -> LabeledFiles:
    """Finds the files of a folder data set, and what cannot be right about them.

    Args:
        root: Folder that holds `train`, and `val` and `test` if they exist; or a folder for each class.

    Raises:
        DataError: There is neither a training folder nor a folder for each of two classes, or a split cannot be told.
    """
    root = as_path(root)
    name = f"folder:{real_path(root).name}"
    if holds_classes(root):
        train = _find_split("train", root, "")
        without = f"{printable(root.name or str(root))} has folders of classes and none of splits"
        return LabeledFiles(name, root, {"train": train}, without, problems=_problems({"train": train}))
    folders = _split_folders(root)
    splits = {split: _find_split(split, folder, folder.name) for split, folder in folders.items()}
    notes: tuple[str, ...] = ()
    if unused := _unused_folders(root, folders):
        notes = (f"the folders {list_names(unused)} beside train are no split that is known, and are not used",)
    return LabeledFiles(name, root, splits, "there is no {split} folder", notes, _problems(splits))


def folder_classes(root: Path | str) -> tuple[str, ...]:
    """Returns the names of the classes, which are the folders in ROOT/train or in ROOT, sorted; decodes no image.

    Raises:
        DataError: There are no such folders, or fewer than two.
    """
    root = as_path(root)
    train = root if holds_classes(root) else _split_folders(root)["train"]
    classes = _class_folders(train)
    if len(classes) < 2:
        raise DataError(f"{train} needs a folder for each of at least two classes; it has {len(classes)}")
    return classes


def holds_classes(root: Path) -> bool:
    """Returns whether the folders in ROOT are classes: none is called like a split, and they hold images.

    Raises:
        DataError: They could be classes or splits of other names.
    """
    names = _class_folders(root) if root.is_dir() else ()
    if len(names) < 2 or any(split_of(name) or (root / name / "train").is_dir() for name in names):
        return False
    inner = {name: set(_class_folders(root / name)) for name in names if not _has_images(root / name)}
    for index, (name, folders) in enumerate(inner.items()):
        for other in list(inner)[index + 1 :]:
            if len(both := sorted(folders & inner[other])) > 1:
                raise DataError(
                    f"{name} and {other} in {root} hold folders of the same names ({list_names(both)}): if {name} and "
                    f"{other} are splits, call them train and test; if they are classes, put the images right there"
                )
    return any(_find(root / name).images for name in names)


def _has_images(folder: Path) -> bool:
    """Returns whether images lie right in a folder; one that cannot be read has none."""
    try:
        with os.scandir(folder) as entries:
            return any(is_image_name(entry.name) and not is_hidden(entry.name) for entry in entries)
    except OSError:
        return False


def _split_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the splits, by "train", "val" and "test"; those that do not exist are left out.

    Raises:
        DataError: There is no training folder, or two folders could be the same split.
    """
    names = sorted(entry.name for entry in _entries(root) if _is_folder(entry)) if root.is_dir() else []
    folders: dict[str, Path] = {}
    for split, known in SPLIT_NAMES.items():
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
        if "test" in folders and not inner:
            cure = f"; to evaluate alone, make it a link: ln -s {folders['test'].name} {root / 'train'}"
        if root.is_file():
            raise DataError(f"{root} is a file; {LAYOUT}, and a list of images is list:{root.name}")
        if not root.exists():
            raise DataError(f"there is no folder {root}; {LAYOUT}")
        if any((root / mark).is_file() for mark in SAVED_MARKS):
            raise DataError(f"{root} was saved by the datasets library: write hf: in the place of folder:")
        raise DataError(f"there is no folder {root / 'train'}; {LAYOUT}{there}{cure}")
    return folders


def _unused_folders(root: Path, folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Returns the names of folders beside the splits, which no split uses."""
    used = {folder.name for folder in folders.values()}
    names = (entry.name for entry in _entries(root) if _is_folder(entry))
    return tuple(sorted(name for name in names if name not in used and not is_hidden(name)))


def _class_folders(split: Path) -> tuple[str, ...]:
    """Returns the names of the class folders of a split, sorted.

    Raises:
        DataError: The folder cannot be read.
    """
    return tuple(sorted(entry.name for entry in _entries(split) if _is_folder(entry) and not is_hidden(entry.name)))


def _find_split(split: str, folder: Path, folder_name: str) -> SplitFiles:
    names = _class_folders(folder)
    classes = {name: _find(folder / name) for name in names}
    return SplitFiles(split, folder, folder_name, classes, _find(folder, leave_out=frozenset(names)))


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
            elif _is_folder(entry):
                waiting.append(path)
            elif _is_special(entry):
                other[SPECIAL] += 1
            elif is_image_name(entry.name):
                images.append(ImageFile(path, _size(entry)))
            else:
                other[path.suffix.lower() or NO_SUFFIX] += 1
    images.sort(key=lambda image: image.path)
    return FoundFiles(tuple(images), dict(other), tuple(hidden), tuple(unreadable))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads to itself, which is told when it is read


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


def _problems(splits: Mapping[str, SplitFiles]) -> tuple[str, ...]:
    train = splits["train"]
    if len(train.classes) < 2:
        need = f"{train.folder} needs a folder for each of at least two classes; it has {len(train.classes)}"
        return (printable(need),)
    problems = [
        f"the name of the class folder {train.folder / name} holds {letter}, which files cannot store; rename it"
        for name in train.classes
        if (letter := forbidden_character(name))
    ]
    problems += [
        f"there are no images in {train.folder / name}, so its class cannot be learned: {files.reason_if_empty()}; add "
        "images, or remove the folder"
        for name, files in train.classes.items()
        if not files.images
    ]
    for files in splits.values():
        forms: dict[str, str] = {}
        for label in files.classes:
            if forms.setdefault(same_name(label), label) != label:
                problems.append(
                    f"{files.folder} has two folders called {same_name(label)!r}, which differ only by the form of "
                    "Unicode; merge them into one"
                )
    return tuple(map(printable, problems + unknown_classes(splits)))
