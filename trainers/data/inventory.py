"""The inventory of a data set: what its splits hold, and what a user should know before anything is trained on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allweather.runtimes.text import printable
from allweather.trainers.data.files.labeled_files import FoundFiles, SplitFiles
from allweather.trainers.data.files.names import list_names, suffix_counts

THIN_TRAIN_IMAGES = 10  # a class with fewer images in train is learned badly, and its accuracy says little
MAX_EXAMPLES = 10  # paths that are kept of each kind; the counts are of all


@dataclass(frozen=True)
class SplitInventory:
    """What one split holds.

    Attributes:
        split: "train", "val" or "test".
        folder: Name of its folder; "" if it has none of its own.
        images: Number of images of each class, by name; unreadable files are not counted.
        kinds: Number of image files by suffix.
        other_files: Number of files of other kinds in its class folders, by suffix, those of the ten most frequent
            apart; they are not used.
        images_without_class: Number of image files beside the class folders; they are not used.
        hidden: Number of hidden files and folders, which are not looked into.
        hidden_names: Their different names, the first ten.
        unreadable: Number of files that cannot be decoded and of folders that cannot be read.
        unreadable_paths: The first ten of them, relative to the split.
    """

    split: str
    folder: str
    images: Mapping[str, int]
    kinds: Mapping[str, int]
    other_files: Mapping[str, int]
    images_without_class: int = 0
    hidden: int = 0
    hidden_names: tuple[str, ...] = ()
    unreadable: int = 0
    unreadable_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """What a data set holds.

    Attributes:
        data: Name of the data set.
        classes: Names of the classes.
        splits: The splits that were found.
        thin_classes: Classes with fewer than ten images in train, with that number.
        similar_classes: Groups of classes whose names differ only by case, spaces at the ends or the form of Unicode.
        duplicates: Number of files of the second split whose content is in the first one, too, by "train/test" and so
            on; None for data that is not in files.
        notes: What a user should know, one line each.
        problems: What keeps the data set from being used, each with its cure, one line each.
    """

    data: str
    classes: tuple[str, ...]
    splits: tuple[SplitInventory, ...]
    thin_classes: Mapping[str, int]
    similar_classes: tuple[tuple[str, ...], ...] = ()
    duplicates: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values for JSON, with text that any stream can hold."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


def count_labels(data: str, classes: Sequence[str], labels: Mapping[str, Iterable[int]]) -> Inventory:
    """Returns the inventory of a data set that is not in files.

    Args:
        data: Its name.
        classes: Names of the classes.
        labels: Labels of the images of each split, 0..C-1, by the name of the split.
    """
    counts = {split: Counter(values) for split, values in labels.items()}
    splits = tuple(
        SplitInventory(split, "", {name: counted[label] for label, name in enumerate(classes)}, {}, {})
        for split, counted in counts.items()
    )
    return Inventory(data, tuple(classes), splits, thin_classes(splits))


def count_files(files: SplitFiles, damaged: Collection[Path]) -> SplitInventory:
    """Returns what a split of files holds.

    Args:
        files: Its files.
        damaged: Paths of the image files that cannot be decoded.
    """
    found = (*files.classes.values(), files.loose)
    hidden = [printable(path.name) for each in found for path in each.hidden]
    folders = [path for each in found for path, _ in each.unreadable]
    unreadable = [printable(files.shown(path)) for path in (*damaged, *folders)]
    return SplitInventory(
        split=files.split,
        folder=files.folder_name,
        images={name: sum(image.path not in damaged for image in each.images) for name, each in files.classes.items()},
        kinds=_kinds(files.classes.values()),
        other_files=_most_frequent(sum((Counter(each.other) for each in files.classes.values()), Counter())),
        images_without_class=len(files.loose.images),
        hidden=len(hidden),
        hidden_names=tuple(dict.fromkeys(hidden))[:MAX_EXAMPLES],
        unreadable=len(unreadable),
        unreadable_paths=tuple(unreadable[:MAX_EXAMPLES]),
    )


def _most_frequent(files: Counter[str]) -> dict[str, int]:
    kept = dict(files.most_common(MAX_EXAMPLES))
    rest = files.total() - sum(kept.values())
    return {printable(suffix): count for suffix, count in kept.items()} | ({"of more suffixes": rest} if rest else {})


def _kinds(found: Iterable[FoundFiles]) -> dict[str, int]:
    return dict(Counter(image.path.suffix.lower() for each in found for image in each.images))


def thin_classes(splits: Iterable[SplitInventory]) -> dict[str, int]:
    """Returns the classes with few images in train, and how many they have."""
    images = next((split.images for split in splits if split.split == "train"), {})
    return {name: count for name, count in images.items() if count < THIN_TRAIN_IMAGES}


def split_notes(split: SplitInventory, files: SplitFiles) -> list[str]:
    """Returns what a user should know about one split."""
    name, notes = files.label, []
    if files.folder_name not in ("", split.split):
        notes.append(f"the folder {name} is used as {split.split}")
    if split.images_without_class:
        notes.append(
            f"{name}: {split.images_without_class} images are not in a folder of a class, so they are not used; put "
            f"them into {files.folder.name}/CLASS"
        )
    if split.other_files:
        files_text = suffix_counts(split.other_files)
        notes.append(f"{name}: not used {'are' if sum(split.other_files.values()) > 1 else 'is'} {files_text}")
    if split.hidden:
        names = list_names(split.hidden_names)
        notes.append(f"{name}: hidden files and folders are left out ({names}); none of them is a class")
    for each in (*files.classes.values(), files.loose):
        notes += [f"{name}: the folder {path} cannot be read ({why}) and is left out" for path, why in each.unreadable]
    return notes


def class_notes(thin: Mapping[str, int], similar: Sequence[Sequence[str]]) -> list[str]:
    """Returns what a user should know about the classes of train."""
    notes = [
        f"the classes {' and '.join(map(repr, group))} differ only by case or spaces; merge them if they are the same"
        for group in similar
    ]
    if some := {name: count for name, count in thin.items() if count}:
        few = list_names([f"{name} ({count})" for name, count in some.items()])
        notes.append(f"train: few images of {few}; a class should have {THIN_TRAIN_IMAGES} or more: add images")
    return notes


def duplicate_note(earlier: str, later: str, count: int, total: int, example: str) -> str:
    """Returns what a user should know about images that two splits share.

    Args:
        earlier: Name of the one split.
        later: Name of the other.
        count: Number of images of `later` that are in `earlier`, too.
        total: Number of images of `later`.
        example: Path of one of them.
    """
    return (
        f"{count} of {total} images of {later} are in {earlier}, too, such as {example}; what is measured on them says "
        "too much: remove them from one of the splits"
    )


def contradiction_note(split: str, count: int, example: Sequence[str]) -> str:
    """Returns what a user should know about images that a split has in two classes or more.

    Args:
        split: Name of the split, or of its folder.
        count: Number of such images.
        example: Paths of one of them in two classes.
    """
    images = "images are" if count > 1 else "image is"
    return (
        f"{split}: {count} {images} in two classes or more, such as {' and '.join(example)}; only one of the labels "
        "can be right: remove the other file"
    )


def unreadable_note(split: str, count: int, total: int, example: str) -> str:
    """Returns what a user should know about images that cannot be used.

    Args:
        split: Name of the split, or of its folder.
        count: Number of such images.
        total: Number of all images of the split.
        example: One of them, and what is wrong with it.
    """
    return f"{split}: {count} of {total} images could not be read and are left out, such as {example}"


def animated_note(split: str, count: int, total: int) -> str:
    """Returns what a user should know about animated images, which hold more images than one.

    Args:
        split: Name of the split, or of its folder.
        count: Number of such files.
        total: Number of images of the split that can be used.
    """
    return f"{split}: {count} of {total} images are animated; only the first image of each is used"


def deep_note(split: str, count: int, total: int) -> str:
    """Returns what a user should know about images of more than 8 bits a channel.

    Args:
        split: Name of the split, or of its folder.
        count: Number of such images.
        total: Number of images of the split that can be used.
    """
    return (
        f"{split}: {count} of {total} images have more than 8 bits a channel; their values are scaled to 0..255, where "
        "255 is the largest value that a file states, else 65535 (a value of 16 bits is divided by 257 and rounded)"
    )
