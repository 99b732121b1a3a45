"""Reads data sets of image files, in folders or by a list: decodes them on all cores and brings them to one size."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from allweather.runtimes.cameras.image_files.decode import DecodedImage, read_and_decode
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.text import printable
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.file_inventory import DecodedFiles, take_inventory
from allweather.trainers.data.files.duplicates import same_content
from allweather.trainers.data.files.labeled_files import LabeledFiles
from allweather.trainers.data.held_out import complete_splits, planned_splits
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.data.split import LabeledImages, Split
from allweather.trainers.data.streamed.reading import AS_IT_FITS, Reading
from allweather.trainers.data.streamed.streamed_files import stream_split

DEFAULT_SIZE = 224  # pixels, as image classifiers are usually trained
MAX_NAMED = 10  # files that cannot be used are named in each split; the others are counted

log = logging.getLogger(__name__)


def read_files(found: LabeledFiles, spec: InputSpec, reading: Reading = AS_IT_FITS) -> Dataset:
    """Opens a data set of image files: reads and resizes all images, or prepares to stream them.

    Splits that are missing are made as `complete_splits` says. The notes of the data set say so, and what its inventory
    found. A file that cannot be used is named in a warning and left out.

    Args:
        found: The files.
        spec: Size and crop that every image is brought to.
        reading: Whether they are streamed, and how.

    Raises:
        DataError: The data set cannot be used as it is; the message names the first problem and its cure.
    """
    _refuse(found.problems)
    check_class_names(found.classes)
    splits: dict[str, LabeledImages | None] = {}
    decoded: dict[str, DecodedFiles] = {}
    small, streams = _Small(spec), reading.streams(sum(len(found.files(name)) for name in found.splits), spec)
    for name in found.splits:
        splits[name], decoded[name] = (
            stream_split(found, name, spec, reading) if streams else _read_split(found, name, spec, small)
        )
    inventory = take_inventory(found, decoded)
    _refuse(inventory.problems)
    train, val, test, notes = complete_splits(
        splits,
        found.classes,
        lambda split: _missing(found, split),
        copies=_copies(found, decoded["train"].damaged) if splits.get("val") is None else (),
    )
    inventory = dataclasses.replace(inventory, notes=(*inventory.notes, *notes, *small.notes()))
    return Dataset(
        found.name, found.classes, train, val, test, hflip=True, notes=inventory.notes, inventory=inventory,
        crop=spec.crop,
    )  # fmt: skip


def inspect_files(found: LabeledFiles, watch: Callable[[int, int], None] = lambda done, total: None) -> Inventory:
    """Takes the inventory of a data set of image files; decodes each to see that it can be used, and keeps none.

    Args:
        found: The files.
        watch: Called with (images decoded, images in total).

    Returns:
        The inventory; its `problems` say what `read_files` would refuse.
    """
    done, decoded = 0, {}
    total = sum(len(found.files(name)) for name in found.splits)
    for name in found.splits:
        damaged, seen = {}, _Seen(len(found.files(name)))

        for path, reason in _decoded(found.paths(name), seen.note):
            done += 1
            watch(done, total)
            if reason:
                damaged[path] = reason
        decoded[name] = seen.counted(damaged)
    inventory = take_inventory(found, decoded)
    usable = [split.split for split in inventory.splits if sum(split.images.values())]
    notes = planned_splits(usable, lambda split: _missing(found, split))
    return dataclasses.replace(inventory, notes=(*inventory.notes, *notes))


class _Seen:
    """What became known about the images of a split; threads note different images."""

    def __init__(self, count: int) -> None:
        self._deep, self._animated = [False] * count, [False] * count

    def note(self, index: int, image: DecodedImage) -> None:
        self._deep[index], self._animated[index] = image.maximum > 255, image.animated

    def counted(self, damaged: Mapping[Path, str]) -> DecodedFiles:
        return DecodedFiles(damaged, sum(self._deep), sum(self._animated))


class _Small:
    """Counts images that are smaller than the size that they are brought to; threads count together."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec, self._lock = spec, threading.Lock()
        self._count, self._small, self._sides = 0, 0, (0, 0)

    def note(self, image: DecodedImage) -> None:
        height, width = image.pixels.shape[:2]
        with self._lock:
            self._count += 1
            if height < self._spec.height and width < self._spec.width:
                self._small, self._sides = self._small + 1, max(self._sides, (height, width))

    def notes(self) -> tuple[str, ...]:
        """Returns a line if most images are enlarged, which takes time and shows nothing more."""
        if 2 * self._small <= self._count:
            return ()
        height, width = self._sides
        return (
            f"{self._small} of {self._count} images are smaller than {self._spec.height} x {self._spec.width} px and "
            f"enlarged; the largest of them has {height} x {width} (height x width): a smaller --size saves time",
        )


def _refuse(problems: tuple[str, ...]) -> None:
    if problems:
        more = f" ({len(problems) - 1} more: allweather inspect lists them)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")


def _read_split(found: LabeledFiles, name: str, spec: InputSpec, small: _Small) -> tuple[Split | None, DecodedFiles]:
    """Reads a split; returns None if it holds no image, and what became known about its files."""
    files = found.files(name)
    damaged: dict[Path, str] = {}
    if not files:
        return None, DecodedFiles(damaged, 0)
    images, seen = allocate((len(files), spec.height, spec.width, 3)), _Seen(len(files))

    def store(index: int, image: DecodedImage) -> None:
        images[index] = spec.prepare(image.pixels)
        seen.note(index, image)
        small.note(image)

    for path, reason in _decoded(found.paths(name), store):
        if reason:
            damaged[path] = reason
            if len(damaged) <= MAX_NAMED:
                log.warning("%s cannot be read as an image and is left out: %s", printable(str(path)), reason)
    if len(damaged) > MAX_NAMED:
        log.warning("%d more files cannot be read as images; allweather inspect counts them", len(damaged) - MAX_NAMED)
    if len(damaged) == len(files):
        path, reason = next(iter(damaged.items()))
        where = found.splits[name].folder if found.splits[name].folder_name else found.name
        raise DataError(f"none of the {len(files)} files in {where} can be read, such as {path.name}: {reason}")
    split = Split(torch.from_numpy(images), torch.tensor([label for _, label in files]))
    usable = torch.tensor([path not in damaged for path, _ in files])
    return split.take(usable.nonzero()[:, 0]) if damaged else split, seen.counted(damaged)


def _decoded(paths: list[Path], use: Callable[[int, DecodedImage], None]) -> Iterator[tuple[Path, str]]:
    """Decodes files on all cores and hands each image to `use`; yields each path with what is wrong, "" for nothing."""

    def decode(index: int) -> str:
        try:
            use(index, read_and_decode(paths[index]))
        except OSError as error:  # a broken link, or no permission
            return error.strerror or str(error)
        except DataError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(usable_cores()) as pool:  # cv2 releases the GIL while it decodes
        yield from zip(paths, pool.map(decode, range(len(paths))), strict=True)


def _copies(found: LabeledFiles, damaged: Mapping[Path, str]) -> list[list[int]]:
    """Returns the training images that are copies of one another, as groups of indices in the training split."""
    usable = [path for path in found.paths("train") if path not in damaged]
    index = {path: number for number, path in enumerate(usable)}
    members = [member for member in found.members() if member.split == "train" and member.file.path in index]
    return [[index[member.file.path] for member in group] for group in same_content(members)]


def _missing(found: LabeledFiles, split: str) -> str:
    if split not in found.splits:
        return found.without.format(split=split)
    files = found.splits[split]
    where = f"the folder {files.folder_name}" if files.folder_name else files.split
    return f"{where} holds no image that can be used"
