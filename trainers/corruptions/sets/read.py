"""Corrupted test sets: generated as they are read, or read from disk in the two published layouts.

A set is read cell by cell, a cell being one corruption at one severity, and a cell batch by batch: nothing keeps a
whole set in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.cameras.images import decode
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, checked, corruption_named
from allweather.trainers.corruptions.corruption import SEVERITIES, Images
from allweather.trainers.corruptions.sets.random_streams import streams

Labels: TypeAlias = npt.NDArray[np.int64]
LABELS = "labels.npy"
SETTINGS = "corrupted.json"  # what a set made here is made from
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
GROUPS = ("noise", "blur", "weather", "digital", "extra")  # as the archives of ImageNet-C are named


class CorruptedSet(Protocol):
    """Pictures of several corruptions, each at five severities, all of the same classes."""

    @property
    def source(self) -> str:
        """Where it comes from."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of its corruptions."""
        ...

    @property
    def labels(self) -> Labels:
        """Of the pictures of each cell, int64 [n]."""
        ...

    def batches(self, name: str, severity: int, size: int) -> Iterator[Images]:
        """The pictures of one cell, uint8 [<= size, h, w, 3], RGB."""
        ...

    def picture(self, name: str, severity: int, number: int) -> Image:
        """One of them, uint8 [h, w, 3]."""
        ...


@dataclass(frozen=True)
class Generated:
    """Corrupted here, from clean pictures.

    Attributes:
        images: uint8 [n, h, w, 3], RGB.
        labels: int64 [n].
        seed: of all chance in it; each picture has its own stream, so batches may be cut anywhere.
        names: of the corruptions.
    """

    images: Images
    labels: Labels
    seed: int
    names: tuple[str, ...] = tuple(CORRUPTIONS)

    def __post_init__(self) -> None:
        """Refuses pictures and names that cannot be."""
        checked(self.images)
        for name in self.names:
            corruption_named(name)

    @property
    def source(self) -> str:
        """Where it comes from."""
        return f"generated with seed {self.seed}"

    def batches(self, name: str, severity: int, size: int) -> Iterator[Images]:
        """Makes the pictures of one cell."""
        for first in range(0, len(self.labels), size):
            part = self.images[first : first + size]
            rngs = streams(self.seed, name, severity, first, len(part))
            yield CORRUPTIONS[name](part, severity, rngs)

    def picture(self, name: str, severity: int, number: int) -> Image:
        """Makes one picture."""
        rngs = streams(self.seed, name, severity, number, 1)
        (made,) = CORRUPTIONS[name](self.images[number : number + 1], severity, rngs)
        return np.asarray(made, np.uint8)


@dataclass(frozen=True)
class NpySet:
    """The layout of CIFAR-10-C: `NAME.npy` uint8 [5 * n, h, w, 3], severity 1 first, and `labels.npy` [5 * n]."""

    folder: Path
    spec: InputSpec
    names: tuple[str, ...]
    labels: Labels

    @property
    def source(self) -> str:
        """Where it comes from."""
        return str(self.folder)

    def batches(self, name: str, severity: int, size: int) -> Iterator[Images]:
        """Reads the pictures of one cell, and brings them to the network's size."""
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        start = (severity - 1) * len(self.labels)
        for first in range(0, len(self.labels), size):
            part = np.array(stored[start + first : start + min(first + size, len(self.labels))])
            yield _sized(part, self.spec)

    def picture(self, name: str, severity: int, number: int) -> Image:
        """Reads one picture."""
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return self.spec.prepare(np.array(stored[(severity - 1) * len(self.labels) + number]))


@dataclass(frozen=True)
class FolderSet:
    """The layout of ImageNet-C: `NAME/SEVERITY/CLASS/picture`, NAME also inside `noise`, `blur` and so on."""

    folder: Path
    spec: InputSpec
    places: dict[str, Path]  # of each corruption
    files: tuple[str, ...]  # CLASS/picture, in every cell
    labels: Labels

    @property
    def names(self) -> tuple[str, ...]:
        """Of its corruptions."""
        return tuple(self.places)

    @property
    def source(self) -> str:
        """Where it comes from."""
        return str(self.folder)

    def batches(self, name: str, severity: int, size: int) -> Iterator[Images]:
        """Reads the pictures of one cell, and brings them to the network's size."""
        cell = self.places[name] / str(severity)
        for first in range(0, len(self.labels), size):
            files = self.files[first : first + size]
            yield np.stack([self.spec.prepare(_read(cell / file)) for file in files])

    def picture(self, name: str, severity: int, number: int) -> Image:
        """Reads one picture."""
        return self.spec.prepare(_read(self.places[name] / str(severity) / self.files[number]))


def open_set(folder: Path, classes: Sequence[str], spec: InputSpec) -> CorruptedSet:
    """Opens a corrupted set on disk, in either layout; corruptions that it does not have are left out.

    Args:
        folder: holds labels.npy and NAME.npy, or NAME/SEVERITY/CLASS/.
        classes: names, in the order of the labels.
        spec: of the network that will see the pictures.

    Raises:
        DataError: it is neither, or a part of it is missing or not as it should be.
    """
    if (folder / LABELS).is_file():
        _check_classes(folder, classes)
        return _open_npy(folder, len(classes), spec)
    places = {
        name: place
        for name in CORRUPTIONS
        for place in (folder / name, *(folder / group / name for group in GROUPS))
        if place.is_dir()
    }
    if not places:
        raise DataError(
            f"no corrupted set in {folder}: wanted labels.npy beside files such as gaussian_noise.npy "
            "(as in CIFAR-10-C), or folders such as gaussian_noise/1/CLASS (as in ImageNet-C)"
        )
    return _open_folders(folder, places, classes, spec)


def _check_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuses a set made here of other classes: its labels are numbers that would mean something else."""
    if not (folder / SETTINGS).is_file():  # a published one
        return
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        data, made_of = found["data"], tuple(found["classes"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / SETTINGS} does not say what the set was made from; make it again") from error
    if made_of != tuple(classes):
        raise DataError(
            f"{folder} was made from {data} with {len(made_of)} classes such as {made_of[0]!r}; the classifier knows "
            f"{len(classes)} such as {classes[0]!r}: corrupt the data that it was trained for"
        )


def _open_npy(folder: Path, classes: int, spec: InputSpec) -> NpySet:
    names = tuple(name for name in CORRUPTIONS if (folder / f"{name}.npy").is_file())
    if not names:
        raise DataError(f"{folder} has labels.npy but no corruption such as gaussian_noise.npy beside it")
    labels = _array(folder / LABELS)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise DataError(f"{folder / LABELS} must be whole numbers [n]; it is {labels.dtype} {list(labels.shape)}")
    rows = len(_array(folder / f"{names[0]}.npy"))
    if len(labels) not in (rows, rows / len(SEVERITIES)):
        raise DataError(f"{folder / LABELS} has {len(labels)} labels for the {rows} pictures of {names[0]}.npy")
    count = rows // len(SEVERITIES)
    if not np.array_equal(labels, np.resize(labels[:count], len(labels))):
        raise DataError(f"{folder / LABELS} must repeat the same labels for each severity")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{folder / LABELS} has labels up to {labels.max()}; the classifier knows {classes} classes")
    for name in names:
        stored = _array(folder / f"{name}.npy")
        if (
            stored.dtype != np.uint8
            or stored.ndim != 4
            or stored.shape[3] != 3
            or len(stored) != 5 * count
            or not count
        ):
            raise DataError(
                f"{folder / name}.npy must be uint8 [5 * {count}, h, w, 3]; it is {stored.dtype} {list(stored.shape)}"
            )
    return NpySet(folder, spec, names, labels[:count].astype(np.int64))


def _array(path: Path) -> npt.NDArray[np.generic]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no readable .npy array; download or make it again") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is an archive of arrays; wanted one array")
    return array


def _open_folders(folder: Path, places: dict[str, Path], classes: Sequence[str], spec: InputSpec) -> FolderSet:
    start = next(iter(places.values())) / "1"
    first = _files(start, classes)
    for place in places.values():
        for severity in SEVERITIES:
            cell = place / str(severity)
            files = _files(cell, classes)
            if files != first:
                other = sorted(set(files) ^ set(first))[0]
                raise DataError(f"{cell} has other pictures than {start}, such as {other}; complete the set")
    label = {name: number for number, name in enumerate(classes)}
    return FolderSet(folder, spec, places, first, np.array([label[file.split("/")[0]] for file in first]))


def _files(cell: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """CLASS/picture of all pictures of a cell, in order of the classes."""
    if not cell.is_dir():
        raise DataError(f"{cell.parent} has no folder {cell.name}; wanted severity 1 to 5 of each")
    strange = sorted({path.name for path in cell.iterdir() if path.is_dir()} - set(classes))
    if strange:
        raise DataError(f"{cell} has the class {strange[0]!r}, which the classifier does not know")
    files = tuple(
        f"{name}/{path.name}"
        for name in classes
        if (cell / name).is_dir()
        for path in sorted((cell / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    )
    if not files:
        raise DataError(f"{cell} holds no pictures; wanted {cell}/CLASS/*.JPEG or .png")
    return files


def _read(path: Path) -> Image:
    picture = decode(path.read_bytes())
    if picture is None:
        raise DataError(f"{path} is no readable picture; download or make it again")
    return picture


def _sized(images: Images, spec: InputSpec) -> Images:
    if images.shape[1:3] == (spec.height, spec.width):
        return images
    return np.stack([spec.prepare(image) for image in images])
