"""allweather inspect, and the inventory of the data as other commands show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import handle_errors, out, print_result, print_table, progress_bar, say, to_json
from allweather.cli.options import DATA_HELP, AsJson, Download

if TYPE_CHECKING:
    from allweather.enough_images import Purpose
    from allweather.trainers.data.inventory import Inventory, SplitInventory

MAX_CLASSES = 50  # rows of the table of classes; --json has all


@handle_errors
def inspect(
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Lists what a data set holds, what is wrong with it, and what its images are enough for.

    It counts the images of each class and split, files that are not used, hidden and unreadable ones, classes with few
    images, and images that are in two splits. Each image is decoded. The other commands show a short form of it before
    they start. A second table says for what there are enough images: to train, to export to INT8, to choose a policy.
    """
    from allweather.enough_images import few_val_notes, purposes
    from allweather.trainers.data.registry import inspect_dataset

    with progress_bar("inspect") as update:
        inventory = inspect_dataset(
            data, download=download, watch=lambda done, total: update(done, f"inspect: {done} of {total} images", total)
        )
    found = purposes(inventory)
    if as_json:
        print_result({**to_json(inventory), "purposes": to_json(found)}, True, "inventory")
        return
    for line in _aligned(split_rows(inventory)):
        out.print(line)
    print_table(_class_rows(inventory))
    if found:
        print_table(_purpose_rows(found))
    for note in inventory.notes:
        say(note)
    for split in inventory.splits:
        if split.unreadable > 1:  # a note names the first one, and why
            say(_unreadable_names(split))
    for policy in (each for each in found if each.purpose == "tune-policy"):
        for note in few_val_notes(policy.images):
            say(note)
    for problem in inventory.problems:
        say(f"cannot be used: {problem}")


def _unreadable_names(split: SplitInventory) -> str:
    """Returns a line with the names of the images of a split that cannot be read, the first ten of them."""
    more = split.unreadable - len(split.unreadable_paths)
    names = f"{', '.join(split.unreadable_paths)}{f' and {more} more' if more else ''}"
    return f"{split.folder or split.split}: not readable are {names}"


def say_inventory(inventory: Inventory | None) -> None:
    """Prints a short table of a data set's splits on stderr."""
    for line in _aligned(split_rows(inventory)) if inventory else ():
        say(line)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a table as lines of text, which no narrow terminal cuts; the first column is aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    return [
        "  ".join((row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))))
        for row in rows
    ]


def split_rows(inventory: Inventory) -> list[Sequence[str]]:
    """Returns a table with a row for each split; columns of which all values are 0 are left out."""
    header = ("data", "images", "classes", "smallest class", "other files", "hidden", "unreadable", "also in train")
    rows = [_split_row(inventory, split) for split in inventory.splits]
    shown = [index for index in range(len(header)) if index < 4 or any(row[index] != "0" for row in rows)]
    return [[row[index] for index in shown] for row in (header, *rows)]


def _split_row(inventory: Inventory, split: SplitInventory) -> Sequence[str]:
    counts = split.images.values()
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in split.kinds.items())
    name = f"{split.folder or split.split}{f' ({kinds})' if kinds else ''}"
    duplicates = (inventory.duplicates or {}).get(f"train/{split.split}", 0)
    other = sum(split.other_files.values()) + split.images_without_class
    numbers = (sum(counts), sum(map(bool, counts)), min(counts, default=0), other, split.hidden, split.unreadable)
    return (name, *map(str, numbers), str(duplicates))


def _class_rows(inventory: Inventory) -> list[Sequence[str]]:
    """Returns a table with a row for each class, those with the fewest training images first."""
    train = next((split.images for split in inventory.splits if split.split == "train"), {})
    names = sorted(inventory.classes, key=lambda name: train.get(name, 0))
    rows: list[Sequence[str]] = [("class", *(split.split for split in inventory.splits))]
    rows += [(name, *(str(split.images.get(name, 0)) for split in inventory.splits)) for name in names[:MAX_CLASSES]]
    if len(names) > MAX_CLASSES:
        rows.append((f"and {len(names) - MAX_CLASSES} more", *("" for _ in inventory.splits)))
    return rows


def _purpose_rows(found: Sequence[Purpose]) -> list[Sequence[str]]:
    """Returns a table that says what the images are enough for."""
    rows: list[Sequence[str]] = [("for", "images", "enough from", "these")]
    for each in found:
        enough_from = "" if each.enough_from is None else str(each.enough_from)
        rows.append((each.purpose, f"{each.images} {each.counted}", enough_from, each.conclusion))
    return rows
