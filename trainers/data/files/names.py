"""Names of classes, splits and files: which are the same, and how many of them a message tells."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

# names of a split, in lower case; all are in use by tools that export data sets
SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

SAVED_MARKS = (
    "dataset_dict.json",
    "state.json",
)  # files that save_to_disk of the datasets library leaves in its folder


def split_of(name: str) -> str | None:
    """Returns the split that is meant by a name: "train", "val", "test" or None."""
    return next((split for split, known in SPLIT_NAMES.items() if name.strip().lower() in known), None)


def same_name(name: str) -> str:
    """Returns the form by which two names are the same: systems write accents as one character or as two."""
    return unicodedata.normalize("NFC", name)


def similar_names(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Returns the groups of names that differ only by case, spaces at their ends or the form of Unicode."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(same_name(same_name(name).strip().casefold()), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def list_names(names: Sequence[str], most: int = 5) -> str:
    """Returns the first names separated by commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def suffix_counts(files: Mapping[str, int]) -> str:
    """Returns how many files of other kinds there are, such as "12 files of other kinds (.heic 12)"."""
    total = sum(files.values())
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(files.items(), key=lambda item: -item[1])[:5])
    return f"{total} file{'s' * (total > 1)} of other kinds ({kinds})"
