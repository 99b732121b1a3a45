"""Data sets of image files in folders: ROOT/train/CLASS/*.jpg, ROOT/val/CLASS/*.jpg, ROOT/test/CLASS/*.jpg."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import torch

from allweather.runtimes.cameras.images import IMAGE_SUFFIXES, decode_image
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.types import Image
from allweather.trainers.data.dataset import Dataset, Split, split_off

DEFAULT_SIZE = 224  # pixels, as image classifiers are usually trained
VAL_SHARE = 0.1  # of the training images, which becomes val if there is no val folder
SPLIT_SEED = 20

log = logging.getLogger(__name__)


def read_folder(root: Path, size: int) -> Dataset:
    """Reads ROOT/train, ROOT/val and ROOT/test, each with one folder per class, and resizes all images.

    If val is missing, it is split off train. If test is missing, val is used in its place. The notes of the
    data set say so. A file that cannot be decoded is named in a warning and left out, and the notes say how many.

    Args:
        root: Folder that holds `train`, and `val` and `test` if they exist.
        size: Side in pixels of the square that every image is brought to.

    Raises:
        DataError: A folder is missing or empty, or the splits have different classes.
    """
    classes = folder_classes(root)
    notes: list[str] = []
    train, val, test = (_read_split(root / name, classes, size, notes) for name in ("train", "val", "test"))
    if train is None:
        raise DataError(f"there are no images in {root / 'train'}; put them into one folder per class")
    if val is None:
        train, val = split_off(train, max(1, round(VAL_SHARE * len(train))), SPLIT_SEED)
        notes.append(f"there is no val folder: {len(val)} images of train are held out as val (seed {SPLIT_SEED})")
    if test is None:
        test = val
        notes.append(
            "there is no test folder: val is used instead, so the test images are those that the model was chosen by"
        )
    return Dataset(f"folder:{root.name}", classes, train, val, test, hflip=True, notes=tuple(notes))


def folder_classes(root: Path) -> tuple[str, ...]:
    """Returns the names of the classes, which are the folders in ROOT/train, sorted; decodes no image.

    Raises:
        DataError: There is no ROOT/train, or it has fewer than two folders.
    """
    train = root / "train"
    if not train.is_dir():
        raise DataError(
            f"there is no folder {train}; a data set has its images in ROOT/train/CLASS, and in ROOT/val and ROOT/test"
        )
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{train} needs a folder for each of at least two classes; it has {len(classes)}")
    return classes


def _read_split(folder: Path, classes: tuple[str, ...], size: int, notes: list[str]) -> Split | None:
    """Reads the split in `folder`; returns None if it does not exist or holds no image file."""
    if not folder.is_dir():
        return None
    unknown = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in classes]
    if unknown:
        raise DataError(f"{folder} has the class {unknown[0]!r}, which train does not have; add it there or remove it")
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
    ]
    if not files:
        return None
    images = allocate((len(files), size, size, 3))
    spec = InputSpec(size, size)
    paths = [path for path, _ in files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # cv2 releases the GIL while it decodes
        decoded = np.fromiter(pool.map(_decode_into, paths, images, repeat(spec)), dtype=bool, count=len(files))
    damaged = [path for path, good in zip(paths, decoded, strict=True) if not good]
    for path in damaged:
        log.warning("%s cannot be read as an image; it is left out", path)
    if damaged:
        notes.append(f"{folder.name}: {len(damaged)} of {len(files)} images could not be read and are left out")
    if len(damaged) == len(files):
        raise DataError(f"none of the {len(files)} files in {folder} can be read; are they images?")
    labels = torch.tensor([label for _, label in files])
    split = Split(torch.from_numpy(images), labels)
    return split.take(torch.from_numpy(decoded).nonzero()[:, 0]) if damaged else split


def _decode_into(path: Path, target: Image, spec: InputSpec) -> bool:
    """Reads one image file into `target` (uint8 [size, size, 3], RGB); returns whether it could be decoded."""
    try:
        image = decode_image(path.read_bytes())
    except OSError:  # a broken link, or no permission
        return False
    if image is None:
        return False
    target[...] = spec.prepare(image)
    return True
