"""Data sets by name: `signs`, `cifar10:ROOT`, `cifar100:ROOT`, `folder:ROOT`.

The letters after the colon are a folder. Everything is brought to the network's size once, by the same `prepare` that
runs on the device, and stays in memory as uint8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data import folder, signs
from allweather.trainers.data.dataset import Dataset, Split, split_off
from allweather.trainers.torchvision_import import import_torchvision

CIFAR_VAL = 5000  # a tenth, as in the ResNet paper: +-0.9 points at 90 % (95 % interval)
SPLIT_SEED = 20  # of the held-out split; fixed, so that no two runs choose by each other's training data

FORMS = "signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT"


def open_dataset(name: str, size: int | None = None, *, download: bool = False, count: int | None = None) -> Dataset:
    """Opens a data set by name.

    Args:
        name: `signs`, `cifar10:ROOT`, `cifar100:ROOT` or `folder:ROOT`.
        size: side in pixels to bring pictures to; None for the set's own (32; a folder has none and needs it).
        download: let torchvision fetch CIFAR into ROOT when it is not there.
        count: training pictures to draw where they are drawn (signs); all where None.

    Raises:
        UsageError: the name or size cannot work.
        DataError: the data is missing, empty or damaged.
    """
    kind, _, root = name.partition(":")
    if size is not None and not 16 <= size <= 1024:
        raise UsageError(f"--size is a side of 16 to 1024 pixels; got {size}")
    if kind == "signs" and not root:
        return _signs(size or 32, count)
    if kind in ("cifar10", "cifar100") and root:
        return _cifar(kind, Path(root).expanduser(), size or 32, download)
    if kind == "folder" and root:
        return folder.read(Path(root).expanduser(), size or folder.SIDE)
    raise UsageError(f"unknown data set {name!r}; write {FORMS}, with ROOT a folder")


def open_dataset_of(name: str, classes: tuple[str, ...], spec: InputSpec, *, download: bool = False) -> Dataset:
    """A data set at a classifier's input size.

    Raises:
        UsageError: the data is of other classes.
        DataError: it cannot be read; see `open_dataset`.
    """
    dataset = open_dataset(name, spec.height, download=download)
    if dataset.classes != classes:
        raise UsageError(
            f"the classifier knows {len(classes)} classes ({', '.join(classes[:3])}, ...) and {name} has "
            f"{len(dataset.classes)} ({', '.join(dataset.classes[:3])}, ...); name the data it was trained on"
        )
    return dataset


def _signs(size: int, count: int | None) -> Dataset:
    drawn = (
        signs.render(split, size=size, count=count if split == "train" else None) for split in ("train", "val", "test")
    )
    train, val, test = (Split(torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in drawn)
    return Dataset("signs", signs.CLASSES, train, val, test, hflip=False)


def _cifar(kind: str, root: Path, size: int, download: bool) -> Dataset:
    make = getattr(import_torchvision("datasets"), kind.upper())
    parts = []
    try:
        for train in (True, False):
            parts.append(make(root, train=train, download=download))
    except RuntimeError as error:  # torchvision's "not found or corrupted"
        raise DataError(
            f"no {kind} in {root}, or a file of it is damaged; name the folder that holds "
            f"{make.base_folder}, or add --download to fetch it there"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {kind} from {root}: {error}") from error
    train_all, test = (Split(torch.from_numpy(_resized(part.data, size)), torch.tensor(part.targets)) for part in parts)
    train_split, val = split_off(train_all, CIFAR_VAL, SPLIT_SEED)
    note = f"{kind}: {len(val)} of {len(train_all)} training pictures are held out as val"
    return Dataset(kind, tuple(parts[0].classes), train_split, val, test, hflip=True, notes=(note,))


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 [n, 32, 32, 3] -> uint8 [n, size, size, 3]."""
    if images.shape[1:3] == (size, size):
        return np.ascontiguousarray(images)  # torchvision's lie color by color
    spec = InputSpec(size, size)
    return np.stack([spec.prepare(image) for image in images])
