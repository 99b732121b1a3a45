"""Corrupted test sets on disk, in the two published layouts: that of CIFAR-10-C and that of ImageNet-C."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

from allweather.runtimes.cameras.image_files.decode import read_and_decode
from allweather.runtimes.cameras.image_files.names import is_image_name
from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.hidden_names import is_hidden
from allweather.runtimes.system.path_argument import as_path, out_of_reach
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS
from allweather.trainers.corruptions.corruption import FAMILIES, SEVERITIES
from allweather.trainers.corruptions.sets.base import LABELS_FILE, SETTINGS_FILE, CorruptedSet, Labels

ZIP_START = b"PK\x03\x04"
# of a damaged file: the header is parsed as Python text, and its shape may be that of no file
NPY_ERRORS = (ValueError, OSError, EOFError, OverflowError, TypeError, RecursionError, MemoryError, TokenError)
ARCHIVE_FOLDERS = (*FAMILIES, "extra")  # folders that the archives of ImageNet-C unpack to


@dataclass(frozen=True)
class ArrayFileSet:
    """A set in the layout of CIFAR-10-C: `NAME.npy` uint8 [5 * n, h, w, 3], severity 1 first, and `labels.npy` [5 * n].

    Attributes:
        folder: Folder of the files.
        spec: Input that the images are prepared for.
        corruptions: Names of the corruptions.
        labels: int64 [n], of the images of each cell.
        data: Name of the clean data set that it was made from; "" for a published set, which does not say.
    """

    folder: Path
    spec: InputSpec
    corruptions: tuple[str, ...]
    labels: Labels
    data: str = ""

    def __post_init__(self) -> None:
        """Takes a folder that is given as text.

        Raises:
            UsageError: It is neither text nor a path.
        """
        object.__setattr__(self, "folder", as_path(self.folder))

    @property
    def source(self) -> str:
        """The path of the folder."""
        return str(self.folder)

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Reads the images of one cell in batches, at the model's input size; see `CorruptedSet`."""
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        start = (severity - 1) * len(self.labels)
        for first in range(0, len(self.labels), batch_size):
            part = np.array(stored[start + first : start + min(first + batch_size, len(self.labels))])
            yield _prepare_all(part, self.spec)

    def image(self, name: str, severity: int, index: int) -> Image:
        """Reads one image of one cell, uint8 [h, w, 3], at the model's input size."""
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return self.spec.prepare(np.array(stored[(severity - 1) * len(self.labels) + index]))


@dataclass(frozen=True)
class ImageFileSet:
    """A set in the layout of ImageNet-C: `NAME/SEVERITY/CLASS/FILE`; NAME may be inside `noise`, `blur` and so on.

    Attributes:
        folder: Folder of the set.
        spec: Input that the images are prepared for.
        folders: Folder of each corruption.
        files: CLASS/FILE of the images; the same in every cell.
        labels: int64 [n], of the images of each cell.
        data: Name of the clean data set that it was made from; "" for a published set, which does not say.
    """

    folder: Path
    spec: InputSpec
    folders: dict[str, Path]
    files: tuple[str, ...]
    labels: Labels
    data: str = ""

    def __post_init__(self) -> None:
        """Takes a folder that is given as text.

        Raises:
            UsageError: It is neither text nor a path.
        """
        object.__setattr__(self, "folder", as_path(self.folder))

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions."""
        return tuple(self.folders)

    @property
    def source(self) -> str:
        """The path of the folder."""
        return str(self.folder)

    def batches(self, name: str, severity: int, batch_size: int) -> Iterator[Image]:
        """Reads the images of one cell in batches, at the model's input size; see `CorruptedSet`."""
        cell = self.folders[name] / str(severity)
        for first in range(0, len(self.labels), batch_size):
            files = self.files[first : first + batch_size]
            yield np.stack([self.spec.prepare(_read_image(cell / file)) for file in files])

    def image(self, name: str, severity: int, index: int) -> Image:
        """Reads one image of one cell, uint8 [h, w, 3], at the model's input size."""
        return self.spec.prepare(_read_image(self.folders[name] / str(severity) / self.files[index]))


def open_corrupted_set(folder: Path | str, classes: Sequence[str], spec: InputSpec) -> CorruptedSet:
    """Opens a corrupted set on disk, in either layout. A set may lack some of the corruptions.

    Args:
        folder: Folder that holds labels.npy and NAME.npy, or NAME/SEVERITY/CLASS/.
        classes: Names of the classifier's classes, in the order of its outputs.
        spec: Input of the classifier; images are brought to its size as they are read.

    Raises:
        DataError: The folder has neither layout, or a part of the set is missing, damaged or of other classes.
    """
    folder = as_path(folder)
    if reason := out_of_reach(folder):
        raise DataError(f"{folder} cannot be read: {reason}")
    if (folder / LABELS_FILE).is_file():
        return _open_arrays(folder, classes, spec)
    folders = {
        name: candidate
        for name in CORRUPTIONS
        for candidate in (folder / name, *(folder / archive / name for archive in ARCHIVE_FOLDERS))
        if candidate.is_dir()
    }
    if not folders:
        raise DataError(
            f"there is no corrupted set in {folder}: expected labels.npy beside files such as gaussian_noise.npy "
            "(as in CIFAR-10-C), or folders such as gaussian_noise/1/CLASS (as in ImageNet-C)"
        )
    return _open_image_folders(folder, folders, classes, spec)


def _made_from(folder: Path) -> tuple[str, tuple[str, ...] | None]:
    """Returns the name of the data and the classes that a set of allweather was made from; "" and None for others."""
    if not (folder / SETTINGS_FILE).is_file():  # a published set
        return "", None
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        return str(settings["data"]), tuple(map(str, settings["classes"]))
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        raise DataError(
            f"{folder / SETTINGS_FILE} does not say what the set was made from; write the set again"
        ) from error


def _label_order(folder: Path, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Returns the classifier's label for each label of a set; one that allweather wrote names its classes."""
    data, set_classes = _made_from(folder)
    if set_classes is None:
        return np.arange(len(classes))
    if sorted(set_classes) != sorted(classes):
        raise DataError(
            f"{folder} was made from {data} with {len(set_classes)} classes such as {set_classes[0]!r}, and the "
            f"classifier knows {len(classes)} classes such as {classes[0]!r}: corrupt the data that the "
            "classifier was trained on"
        )
    return np.array([list(classes).index(name) for name in set_classes])


def _open_arrays(folder: Path, classes: Sequence[str], spec: InputSpec) -> ArrayFileSet:
    label_order = _label_order(folder, classes)
    names = tuple(name for name in CORRUPTIONS if (folder / f"{name}.npy").is_file())
    if not names:
        raise DataError(f"{folder} has labels.npy but no corruption such as gaussian_noise.npy beside it")
    labels, rows = _load(folder / LABELS_FILE), len(_load(folder / f"{names[0]}.npy"))
    _check_labels(folder / LABELS_FILE, labels, f"{names[0]}.npy", rows, len(label_order))
    count = rows // len(SEVERITIES)
    for name in names:
        _check_images(folder / f"{name}.npy", _load(folder / f"{name}.npy"), count)
    return ArrayFileSet(folder, spec, names, label_order[labels[:count].astype(np.int64)], _made_from(folder)[0])


def _check_labels(path: Path, labels: npt.NDArray[np.generic], images_file: str, rows: int, num_classes: int) -> None:
    """Checks that labels fit the `rows` images of five severities; published sets repeat them for each severity."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise DataError(f"{path} must hold integers [n]; it holds {labels.dtype} {list(labels.shape)}")
    if len(labels) not in (rows, rows / len(SEVERITIES)):
        raise DataError(f"{path} has {len(labels)} labels for the {rows} images of {images_file}")
    if not np.array_equal(labels, np.resize(labels[: rows // len(SEVERITIES)], len(labels))):
        raise DataError(f"{path} must repeat the same labels for each severity")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(f"{path} has labels up to {labels.max()}; the classifier knows {num_classes} classes")


def _check_images(path: Path, images: npt.NDArray[np.generic], count: int) -> None:
    """Checks that an array holds `count` images at each of five severities."""
    is_rgb = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size > 0
    if not is_rgb or len(images) != len(SEVERITIES) * count or not count:
        raise DataError(
            f"{path} must hold uint8 [{len(SEVERITIES)} * {count}, h, w, 3]; "
            f"it holds {images.dtype} {list(images.shape)}"
        )


def _load(path: Path) -> npt.NDArray[np.generic]:
    """Opens an array; none of it is read yet."""
    try:
        with path.open("rb") as file:
            is_archive = file.read(len(ZIP_START)) == ZIP_START
        if is_archive:
            raise DataError(f"{path} is an archive of arrays, as numpy.savez writes; expected one array")
        array: npt.NDArray[np.generic] = np.lib.format.open_memmap(path, "r")
    except NPY_ERRORS as error:
        raise DataError(f"{path} cannot be read as a .npy array; download or write it again") from error
    if not array.ndim:
        raise DataError(f"{path} must hold an array; it holds one {array.dtype}")
    return array


def _open_image_folders(
    folder: Path, folders: dict[str, Path], classes: Sequence[str], spec: InputSpec
) -> ImageFileSet:
    first_cell = next(iter(folders.values())) / "1"
    files = _image_files(first_cell, classes)
    for corruption_folder in folders.values():
        for severity in SEVERITIES:
            cell = corruption_folder / str(severity)
            cell_files = _image_files(cell, classes)
            if cell_files != files:
                different = sorted(set(cell_files) ^ set(files))[0]
                raise DataError(f"{cell} has other images than {first_cell}, such as {different}; complete the set")
    label = {name: index for index, name in enumerate(classes)}
    labels = np.array([label[file.split("/")[0]] for file in files])
    return ImageFileSet(folder, spec, folders, files, labels, _made_from(folder)[0])


def _image_files(cell: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Returns CLASS/FILE of all images of a cell, in the order of the classes."""
    if not cell.is_dir():
        raise DataError(f"{cell.parent} has no folder {cell.name}; expected a folder for each severity, 1 to 5")
    found = {path.name for path in cell.iterdir() if path.is_dir() and not is_hidden(path.name)}
    unknown = sorted(found - set(classes))
    if unknown:
        raise DataError(f"{cell} has the class {unknown[0]!r}, which the classifier does not know")
    files = tuple(
        f"{name}/{path.name}"
        for name in classes
        if (cell / name).is_dir()
        for path in sorted((cell / name).iterdir())
        if is_image_name(path.name) and not is_hidden(path.name)
    )
    if not files:
        raise DataError(f"{cell} holds no images; expected {cell}/CLASS/*.JPEG or .png")
    return files


def _read_image(path: Path) -> Image:
    try:
        return read_and_decode(path).pixels
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _prepare_all(images: Image, spec: InputSpec) -> Image:
    """Brings uint8 [n, H, W, 3] to the model's input size."""
    if images.shape[1:3] == (spec.height, spec.width):
        return images
    return np.stack([spec.prepare(image) for image in images])
