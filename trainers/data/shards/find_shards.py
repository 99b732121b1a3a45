"""Finds the images of a data set of shards, with their labels, classes and splits; it reads no image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import DataError
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.path_argument import out_of_reach
from allweather.trainers.data.shards.fetch import Cache
from allweather.trainers.data.shards.library import import_webdataset
from allweather.trainers.data.shards.patterns import (
    beside,
    divide_by_split,
    expand_pattern,
    is_url,
    short_name,
    shown,
)
from allweather.trainers.data.shards.shard_index import Shard, ShardIndex, index_shard
from allweather.trainers.data.shards.shard_labels import (
    CLASSES_FILE,
    UNKNOWN,
    classes_of_labels,
    label_table,
    read_class_names,
    unknown_label,
)
from allweather.trainers.data.shards.shard_source import ShardSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SplitImages:
    """The images of a split, in the order of the shards.

    Attributes:
        source: The images.
        labels: int64 [n], 0..C-1.
    """

    source: ShardSource
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FoundShards:
    """The images of a data set of shards.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        splits: Images of each split that exists, by "train", "val" and "test".
        notes: What a user should know, one line each.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, SplitImages]
    notes: tuple[str, ...]

    def missing(self, split: str) -> str:
        """Returns what is said of a split that does not exist."""
        return f"{self.name} names no {split} shards"


def find_shards(pattern: str) -> FoundShards:
    """Indexes the shards that a pattern names; those of URLs are fetched first if they are not there.

    Args:
        pattern: Paths or URLs of tar files, with braces.

    Raises:
        UsageError: The pattern cannot be expanded.
        DataError: A shard is missing or cannot be used, or the labels do not fit together.
        OutputError: A shard cannot be written into the cache.
        DependencyError: The webdataset library is not installed.
    """
    locations = expand_pattern(pattern)
    divided = divide_by_split(locations)
    cache = Cache() if any(map(is_url, locations)) else None
    _check_there(pattern, locations)
    shards = {split: _shards(each, cache) for split, each in divided.items()}
    named = _named_classes(locations[0], cache)
    texts: dict[str, int] = {}  # each label, and its place in the order of their first use
    indexes, codes, notes = {}, {}, []
    for split, each in shards.items():
        indexes[split], codes[split] = _index(each, texts)
        notes += _shard_notes(split, each, indexes[split])
    all_texts = list(texts)
    classes = named or classes_of_labels([all_texts[code] for code in np.unique(codes["train"])])
    table = np.array(label_table(all_texts, classes))
    splits = {}
    for split, each in shards.items():
        source, labels = ShardSource(each, indexes[split]), table[codes[split]]
        if (unknown := np.flatnonzero(labels == UNKNOWN)).size:
            first = int(unknown[0])
            where = f"the {len(classes)} classes of {CLASSES_FILE if named else 'train'}"
            raise unknown_label(all_texts[codes[split][first]], source.name(first), classes, where)
        splits[split] = SplitImages(source, labels)
    return FoundShards(f"webdataset:{short_name(pattern)}", classes, splits, tuple(notes))


def find_classes(pattern: str) -> tuple[str, ...]:
    """Returns the names of the classes; shards are only fetched and indexed if there is no classes.txt.

    Raises:
        UsageError: The pattern cannot be expanded.
        DataError: A shard is missing or cannot be used, or the labels do not fit together.
        OutputError: A shard cannot be written into the cache.
        DependencyError: The webdataset library is not installed.
    """
    locations = expand_pattern(pattern)
    divide_by_split(locations)
    try:
        named = _named_classes(locations[0], Cache() if is_url(locations[0]) else None)
    except DataError:
        named = None  # if it has to be there, it is told below
    return named or find_shards(pattern).classes


def _check_there(pattern: str, locations: Sequence[str]) -> None:
    local = {each: home_path(each) for each in locations if not is_url(each)}
    for path in local.values():
        if reason := out_of_reach(path):
            raise DataError(f"{shown(str(path))} cannot be read: {reason}")
    if absent := [path for path in local.values() if not path.exists()]:
        some = f"{len(absent)} of {len(local)}, such as {shown(str(absent[0]))}" if len(local) > 1 else "it"
        braces = "; write braces such as {000..009}, as * is not expanded" if "*" in pattern else ""
        raise DataError(
            f"no shard matches {shown(pattern)}: there is no such file{braces}"
            if len(absent) == len(locations)
            else f"shards of {shown(pattern)} are not there ({some}); correct the pattern, or add them"
        )


def _shards(locations: Sequence[str], cache: Cache | None) -> list[Shard]:
    local = {each: home_path(each) for each in locations if not is_url(each)}
    urls = [each for each in locations if is_url(each)]
    copies = dict(zip(urls, cache.fetch_all(urls), strict=True)) if cache and urls else {}
    return [Shard(copies.get(each) or local[each], shown(each), each in copies) for each in locations]


def _named_classes(first: str, cache: Cache | None) -> tuple[str, ...] | None:
    """Returns the classes of the file beside the first shard; None if there is none."""
    location = beside(first, CLASSES_FILE)
    path: Path | None
    if is_url(location):
        assert cache is not None
        path = cache.fetch_if_there(location)
    else:
        path = home_path(location)
    return read_class_names(path, shown(location)) if path is not None and path.is_file() else None


def _index(shards: Sequence[Shard], texts: dict[str, int]) -> tuple[list[ShardIndex], npt.NDArray[np.int64]]:
    """Returns the index of each shard, and the place of each image's label among all; new labels are added to them."""
    library = import_webdataset()
    indexes, codes = [], []
    for shard in shards:
        index, labels = index_shard(shard, library)
        indexes.append(index)
        codes.append(np.array([texts.setdefault(text, len(texts)) for text in labels], np.int64))
    return indexes, np.concatenate(codes)


def _shard_notes(split: str, shards: Sequence[Shard], indexes: Sequence[ShardIndex]) -> list[str]:
    """Returns what a user should know about the shards of a split; also warns if some are cut off."""
    notes = []
    if cut := [number for number, index in enumerate(indexes) if not index.is_whole]:
        first = cut[0]
        line = (
            f"{split}: {len(cut)} of {len(shards)} shards {'are' if len(cut) > 1 else 'is'} cut off or damaged, such "
            f"as {shards[first].shown}; the images before the cut are used, {len(indexes[first].offsets)} of this one: "
            "replace it"
        )
        log.warning("%s", line)
        notes.append(line)
    if without := sum(index.without_image for index in indexes):
        notes.append(f"{split}: {without} samples have no image KEY.jpg and are left out")
    if more := sum(index.with_more_images for index in indexes):
        notes.append(f"{split}: {more} samples have several images; the first of each is used")
    return notes
