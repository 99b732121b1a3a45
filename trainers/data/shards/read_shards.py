"""Opens data sets of shards, whose images are always streamed."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.held_out import complete_splits
from allweather.trainers.data.shards.find_shards import SplitImages, find_classes, find_shards
from allweather.trainers.data.shards.shard_inventory import take_inventory
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.data.streamed.damaged_images import DamagedImages
from allweather.trainers.data.streamed.reading import AS_IT_FITS, Reading
from allweather.trainers.data.streamed.streamed_split import StreamedSplit


def read_shards(pattern: str, spec: InputSpec, reading: Reading = AS_IT_FITS) -> Dataset:
    """Prepares to stream the images of shards. Splits that are missing are made as `complete_splits` says.

    Args:
        pattern: Paths or URLs of tar files with braces, such as `shards/{train,val}-{000..009}.tar`.
        spec: Size and crop that every image is brought to.
        reading: How they are streamed.

    Raises:
        UsageError: The pattern cannot be expanded, or the images are to be in memory.
        DataError: A shard is missing or cannot be used, or the labels do not fit together.
        OutputError: A shard of a URL cannot be written into the cache.
        DependencyError: The webdataset library is not installed.
    """
    if reading.stream is False:
        raise UsageError("images of shards are always streamed; leave out --in-memory (in Python stream=False)")
    found = find_shards(pattern)
    inventory = take_inventory(found)
    splits: dict[str, LabeledImages | None] = {
        split: _streamed(images, spec, reading) for split, images in found.splits.items()
    }
    train, val, test, notes = complete_splits(splits, found.classes, found.missing)
    inventory = dataclasses.replace(inventory, notes=(*inventory.notes, *notes))
    return Dataset(
        found.name, found.classes, train, val, test, hflip=True, notes=inventory.notes, inventory=inventory,
        crop=spec.crop,
    )  # fmt: skip


def shard_classes(pattern: str) -> tuple[str, ...]:
    """Returns the names of the classes, without reading an image; see `find_classes`."""
    return find_classes(pattern)


def _streamed(images: SplitImages, spec: InputSpec, reading: Reading) -> StreamedSplit:
    return StreamedSplit(
        images.source, DamagedImages(images.source), np.arange(len(images.source)), torch.from_numpy(images.labels),
        spec, random_resized=reading.random_resized, workers=reading.processes,
    )  # fmt: skip
