"""Data sets of image files in folders: ROOT/train/CLASS/*.jpg, ROOT/val/CLASS/*.jpg, ROOT/test/CLASS/*.jpg."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from allweather.runtimes.cameras.image_files.decode import read_image
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image
from allweather.trainers.data.dataset import Dataset, Split, split_off_each_class
from allweather.trainers.data.duplicates import same_content
from allweather.trainers.data.folder_files import class_folders, find_split_folders, list_names
from allweather.trainers.data.folder_inventory import FolderFiles, find_files, take_inventory
from allweather.trainers.data.inventory import Inventory

DEFAULT_SIZE = 224  # pixels, as image classifiers are usually trained
VAL_SHARE = 0.1  # of the training images of each class, which becomes val if there is no val folder
SPLIT_SEED = 20
MAX_NAMED = 10  # files that cannot be used are named in each split; the others are counted

log = logging.getLogger(__name__)


def read_folder(root: Path | str, size: int) -> Dataset:
    """Reads the splits of a folder, each with one folder per class, and resizes all images.

    `valid`, `validation` and `dev` are read as val, `training` as train and `testing` as test. If val is missing, a
    tenth of each class is held out of train. If test is missing, val is used in its place. The notes of the data set
    say so, and what its inventory found. A file that cannot be used is named in a warning and left out.

    Args:
        root: Folder that holds `train`, and `val` and `test` if they exist.
        size: Side in pixels of the square that every image is brought to.

    Raises:
        DataError: The data set cannot be used as it is; the message names the first problem and its cure.
    """
    root = as_path(root)
    found = find_files(root)
    _refuse(found.problems)
    splits: dict[str, Split | None] = {}
    damaged: dict[str, dict[Path, str]] = {}
    for name in found.splits:
        splits[name], damaged[name] = _read_split(found, name, size)
    inventory = take_inventory(found, damaged)
    _refuse(inventory.problems)
    train, val, test = (splits.get(name) for name in ("train", "val", "test"))
    assert train is not None  # otherwise a class without images would have been refused
    notes = list(inventory.notes)
    if val is None:
        train, val = split_off_each_class(train, VAL_SHARE, SPLIT_SEED, _copies(found, damaged["train"]))
        notes += _held_out_notes(found, train, val)
    if test is None:
        test = val
        missing = _missing(found, "test")
        notes.append(f"{missing}: val is used instead, so the test images are those that the model was chosen by")
    inventory = dataclasses.replace(inventory, notes=tuple(notes))
    return Dataset(found.name, found.classes, train, val, test, hflip=True, notes=inventory.notes, inventory=inventory)


def inspect_folder(root: Path | str, watch: Callable[[int, int], None] = lambda done, total: None) -> Inventory:
    """Takes the inventory of a folder data set; decodes each image to see that it can be used, and keeps none.

    Args:
        root: Folder that holds `train`, and `val` and `test` if they exist.
        watch: Called with (images decoded, images in total).

    Returns:
        The inventory; its `problems` say what `read_folder` would refuse.

    Raises:
        DataError: There is no training folder, or a split cannot be told.
    """
    root = as_path(root)
    found, done = find_files(root), 0
    damaged: dict[str, dict[Path, str]] = {}
    total = sum(len(found.files(name)) for name in found.splits)
    for name in found.splits:
        damaged[name] = {}
        for path, reason in _decoded(found.paths(name), lambda index, image: None):
            done += 1
            watch(done, total)
            if reason:
                damaged[name][path] = reason
    return take_inventory(found, damaged)


def folder_classes(root: Path | str) -> tuple[str, ...]:
    """Returns the names of the classes, which are the folders in ROOT/train, sorted; decodes no image.

    Raises:
        DataError: There is no ROOT/train, or it has fewer than two folders.
    """
    root = as_path(root)
    train = find_split_folders(root)["train"]
    classes = class_folders(train)
    if len(classes) < 2:
        raise DataError(f"{train} needs a folder for each of at least two classes; it has {len(classes)}")
    return classes


def _refuse(problems: tuple[str, ...]) -> None:
    if problems:
        more = f" ({len(problems) - 1} more: allweather inspect lists them)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")


def _read_split(found: FolderFiles, name: str, size: int) -> tuple[Split | None, dict[Path, str]]:
    """Reads a split; returns None if it holds no image, and what is wrong with each file that cannot be used."""
    files = found.files(name)
    damaged: dict[Path, str] = {}
    if not files:
        return None, damaged
    images = allocate((len(files), size, size, 3))
    spec = InputSpec(size, size)

    def store(index: int, image: Image) -> None:
        images[index] = spec.prepare(image)

    for path, reason in _decoded(found.paths(name), store):
        if reason:
            damaged[path] = reason
            if len(damaged) <= MAX_NAMED:
                log.warning("%s cannot be read as an image and is left out: %s", path, reason)
    if len(damaged) > MAX_NAMED:
        log.warning("%d more files cannot be read as images; allweather inspect counts them", len(damaged) - MAX_NAMED)
    if len(damaged) == len(files):
        path, reason = next(iter(damaged.items()))
        folder = found.splits[name].folder
        raise DataError(f"none of the {len(files)} files in {folder} can be read, such as {path.name}: {reason}")
    split = Split(torch.from_numpy(images), torch.tensor([label for _, label in files]))
    usable = torch.tensor([path not in damaged for path, _ in files])
    return split.take(usable.nonzero()[:, 0]) if damaged else split, damaged


def _decoded(paths: list[Path], use: Callable[[int, Image], None]) -> Iterator[tuple[Path, str]]:
    """Decodes files on all cores and hands each image to `use`; yields each path with what is wrong, "" for nothing."""

    def decode(index: int) -> str:
        try:
            use(index, read_image(paths[index]))
        except OSError as error:  # a broken link, or no permission
            return error.strerror or str(error)
        except DataError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(usable_cores()) as pool:  # cv2 releases the GIL while it decodes
        yield from zip(paths, pool.map(decode, range(len(paths))), strict=True)


def _copies(found: FolderFiles, damaged: Mapping[Path, str]) -> list[list[int]]:
    """Returns the training images that are copies of one another, as groups of indices in the training split."""
    usable = [path for path in found.paths("train") if path not in damaged]
    index = {path: number for number, path in enumerate(usable)}
    members = [member for member in found.members() if member.split == "train" and member.file.path in index]
    return [[index[member.file.path] for member in group] for group in same_content(members)]


def _held_out_notes(found: FolderFiles, train: Split, val: Split) -> list[str]:
    missing = _missing(found, "val")
    notes = [f"{missing}: {len(val)} images of train are held out as val, a tenth of each class (seed {SPLIT_SEED})"]
    counts = torch.bincount(val.labels, minlength=len(found.classes))
    alone = [name for name, count in zip(found.classes, counts.tolist(), strict=True) if not count]
    if alone:
        notes.append(
            f"val has no image of {list_names(alone)}: train has only one, or copies of one, to learn from; add images"
        )
    return notes


def _missing(found: FolderFiles, split: str) -> str:
    if split not in found.splits:
        return f"there is no {split} folder"
    return f"the folder {found.splits[split].folder.name} holds no image that can be used"
