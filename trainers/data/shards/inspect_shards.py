"""Takes the inventory of shards: decodes each image to see that it can be used, and keeps none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from allweather.runtimes.cameras.image_files.decode import decode
from allweather.runtimes.errors import DataError
from allweather.runtimes.system.limits import usable_cores
from allweather.trainers.data.held_out import planned_splits
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.data.shards.find_shards import find_shards
from allweather.trainers.data.shards.shard_duplicates import NOT_READ, digest
from allweather.trainers.data.shards.shard_inventory import CheckedImages, take_inventory
from allweather.trainers.data.streamed.image_source import ImageSource

AT_ONCE = 256  # images that wait to be decoded


def inspect_shards(pattern: str, watch: Callable[[int, int], None] = lambda done, total: None) -> Inventory:
    """Takes the inventory of a data set of shards.

    Args:
        pattern: Paths or URLs of tar files, with braces.
        watch: Called with (images decoded, images in total).

    Raises:
        UsageError: The pattern cannot be expanded.
        DataError: A shard is missing or cannot be used, or the labels do not fit together.
        OutputError: A shard of a URL cannot be written into the cache.
        DependencyError: The webdataset library is not installed.
    """
    found = find_shards(pattern)
    done, total = 0, sum(len(images.labels) for images in found.splits.values())

    def seen() -> None:
        nonlocal done
        done += 1
        watch(done, total)

    checked = {split: _check(images.source, seen) for split, images in found.splits.items()}
    inventory = take_inventory(found, checked)
    usable = [split.split for split in inventory.splits if sum(split.images.values())]
    return dataclasses.replace(inventory, notes=(*inventory.notes, *planned_splits(usable, found.missing)))


def _check(source: ImageSource, seen: Callable[[], None]) -> CheckedImages:
    """Decodes all images of a source on all cores."""
    damaged: dict[int, str] = {}
    digests = np.full(len(source), NOT_READ, np.uint64)
    deep = animated = 0
    with ThreadPoolExecutor(usable_cores()) as pool:  # cv2 releases the GIL while it decodes
        for first in range(0, len(source), AT_ONCE):
            indices = range(first, min(first + AT_ONCE, len(source)))
            looked_at = pool.map(lambda index: _look_at(source, index), indices)
            for index, (reason, is_deep, is_animated, number) in zip(indices, looked_at, strict=True):
                digests[index] = number
                if reason:
                    damaged[index] = reason
                deep += is_deep
                animated += is_animated
                seen()
    return CheckedImages(damaged, deep, animated, digests)


def _look_at(source: ImageSource, index: int) -> tuple[str, bool, bool, int]:
    """Returns what is wrong with an image, "" for nothing; whether it is deep, and animated; and its digest."""
    try:
        data = source.read(index)
        image = decode(data)
    except OSError as error:
        return error.strerror or str(error), False, False, NOT_READ
    except DataError as error:
        return str(error), False, False, NOT_READ
    return "", image.maximum > 255, image.animated, digest(data)
