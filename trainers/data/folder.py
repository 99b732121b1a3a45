"""Pictures in folders: ROOT/train/CLASS/*.jpg, ROOT/val/CLASS/*, ROOT/test/CLASS/*."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import torch

from allweather.runtimes.cameras.images import decode
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.types import Image
from allweather.trainers.data.dataset import Dataset, Split, split_off

SIDE = 224
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
HELD_OUT = 0.1  # share of train that becomes val where there is no val folder
SEED = 20

log = logging.getLogger(__name__)


def read(root: Path, side: int) -> Dataset:
    """Reads ROOT/train, /val and /test, each with one folder a class, and brings the pictures to side x side.

    A missing val is split off train, and a missing test is said to be missing by standing in for it with val; both are
    noted. A picture that cannot be decoded is named in a warning, left out and counted.

    Raises:
        DataError: a folder is missing or empty, or the splits have other classes.
    """
    if not (root / "train").is_dir():
        raise DataError(f"no folder {root / 'train'}; a data set is ROOT/train/CLASS/pictures, and /val, /test")
    classes = _classes(root / "train")
    notes: list[str] = []
    train, val, test = (_split(root / name, classes, side, notes) for name in ("train", "val", "test"))
    if train is None:
        raise DataError(f"no pictures in {root / 'train'}; put them into one folder a class")
    if val is None:
        train, val = split_off(train, max(1, round(HELD_OUT * len(train))), SEED)
        notes.append(f"no val folder: {len(val)} pictures of train are held out as val (seed {SEED})")
    if test is None:
        test = val
        notes.append("no test folder: val stands in for it, so its accuracy is that of choosing, not of judging")
    return Dataset(f"folder:{root.name}", classes, train, val, test, hflip=True, notes=tuple(notes))


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{folder} needs a folder for each of at least two classes; it has {len(classes)}")
    return classes


def _split(folder: Path, classes: tuple[str, ...], side: int, notes: list[str]) -> Split | None:
    """The split in `folder`, or None where it does not exist or holds no picture file."""
    if not folder.is_dir():
        return None
    strange = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in classes]
    if strange:
        raise DataError(f"{folder} has the class {strange[0]!r}, which train has not; add it there or remove it")
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.is_dir()
    ]
    if not files:
        return None
    images = allocate((len(files), side, side, 3))
    spec = InputSpec(side, side)
    paths = [path for path, _ in files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # cv2 decodes outside the interpreter lock
        read_one = pool.map(_decode_into, paths, images, repeat(spec))
        good = np.fromiter(read_one, dtype=bool, count=len(files))
    bad = [path for path, right in zip(paths, good, strict=True) if not right]
    for path in bad:
        log.warning("%s is no readable picture; it is left out", path)
    if bad:
        notes.append(f"{folder.name}: {len(bad)} of {len(files)} pictures could not be read and are left out")
    if len(bad) == len(files):
        raise DataError(f"none of the {len(files)} pictures in {folder} can be read; are they pictures?")
    labels = torch.tensor([label for _, label in files])
    split = Split(torch.from_numpy(images), labels)
    return split.take(torch.from_numpy(good).nonzero()[:, 0]) if bad else split


def _decode_into(path: Path, place: Image, spec: InputSpec) -> bool:
    """Reads one picture into `place` (uint8 [side, side, 3], RGB); says whether it could."""
    try:
        picture = decode(path.read_bytes())
    except OSError:  # a link to nothing, or no permission
        return False
    if picture is None:
        return False
    place[...] = spec.prepare(picture)
    return True
