"""Finds files of the same content, reading as few bytes as it takes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import combinations
from pathlib import Path

from allweather.trainers.data.files.labeled_files import ImageFile, Member

PART_BYTES = 4096  # of the middle of a file: nearly all files of one size differ there
BLOCK_BYTES = 1 << 20  # read at a time


def same_content(members: Iterable[Member]) -> list[list[Member]]:
    """Returns the groups of two or more files that have the same content.

    Only files of one size are compared, first by a part of each and then as a whole. Files that are empty or cannot be
    read are in no group.

    Args:
        members: Files of a data set.
    """
    groups: list[list[Member]] = [[member for member in members if member.file.size > 0]]
    for key in (_size, _middle, _content):
        groups = [part for group in groups for part in _divide(group, key)]
    return groups


def shared_images(groups: Iterable[Sequence[Member]], splits: Sequence[str]) -> dict[tuple[str, str], list[Path]]:
    """Returns the files of a split whose content another split has, too.

    Args:
        groups: Groups of files of the same content.
        splits: Names of the splits; a split is compared with those before it.

    Returns:
        For each pair of splits (earlier, later) that share content: the files of the later one.
    """
    shared: dict[tuple[str, str], list[Path]] = {}
    for group in groups:
        present = {member.split for member in group}
        for earlier, later in combinations(splits, 2):
            if earlier in present and later in present:
                paths = shared.setdefault((earlier, later), [])
                paths += [member.file.path for member in group if member.split == later]
    return shared


def contradictions(groups: Iterable[Sequence[Member]], split: str) -> list[tuple[Path, Path]]:
    """Returns the images that a split has in two classes or more: two files of each, of different classes."""
    found = []
    for group in groups:
        of_label = {member.label: member.file.path for member in group if member.split == split}
        if len(of_label) > 1:
            first, second, *_ = sorted(of_label.values())
            found.append((first, second))
    return found


def _divide(group: list[Member], key: Callable[[ImageFile], Hashable]) -> list[list[Member]]:
    """Returns the files of a group that have the same key, where two or more have it."""
    parts: dict[Hashable, list[Member]] = defaultdict(list)
    for member in group:
        try:
            parts[key(member.file)].append(member)
        except OSError:
            continue
    return [part for part in parts.values() if len(part) > 1]


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
