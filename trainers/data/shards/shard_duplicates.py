"""Finds images of shards that have the same bytes, by digests that were taken while each was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from allweather.trainers.data.inventory import contradiction_note, duplicate_note
from allweather.trainers.data.shards.find_shards import SplitImages

NOT_READ = 0  # in place of the digest of an image that cannot be used
Digests = npt.NDArray[np.uint64]


def digest(data: bytes) -> int:
    """Returns a number of 64 bits that hardly any other bytes have: of 10^7 images, two by chance in 1 of 10^5 sets."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def shared_images(
    splits: Mapping[str, SplitImages], digests: Mapping[str, Digests]
) -> tuple[dict[str, int], list[str]]:
    """Finds images that two splits share, or that a split has with two labels.

    Args:
        splits: Images of each split.
        digests: That of each image of a split, uint64 [n]; `NOT_READ` is equal to none.

    Returns:
        The number of images of the later split that are in the earlier one, too, by "train/test" and so on, where there
        are any; and what a user should know.
    """
    counts, notes = {}, []
    for split, images in splits.items():
        if len(twice := _with_two_labels(digests[split], images.labels)):
            first = np.flatnonzero(digests[split] == twice[0])
            other = first[images.labels[first] != images.labels[first[0]]][0]
            example = [images.source.name(int(index)) for index in (first[0], other)]
            notes.append(contradiction_note(split, len(twice), example))
    for earlier, later in combinations(splits, 2):
        found = np.flatnonzero(np.isin(digests[later], digests[earlier]) & (digests[later] != NOT_READ))
        if found.size:
            counts[f"{earlier}/{later}"] = int(found.size)
            example_name = splits[later].source.name(int(found[0]))
            notes.append(duplicate_note(earlier, later, int(found.size), len(digests[later]), example_name))
    return counts, notes


def _with_two_labels(digests: Digests, labels: npt.NDArray[np.int64]) -> Digests:
    """Returns the digests that occur with different labels, each once."""
    order = np.lexsort((labels, digests))
    digests, labels = digests[order], labels[order]
    twice = (digests[1:] == digests[:-1]) & (labels[1:] != labels[:-1]) & (digests[1:] != NOT_READ)
    return np.unique(digests[1:][twice])
