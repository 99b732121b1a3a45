"""Reads the splits of torch's data sets and of those of the datasets library, and counts what they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.text import printable
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.files.names import list_names
from allweather.trainers.data.inventory import (
    MAX_EXAMPLES,
    Inventory,
    animated_note,
    class_notes,
    count_labels,
    deep_note,
    duplicate_note,
    unreadable_note,
)
from allweather.trainers.data.items.copies import Copies, find_copies
from allweather.trainers.data.items.hugging_face import (
    hugging_face_classes,
    is_hugging_face,
    read_hugging_face,
    splits_of,
)
from allweather.trainers.data.items.torch_items import ReadItems, check_map_style, read_torch, torch_classes
from allweather.trainers.data.split import Split


@dataclass(frozen=True)
class ReadSplits:
    """The splits of a data set as they were read.

    Attributes:
        classes: Names of the classes.
        splits: The splits that were given, by "train", "val" and "test".
        inventory: What they hold, with notes.
        copies: Indices of training images that are the same, group by group.
    """

    classes: tuple[str, ...]
    splits: dict[str, Split]
    inventory: Inventory
    copies: list[list[int]]


def read_splits(
    name: str, train: Any, val: Any, test: Any, classes: Sequence[str] | None, spec: InputSpec
) -> ReadSplits:
    """Reads splits.

    Args:
        name: Name of the data set.
        train: A map-style torch data set, a `datasets.Dataset`, or a `datasets.DatasetDict` of all splits.
        val: Such a data set, or None.
        test: Such a data set, or None.
        classes: Names of the classes; None for those that `train` tells.
        spec: Size and crop that every image is brought to.

    Raises:
        DataError: A data set cannot be read; the message names the split and the item.
    """
    given, others = {"train": train, "val": val, "test": test}, tuple[str, ...]()
    if is_hugging_face(train):
        found, others = splits_of(train)
        if twice := [split for split in found if split != "train" and given[split] is not None]:
            raise DataError(f"train holds the split {twice[0]}, and {twice[0]} was given as well; give one of them")
        given |= found
    given = {split: dataset for split, dataset in given.items() if dataset is not None}
    if "train" not in given:
        raise DataError("train is a data set with items (image, label); got None")
    for split, dataset in given.items():
        if isinstance(dataset, Mapping):
            raise DataError(
                f"{split} is one data set; got {type(dataset).__name__}: give it as train, or one of its splits"
            )
        if not is_hugging_face(dataset):
            check_map_style(split, dataset)
    names = _classes(given["train"], classes)
    read = {
        split: read_hugging_face(split, dataset, names, spec)
        if is_hugging_face(dataset)
        else read_torch(split, dataset, len(names), spec)
        for split, dataset in given.items()
    }
    splits = {split: items.split for split, items in read.items()}
    copies = find_copies(splits)
    return ReadSplits(names, splits, _inventory(name, names, read, others, copies), copies.in_train)


def _classes(train: Any, classes: Sequence[str] | None) -> tuple[str, ...]:
    told = hugging_face_classes("train", train) if is_hugging_face(train) else torch_classes(train)
    if classes is None and told is None:
        raise DataError(
            "the data set tells no names of its classes: give classes=['cat', 'dog'], in the order of labels"
        )
    if isinstance(classes, str) or not isinstance(classes, Sequence | None):
        raise DataError(f"classes are the names of the classes in a list; got {type(classes).__name__}")
    names = told if classes is None else tuple(classes)
    assert names is not None
    check_class_names(names)
    if len(names) < 2:
        raise DataError(f"a data set has two classes or more; got {len(names)}")
    if told and not is_hugging_face(train) and told != names and sorted(told) == sorted(names):
        raise DataError(
            "classes has the names of train's own classes in another order, but labels are numbers in that of "
            f"train.classes ({list_names(told)}): leave out classes"
        )
    return names


def _inventory(
    name: str, classes: tuple[str, ...], read: dict[str, ReadItems], others: tuple[str, ...], copies: Copies
) -> Inventory:
    """Counts what was read.

    Raises:
        DataError: All training images are of one class.
    """
    inventory = count_labels(name, classes, {split: items.split.labels.tolist() for split, items in read.items()})
    notes = [f"the splits {list_names(others)} are not known, and are not used"] if others else []
    splits = []
    for counted in inventory.splits:
        items, split = read[counted.split], counted.split
        used = [label for label, count in counted.images.items() if count]
        if split == "train" and len(used) < 2:
            raise DataError(
                f"all {len(items.split)} images of train have the label of {used[0]!r}; at least two classes"
            )
        if missing := [label for label in classes if label not in used]:
            what = "it cannot be learned" if split == "train" else "nothing is measured for them"
            notes.append(f"{split}: no images of {list_names(missing)}; {what}")
        if items.damaged:
            total = len(items.damaged) + len(items.split)
            notes.append(unreadable_note(split, len(items.damaged), total, items.damaged[0]))
        if items.deep:
            notes.append(deep_note(split, items.deep, len(items.split)))
        if items.animated:
            notes.append(animated_note(split, items.animated, len(items.split)))
        examples = tuple(printable(line) for line in items.damaged[:MAX_EXAMPLES])
        splits.append(dataclasses.replace(counted, unreadable=len(items.damaged), unreadable_paths=examples))
    notes += class_notes(inventory.thin_classes, ())
    for (earlier, later), indices in copies.shared.items():
        total = len(read[later].split)
        notes.append(duplicate_note(earlier, later, len(indices), total, f"{later}[{indices[0]}]"))
    duplicates = {f"{earlier}/{later}": len(indices) for (earlier, later), indices in copies.shared.items()}
    notes = [printable(note) for note in notes]
    return dataclasses.replace(inventory, splits=tuple(splits), duplicates=duplicates, notes=tuple(notes))
