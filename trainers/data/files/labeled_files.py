"""Labeled image files before any is decoded: what lies in a class, in a split and in a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allweather.trainers.data.files.names import same_name, similar_names, suffix_counts

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
    """What lies in one folder and the folders in it, links being followed; or the files of a class in a list.

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


NOTHING = FoundFiles((), {}, (), ())


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split.

    Attributes:
        split: "train", "val" or "test".
        folder: Folder that holds a folder for each class, or the folder of the list.
        folder_name: Name of the folder of this split; "" if the split has none of its own.
        classes: The files of each class, by its name, sorted.
        loose: What lies beside the class folders, and so has no class.
    """

    split: str
    folder: Path
    folder_name: str
    classes: Mapping[str, FoundFiles]
    loose: FoundFiles = NOTHING

    @property
    def label(self) -> str:
        """How messages call the split."""
        return self.folder_name or self.split

    def shown(self, path: Path) -> str:
        """Returns a path as a message tells it: relative to the folder where it lies below it."""
        return _relative(path, self.folder)


@dataclass(frozen=True)
class Member:
    """An image file and where it stands in the data set.

    Attributes:
        split: Name of its split.
        label: Name of its class.
        file: The file.
    """

    split: str
    label: str
    file: ImageFile


@dataclass(frozen=True)
class LabeledFiles:
    """The files of a data set.

    Attributes:
        name: Name of the data set.
        root: Its folder, or that of the list; paths in messages are relative to it.
        splits: Files of each split that exists, by "train", "val" and "test".
        without: What is said of a split that does not exist, with {split} for its name.
        notes: What a user should know, one line each.
        problems: What cannot be right, each with its cure, one line each.
    """

    name: str
    root: Path
    splits: Mapping[str, SplitFiles]
    without: str
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: those of train."""
        return tuple(self.splits["train"].classes)

    def files(self, split: str) -> list[tuple[Path, int]]:
        """Returns the image files of a split with their labels, class by class in the order of the classes."""
        labels = {same_name(name): label for label, name in enumerate(self.classes)}
        labeled = [
            (image.path, labels[same_name(name)])
            for name, found in self.splits[split].classes.items()
            if same_name(name) in labels
            for image in found.images
        ]
        return sorted(labeled, key=lambda each: each[1])

    def paths(self, split: str) -> list[Path]:
        """Returns the paths of `files`."""
        return [path for path, _ in self.files(split)]

    def members(self) -> list[Member]:
        """Returns the image files of all splits with their splits and classes."""
        return [
            Member(split, same_name(label), image)
            for split, files in self.splits.items()
            for label, found in files.classes.items()
            for image in found.images
        ]

    def shown(self, path: Path) -> str:
        """Returns a path as a message tells it: relative to the root where it lies below it."""
        return _relative(path, self.root)


def _relative(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def unknown_classes(splits: Mapping[str, SplitFiles]) -> list[str]:
    """Returns the problem of each class of val and test that train does not have."""
    train, problems = splits["train"], []
    known = {same_name(label) for label in train.classes}
    for files in splits.values():
        where = files.folder if files.folder_name else files.split
        for label in files.classes:
            if same_name(label) not in known:
                alike = [other for other in train.classes if similar_names((label, other))]
                cure = f"train has {alike[0]!r}: rename it" if alike else "add it there or remove it"
                problems.append(f"{where} has the class {label!r}, which train does not have; {cure}")
    return problems
