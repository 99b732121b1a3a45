"""Makes the val and test splits of a data set that lacks them, from images of train."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch

from allweather.trainers.data.division import split_off_each_class
from allweather.trainers.data.files.names import list_names
from allweather.trainers.data.split import LabeledImages

SHARE = 0.1  # of the training images of each class, for each split that is missing
SPLIT_SEED = 20  # where none is given: fixed, so that no run validates on images that another run was trained on


def complete_splits(
    splits: Mapping[str, LabeledImages | None],
    classes: Sequence[str],
    missing: Callable[[str], str],
    *,
    seed: int = SPLIT_SEED,
    copies: Sequence[Sequence[int]] = (),
) -> tuple[LabeledImages, LabeledImages, LabeledImages, list[str]]:
    """Returns train, val and test of a data set, and what a user should know about how they came to be.

    If val is missing, a tenth of each class is held out of train. If test is missing as well, another tenth is held out
    for it, so that no image that chooses a model measures it. If only test is missing, val is used in its place.

    Args:
        splits: The splits that there are, with "train" among them.
        classes: Names of the classes.
        missing: Returns what is said of a missing split, such as "there is no val folder".
        seed: Random seed; the same seed gives the same splits.
        copies: Indices of training images that show the same, group by group; none is divided.

    Raises:
        DataError: There is no val, and no class has two different images.
    """
    train, val, test = (splits.get(name) for name in ("train", "val", "test"))
    assert train is not None
    notes: list[str] = []
    if val is None:
        names = ["val"] if test is not None else ["val", "test"]
        train, *parts = split_off_each_class(train, [SHARE] * len(names), seed, copies)
        made = {name: part for name, part in zip(names, parts, strict=True) if len(part)}
        val, test = made["val"], made.get("test", test)
        for name, part in made.items():
            notes += _held_out_notes(name, part, classes, missing(name), seed)
    if test is None:
        test = val
        notes.append(
            f"{missing('test')}: val is used instead, so the test images are those that the model was chosen by"
        )
    return train, val, test, notes


def planned_splits(splits: Collection[str], missing: Callable[[str], str]) -> list[str]:
    """Returns what `complete_splits` will do, where nothing is read.

    Args:
        splits: The splits that there are.
        missing: Returns what is said of a missing split.
    """
    if "val" in splits:
        return [] if "test" in splits else [f"{missing('test')}: val will be used instead"]
    absent = [name for name in ("val", "test") if name not in splits]
    return [f"{missing(name)}: a tenth of each class of train will be held out as {name}" for name in absent]


def _held_out_notes(name: str, part: LabeledImages, classes: Sequence[str], missing: str, seed: int) -> list[str]:
    notes = [f"{missing}: {len(part)} images of train are held out as {name}, a tenth of each class (seed {seed})"]
    counts = torch.bincount(part.labels, minlength=len(classes)).tolist()
    if alone := [label for label, count in zip(classes, counts, strict=True) if not count]:
        few = "only one, or copies of one," if name == "val" else "only one or two, or copies of them,"
        notes.append(f"{name} has no image of {list_names(alone)}: train has {few} to learn from; add images")
    return notes
