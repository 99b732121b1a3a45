"""Finds images that are the same once they are prepared, in one split or in two."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

from allweather.runtimes.system.limits import usable_cores
from allweather.trainers.data.split import Split


@dataclass(frozen=True)
class Copies:
    """Images that are the same as others.

    Attributes:
        in_train: Indices of training images that are the same, group by group.
        shared: For each pair of splits (earlier, later) that share images: the indices of those in the later one.
    """

    in_train: list[list[int]]
    shared: dict[tuple[str, str], list[int]]


def find_copies(splits: Mapping[str, Split]) -> Copies:
    """Compares the images of all splits.

    Args:
        splits: The splits, by "train", "val" and "test".
    """
    places = {name: _places(split) for name, split in splits.items()}
    shared = {
        (earlier, later): sorted(
            index for key in places[earlier].keys() & places[later] for index in places[later][key]
        )
        for earlier, later in combinations(splits, 2)
    }
    in_train = [indices for indices in places["train"].values() if len(indices) > 1]
    return Copies(in_train, {pair: indices for pair, indices in shared.items() if indices})


def _places(split: Split) -> dict[bytes, list[int]]:
    """Returns the indices of the images of a split by a hash of their pixels."""
    images = split.images.numpy()
    with ThreadPoolExecutor(usable_cores()) as pool:  # hashlib releases the GIL
        digests = pool.map(lambda image: hashlib.blake2b(image, digest_size=16).digest(), images, chunksize=64)
        places = defaultdict[bytes, list[int]](list)
        for index, digest in enumerate(digests):
            places[digest].append(index)
    return places
