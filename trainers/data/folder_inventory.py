"""Takes the inventory of a folder data set: what is in it, what a user should know, and what cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.text import forbidden_character, printable
from allweather.trainers.data.duplicates import Member, contradictions, same_content, shared_images
from allweather.trainers.data.folder_files import (
    SplitFiles,
    find_split_files,
    find_split_folders,
    list_names,
    same_name,
    unused_folders,
)
from allweather.trainers.data.inventory import (
    Inventory,
    SplitInventory,
    class_notes,
    contradiction_note,
    count_files,
    duplicate_note,
    similar_names,
    split_notes,
    thin_classes,
)


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder data set.

    Attributes:
        root: Folder of the data set.
        splits: Files of each split that has a folder, by "train", "val" and "test".
        problems: What cannot be right, each with its cure.
    """

    root: Path
    splits: Mapping[str, SplitFiles]
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the data set."""
        return f"folder:{self.root.resolve().name}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the class folders of train."""
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


def find_files(root: Path) -> FolderFiles:
    """Finds the files of a folder data set, and what cannot be right about them.

    Raises:
        DataError: There is no training folder, or a split cannot be told.
    """
    splits = {name: find_split_files(folder) for name, folder in find_split_folders(root).items()}
    return FolderFiles(root, splits, tuple(map(printable, _problems(splits))))


def take_inventory(found: FolderFiles, damaged: Mapping[str, Mapping[Path, str]]) -> Inventory:
    """Counts what a folder data set holds.

    Args:
        found: Its files.
        damaged: What is wrong with the image files of each split that cannot be used, by path.
    """
    counted, notes, problems = {}, [], list(found.problems)
    for name, files in found.splits.items():
        paths = [path.relative_to(files.folder).as_posix() for path in damaged[name]]
        counted[name] = count_files(name, files, paths)
        notes += split_notes(counted[name], files)
        if paths:
            total = len(found.files(name))
            notes.append(f"{files.folder.name}: {len(paths)} of {total} images could not be read and are left out")
        if name == "train":
            problems += [
                _none_usable(files.folder / label, files.classes[label].images[0].path, damaged[name])
                for label, count in counted[name].images.items()
                if not count and files.classes[label].images
            ]
    if unused := unused_folders(found.root, {name: files.folder for name, files in found.splits.items()}):
        notes.append(f"the folders {list_names(unused)} beside train are no split that is known, and are not used")
    notes += _missing_notes(found, counted)
    thin, similar = thin_classes(counted.values()), similar_names(found.classes)
    notes += class_notes(thin, [group for group in similar if len({*map(same_name, group)}) == len(group)])
    groups = same_content(found.members())
    for name, files in found.splits.items():
        if twice := contradictions(groups, name):
            notes.append(contradiction_note(files.folder.name, len(twice), [_below(path, found) for path in twice[0]]))
    shared = shared_images(groups, tuple(found.splits))
    for (earlier, later), same in shared.items():
        total = sum(len(each.images) for each in found.splits[later].classes.values())
        notes.append(duplicate_note(earlier, later, len(same), total, _below(same[0], found)))
    duplicates = {f"{earlier}/{later}": len(paths) for (earlier, later), paths in shared.items()}
    notes, problems = [printable(note) for note in notes], [printable(problem) for problem in problems]
    return Inventory(
        found.name, found.classes, tuple(counted.values()), thin, similar, duplicates, tuple(notes), tuple(problems)
    )


def _below(path: Path, found: FolderFiles) -> str:
    return path.relative_to(found.root).as_posix()


def _none_usable(folder: Path, example: Path, damaged: Mapping[Path, str]) -> str:
    return (
        f"none of the images in {folder} can be used, so its class cannot be learned; {example.name}: "
        f"{damaged[example]}; or remove the folder"
    )


def _missing_notes(found: FolderFiles, counted: Mapping[str, SplitInventory]) -> list[str]:
    """Returns notes on the classes of which a split other than train has no image that can be read."""
    notes = []
    for name, files in found.splits.items():
        present = {same_name(label) for label, count in counted[name].images.items() if count}
        missing = [label for label in found.classes if same_name(label) not in present]
        if name != "train" and missing and present:
            notes.append(f"{files.folder.name}: no images of {list_names(missing)}; nothing is measured for them")
    return notes


def _problems(splits: Mapping[str, SplitFiles]) -> list[str]:
    train = splits["train"]
    if len(train.classes) < 2:
        return [f"{train.folder} needs a folder for each of at least two classes; it has {len(train.classes)}"]
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
        known = {same_name(label) for label in train.classes}
        for label in files.classes:
            if same_name(label) not in known:
                alike = [other for other in train.classes if similar_names((label, other))]
                cure = f"train has {alike[0]!r}: rename it" if alike else "add it there or remove it"
                problems.append(f"{files.folder} has the class {label!r}, which train does not have; {cure}")
    return problems
