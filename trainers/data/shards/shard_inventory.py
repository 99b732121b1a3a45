"""The inventory of a data set of shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.trainers.data.files.names import list_names, similar_names
from allweather.trainers.data.inventory import (
    MAX_EXAMPLES,
    Inventory,
    SplitInventory,
    animated_note,
    class_notes,
    count_labels,
    deep_note,
    unreadable_note,
)
from allweather.trainers.data.shards.find_shards import FoundShards
from allweather.trainers.data.shards.shard_duplicates import Digests, shared_images


@dataclass(frozen=True)
class CheckedImages:
    """What became known about the images of a split when they were decoded.

    Attributes:
        damaged: What is wrong with those that cannot be used, by their index.
        deep: Number of those that have more than 8 bits a channel.
        animated: Number of those that hold more images than the first one.
        digests: That of the bytes of each, uint64 [n], `NOT_READ` for those that cannot be used.
    """

    damaged: Mapping[int, str]
    deep: int
    animated: int
    digests: Digests


NOT_CHECKED = CheckedImages({}, 0, 0, np.zeros(0, np.uint64))


def take_inventory(found: FoundShards, checked: Mapping[str, CheckedImages] | None = None) -> Inventory:
    """Counts what a data set of shards holds.

    Args:
        found: Its images.
        checked: What became known when those of each split were decoded; None if they were not.

    Raises:
        DataError: All training images are of one class.
    """
    of_split = {split: checked[split] if checked else NOT_CHECKED for split in found.splits}
    labels = {
        split: np.delete(images.labels, list(of_split[split].damaged)).tolist()
        for split, images in found.splits.items()
    }
    inventory = count_labels(found.name, found.classes, labels)
    notes, splits = list(found.notes), []
    for counted in inventory.splits:
        images, seen = found.splits[counted.split], of_split[counted.split]
        notes += _class_notes(counted, found.classes)
        notes += _image_notes(counted.split, seen, len(images.labels), images.source.name)
        examples = tuple(images.source.name(index) for index in list(seen.damaged)[:MAX_EXAMPLES])
        splits.append(dataclasses.replace(counted, unreadable=len(seen.damaged), unreadable_paths=examples))
    duplicates = None
    if checked:
        duplicates, shared = shared_images(found.splits, {split: seen.digests for split, seen in checked.items()})
        notes += shared
    similar = similar_names(found.classes)
    notes += class_notes(inventory.thin_classes, similar)
    return dataclasses.replace(
        inventory,
        splits=tuple(splits),
        similar_classes=similar,
        duplicates=duplicates,
        notes=tuple(printable(note) for note in notes),
    )


def _class_notes(counted: SplitInventory, classes: Sequence[str]) -> list[str]:
    used = [label for label, count in counted.images.items() if count]
    if counted.split == "train" and len(used) < 2:
        what = f"all images of train that can be used have the label {used[0]!r}" if used else "no image can be used"
        raise DataError(f"{what}; a data set has images of at least two classes in train")
    if not (missing := [label for label in classes if not counted.images[label]]):
        return []
    what = "they cannot be learned" if counted.split == "train" else "nothing is measured for them"
    return [f"{counted.split}: no images of {list_names(missing)}; {what}"]


def _image_notes(split: str, seen: CheckedImages, total: int, name: Callable[[int], str]) -> list[str]:
    notes = []
    if seen.damaged:
        index, reason = next(iter(seen.damaged.items()))
        notes.append(unreadable_note(split, len(seen.damaged), total, f"{name(index)}: {reason}"))
    usable = total - len(seen.damaged)
    if seen.deep:
        notes.append(deep_note(split, seen.deep, usable))
    if seen.animated:
        notes.append(animated_note(split, seen.animated, usable))
    return notes
