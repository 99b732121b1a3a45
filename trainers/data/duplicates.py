"""Finds files of the same content in two splits, reading as few bytes as it takes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from allweather.trainers.data.folder_files import ImageFile

Member: TypeAlias = tuple[str, ImageFile]  # name of the split, file
PART_BYTES = 4096  # of the middle of a file: nearly all files of one size differ there
BLOCK_BYTES = 1 << 20  # read at a time


def shared_images(splits: Mapping[str, Iterable[ImageFile]]) -> dict[tuple[str, str], list[Path]]:
    """Returns the files of a split whose content another split has, too.

    Only files of one size are compared, first by a part of each and then as a whole.

    Args:
        splits: Files by the name of the split; a split is compared with those before it.

    Returns:
        For each pair of splits (earlier, later) that share content: the files of the later one. Files that cannot be
        read are left out.
    """
    groups: list[list[Member]] = [[(split, file) for split, files in splits.items() for file in files if file.size > 0]]
    for key in (_size, _middle, _content):
        groups = [part for group in groups for part in _divide(group, key)]
    shared: dict[tuple[str, str], list[Path]] = {}
    for group in groups:
        present = {split for split, _ in group}
        for earlier, later in combinations(splits, 2):
            if earlier in present and later in present:
                paths = shared.setdefault((earlier, later), [])
                paths += [file.path for split, file in group if split == later]
    return shared


def _divide(group: list[Member], key: Callable[[ImageFile], Hashable]) -> list[list[Member]]:
    """Returns the files of a group that have the same key, where files of two splits or more have it."""
    parts: dict[Hashable, list[Member]] = defaultdict(list)
    for member in group:
        try:
            parts[key(member[1])].append(member)
        except OSError:
            continue
    return [part for part in parts.values() if len({split for split, _ in part}) > 1]


def _size(file: ImageFile) -> int:
    return file.size


def _middle(file: ImageFile) -> bytes:
    with file.path.open("rb") as opened:
        opened.seek(max(0, file.size // 2 - PART_BYTES // 2))
        return hashlib.blake2b(opened.read(PART_BYTES), digest_size=16).digest()


def _content(file: ImageFile) -> bytes:
    if file.size <= PART_BYTES:
        return _middle(file)
    digest = hashlib.blake2b(digest_size=16)
    with file.path.open("rb") as opened:
        while block := opened.read(BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
