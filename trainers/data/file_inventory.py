"""Takes the inventory of image files: what is in a data set, what a user should know, and what cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.files.duplicates import contradictions, same_content, shared_images
from allweather.trainers.data.files.labeled_files import LabeledFiles, SplitFiles
from allweather.trainers.data.files.names import list_names, same_name, similar_names
from allweather.trainers.data.inventory import (
    Inventory,
    SplitInventory,
    animated_note,
    class_notes,
    contradiction_note,
    count_files,
    deep_note,
    duplicate_note,
    split_notes,
    thin_classes,
    unreadable_note,
)


@dataclass(frozen=True)
class DecodedFiles:
    """What became known about the image files of a split when they were decoded.

    Attributes:
        damaged: What is wrong with those that cannot be used, by path.
        deep: Number of those that have more than 8 bits a channel.
        animated: Number of those that hold more images than the first one.
    """

    damaged: Mapping[Path, str]
    deep: int
    animated: int = 0


def take_inventory(found: LabeledFiles, decoded: Mapping[str, DecodedFiles]) -> Inventory:
    """Counts what a data set of files holds.

    Args:
        found: Its files.
        decoded: What became known when those of each split were decoded.
    """
    counted, notes, problems = {}, list(found.notes), list(found.problems)
    if not problems:
        problems += _name_problems(found)
    for name, files in found.splits.items():
        damaged, total = decoded[name].damaged, len(found.files(name))
        counted[name] = count_files(files, damaged)
        notes += split_notes(counted[name], files)
        if damaged:
            path, reason = next(iter(damaged.items()))
            notes.append(unreadable_note(files.label, len(damaged), total, f"{files.shown(path)}: {reason}"))
        if decoded[name].deep:
            notes.append(deep_note(files.label, decoded[name].deep, total - len(damaged)))
        if decoded[name].animated:
            notes.append(animated_note(files.label, decoded[name].animated, total - len(damaged)))
        if name == "train":
            problems += [
                _none_usable(files, label, files.classes[label].images[0].path, damaged)
                for label, count in counted[name].images.items()
                if not count and files.classes[label].images
            ]
    notes += _missing_notes(found, counted)
    thin, similar = thin_classes(counted.values()), similar_names(found.classes)
    notes += class_notes(thin, [group for group in similar if len({*map(same_name, group)}) == len(group)])
    groups = same_content(found.members())
    for name, files in found.splits.items():
        if twice := contradictions(groups, name):
            notes.append(contradiction_note(files.label, len(twice), [found.shown(path) for path in twice[0]]))
    shared = shared_images(groups, tuple(found.splits))
    for (earlier, later), same in shared.items():
        total = sum(len(each.images) for each in found.splits[later].classes.values())
        notes.append(duplicate_note(earlier, later, len(same), total, found.shown(same[0])))
    duplicates = {f"{earlier}/{later}": len(paths) for (earlier, later), paths in shared.items()}
    notes, problems = [printable(note) for note in notes], [printable(problem) for problem in problems]
    return Inventory(
        found.name, found.classes, tuple(counted.values()), thin, similar, duplicates, tuple(notes), tuple(problems)
    )


def _name_problems(found: LabeledFiles) -> list[str]:
    try:
        check_class_names(found.classes)
    except DataError as error:
        return [str(error)]
    return []


def _none_usable(files: SplitFiles, label: str, example: Path, damaged: Mapping[Path, str]) -> str:
    return (
        f"none of the images of the class {label!r} in {files.label} can be used, so it cannot be learned; "
        f"{example.name}: {damaged[example]}; or leave out the class"
    )


def _missing_notes(found: LabeledFiles, counted: Mapping[str, SplitInventory]) -> list[str]:
    """Returns notes on the classes of which a split other than train has no image that can be read."""
    notes = []
    for name, files in found.splits.items():
        present = {same_name(label) for label, count in counted[name].images.items() if count}
        missing = [label for label in found.classes if same_name(label) not in present]
        if name != "train" and missing and present:
            notes.append(f"{files.label}: no images of {list_names(missing)}; nothing is measured for them")
    return notes
