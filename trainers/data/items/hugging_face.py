"""Reads data sets of the datasets library, in memory or as save_to_disk wrote them; nothing is ever downloaded.

Images are decoded from the bytes of their files as those of folders are, so that both give the same pixels.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from allweather.runtimes.cameras.image_files.decode import DecodedImage, decode, read_and_decode
from allweather.runtimes.errors import DataError, DependencyError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.data.class_names import class_difference, class_order
from allweather.trainers.data.files.names import SAVED_MARKS, list_names, split_of
from allweather.trainers.data.items.torch_items import ReadItems
from allweather.trainers.data.split import Split

BATCH = 256  # images whose files are in memory at a time
MAX_NAMED = 10
# what the datasets library and Arrow raise for files that are damaged; each of Arrow's own errors is one of these, too
FAULTS = (OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, MemoryError)

log = logging.getLogger(__name__)


def is_hugging_face(dataset: object) -> bool:
    """Returns whether a data set is one of the datasets library, without importing it."""
    return any(base.__module__.split(".")[0] == "datasets" for base in type(dataset).__mro__)


def is_saved(folder: Path) -> bool:
    """Returns whether a folder was written by `save_to_disk`."""
    return any((folder / mark).is_file() for mark in SAVED_MARKS)


def load_hugging_face(folder: Path | str) -> Any:
    """Opens a data set that `save_to_disk` wrote.

    Returns:
        A `datasets.Dataset` or `datasets.DatasetDict`.

    Raises:
        DataError: The folder holds none, or a damaged one.
        DependencyError: The datasets library is not installed.
    """
    folder = as_path(folder)
    if not is_saved(folder):
        there = f"{folder} is no such folder" if folder.exists() else f"there is no folder {folder}"
        raise DataError(
            f"hf: takes a folder that the datasets library wrote, and {there}; nothing is downloaded: save the data "
            "first with datasets.load_dataset(NAME).save_to_disk(FOLDER)"
        )
    try:
        with isolated_imports():
            import datasets
    except ModuleNotFoundError as error:
        raise DependencyError(
            "hf: needs the datasets library, which is not installed: pip install 'allweather[datasets]'"
        ) from error
    try:
        return datasets.load_from_disk(str(folder))
    except FAULTS as error:
        raise DataError(f"the data set in {folder} is damaged or cannot be read: {first_line(error)}") from error


def splits_of(dataset: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the splits of a `DatasetDict` by "train", "val" and "test", or a `Dataset` as train; and names of others.

    Raises:
        DataError: There is no train, or two could be the same split, or it has no length.
    """
    if "Iterable" in type(dataset).__name__:
        raise DataError(f"a data set needs a length; got {type(dataset).__name__}: load it without streaming=True")
    if not isinstance(dataset, Mapping):
        return {"train": dataset}, ()
    splits: dict[str, Any] = {}
    for name, split in dataset.items():
        known = split_of(str(name))
        if known in splits:
            raise DataError(f"two splits could be {known}: {list_names(list(map(str, dataset)))}; keep one of them")
        if known:
            splits[known] = split
    if "train" not in splits:
        there = list_names(list(map(repr, dataset))) or "no split"
        raise DataError(f"the data set has no split train; it has {there}: give one as train")
    return splits, tuple(str(name) for name in dataset if split_of(str(name)) is None)


def hugging_face_classes(name: str, dataset: Any) -> tuple[str, ...]:
    """Returns the names of the classes of one split, in the order of its labels."""
    return tuple(dataset.features[_column(name, dataset, "ClassLabel")].names)


def read_hugging_face(name: str, dataset: Any, classes: tuple[str, ...], spec: InputSpec) -> ReadItems:
    """Reads a `datasets.Dataset` with a column of images and one of class labels.

    Args:
        name: "train", "val" or "test".
        dataset: The split; a format that was set on it does not matter.
        classes: Names of the classes; labels are matched by name.
        spec: Size and crop that every image is brought to.

    Raises:
        DataError: It is empty, has other classes, lacks a column or a label, or none of its images can be decoded.
    """
    image_column, label_column = (_column(name, dataset, kind) for kind in ("Image", "ClassLabel"))
    own = hugging_face_classes(name, dataset)
    if difference := class_difference(own, classes):
        raise DataError(f"the classes of {name} are not those that were given or that train has: {difference}")
    order = torch.tensor(class_order(name, own, classes))
    if (dataset.format or {}).get("type") == "custom":
        raise DataError(f"{name} has a transform, which would not be applied: call reset_format() on it")
    import datasets  # imported already, as `dataset` is one of its objects

    files = dataset.with_format(None).select_columns([image_column, label_column])
    files = files.cast_column(image_column, datasets.Image(decode=False))
    count = len(files)
    if not count:
        raise DataError(f"{name} has no images")
    labels = order[_labels(name, files[label_column][:], len(order))]
    images, damaged = allocate((count, spec.height, spec.width, 3)), dict[int, str]()
    deep, animated = [False] * count, [False] * count

    def store(place: tuple[int, dict[str, Any] | None]) -> None:
        index, file = place
        try:
            image = _decoded(file)
        except OSError as error:
            damaged[index] = error.strerror or str(error)
        except DataError as error:
            damaged[index] = str(error)
        else:
            images[index] = spec.prepare(image.pixels)
            deep[index], animated[index] = image.maximum > 255, image.animated

    with ThreadPoolExecutor(usable_cores()) as pool:  # cv2 releases the GIL while it decodes
        for start in range(0, count, BATCH):
            try:
                batch = files[start : start + BATCH][image_column]
            except FAULTS as error:
                raise DataError(f"{name} is damaged and cannot be read: {first_line(error)}") from error
            list(pool.map(store, enumerate(batch, start)))
    read = ReadItems(Split(torch.from_numpy(images), labels), sum(deep), sum(animated))
    return _without_damaged(name, read, dict(sorted(damaged.items())))


def _without_damaged(name: str, read: ReadItems, damaged: dict[int, str]) -> ReadItems:
    split, wrong = read.split, tuple(f"{name}[{i}]: {why}" for i, why in damaged.items())
    if len(damaged) == len(split):
        raise DataError(f"none of the {len(split)} images of {name} can be used, such as {wrong[0]}")
    for line in wrong[:MAX_NAMED]:
        log.warning("an image is left out, %s", line)
    if not damaged:
        return read
    usable = [index for index in range(len(split)) if index not in damaged]
    return dataclasses.replace(read, split=split.take(torch.tensor(usable)), damaged=wrong)


def _decoded(file: dict[str, Any] | None) -> DecodedImage:
    if not file or not (file["bytes"] or file["path"]):
        raise DataError("it has no image")
    return decode(file["bytes"]) if file["bytes"] else read_and_decode(file["path"])


def _labels(name: str, labels: list[int | None], num_classes: int) -> torch.Tensor:
    wrong = [index for index, label in enumerate(labels) if label is None or not 0 <= label < num_classes]
    if wrong:
        raise DataError(
            f"{name} has {len(wrong)} images without a valid label, such as {name}[{wrong[0]}] with "
            f"{labels[wrong[0]]}: leave them out, or the whole split"
        )
    return torch.tensor(labels, dtype=torch.int64)


def _column(name: str, dataset: Any, kind: str) -> str:
    """Returns the name of the only column of a kind, "Image" or "ClassLabel"."""
    found = [column for column, feature in dataset.features.items() if type(feature).__name__ == kind]
    if len(found) == 1:
        return str(found[0])
    there = list_names([f"{column} ({type(feature).__name__})" for column, feature in dataset.features.items()])
    cure = "cast_column(COLUMN, datasets.Image())" if kind == "Image" else "class_encode_column(COLUMN)"
    if found:
        cure = f"remove_columns({found[1:]!r})"
    raise DataError(
        f"{name} has {len(found) or 'no'} columns of the kind {kind}, and needs one; it has {there}: {cure}"
    )
