"""Data sets by name, such as `signs`, `cifar10:ROOT`, `folder:ROOT`, `list:FILE`, `hf:ROOT`, `webdataset:PATTERN`.

The text after the colon is a folder, a file or a pattern of files. All images are brought to the model's input size by
the same `InputSpec.prepare` that runs on the device: once, to stay in memory as uint8, or whenever they are needed if
they are too many for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.path_argument import out_of_reach, real_path
from allweather.trainers.choices import DATASET_FORMS
from allweather.trainers.data import cifar, signs
from allweather.trainers.data.class_names import class_order
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.files.folders import find_folder, folder_classes
from allweather.trainers.data.files.labeled_files import LabeledFiles
from allweather.trainers.data.files.lists import find_list, list_classes
from allweather.trainers.data.files.rows import SUFFIXES
from allweather.trainers.data.held_out import SPLIT_SEED
from allweather.trainers.data.image_size import ImageSize, check_size
from allweather.trainers.data.inventory import Inventory, count_labels
from allweather.trainers.data.items.hugging_face import (
    hugging_face_classes,
    is_saved,
    load_hugging_face,
    splits_of,
)
from allweather.trainers.data.read_files import DEFAULT_SIZE, inspect_files, read_files
from allweather.trainers.data.shards.inspect_shards import inspect_shards
from allweather.trainers.data.shards.patterns import is_url, shown
from allweather.trainers.data.shards.read_shards import read_shards, shard_classes
from allweather.trainers.data.split import Split
from allweather.trainers.data.streamed.reading import AS_IT_FITS, Reading

FILE_FORMS: Mapping[str, Callable[[Path], LabeledFiles]] = MappingProxyType({"folder": find_folder, "list": find_list})
SHARDS = "webdataset"  # form of tar files
OWN_SIZES = MappingProxyType({"signs": 32, "cifar10": 32, "cifar100": 32})  # pixels, of forms whose images have one


def open_dataset(
    name: str,
    size: ImageSize | None = None,
    *,
    crop: Crop = WHOLE,
    reading: Reading = AS_IT_FITS,
    download: bool = False,
    num_train: int | None = None,
) -> Dataset:
    """Opens a data set by name. Invalid arguments are refused before images are drawn or decoded.

    Args:
        name: `signs`, `cifar10:ROOT`, `cifar100:ROOT`, `folder:ROOT`, `list:FILE`, `hf:ROOT` or
            `webdataset:PATTERN`.
        size: Side in pixels of the square that every image is brought to, 16 to 1024; or (height, width). None for the
            data set's own size (32), or 224 for files and hf.
        crop: Which part of an image of another size is taken, and how it is resized.
        reading: Whether the images of files are streamed, and how.
        download: Whether torchvision downloads CIFAR into ROOT if it is not there.
        num_train: Number of training images of a data set that is drawn (signs); None for all.

    Raises:
        UsageError: The name is not that of a data set, or the size is out of range.
        DataError: The data is missing, empty or damaged.
    """
    if size is not None:
        size = check_size(size, "--size")
    kind, text = _parse(name)
    spec = InputSpec(*(size or (OWN_SIZES.get(kind, DEFAULT_SIZE),) * 2), crop=crop)
    if kind == SHARDS:
        return read_shards(text, spec, reading)
    root = _root(text)
    if kind in FILE_FORMS:
        return read_files(FILE_FORMS[kind](root), spec, reading)
    if reading.stream or reading.random_resized:
        raise UsageError(
            f"only images of folder:, list: and webdataset: are streamed or cropped at random; got {name}: leave out "
            "--stream and --crop random-resized"
        )
    if kind == "hf":
        saved, name = load_hugging_face(root), f"hf:{real_path(root).name}"
        return Dataset.from_torch(saved, size=(spec.height, spec.width), crop=crop, name=name, seed=SPLIT_SEED)
    drawn = kind == "signs"
    dataset = _draw_signs(spec, num_train) if drawn else cifar.read_cifar(kind, root, spec, download=download)
    labels = {split: getattr(dataset, split).labels.tolist() for split in ("train", "val", "test")}
    return dataclasses.replace(dataset, inventory=count_labels(dataset.name, dataset.classes, labels))


def inspect_dataset(
    name: str, *, download: bool = False, watch: Callable[[int, int], None] = lambda done, total: None
) -> Inventory:
    """Takes the inventory of a data set. Of files each image is decoded, and what cannot be used is counted.

    Args:
        name: As in `open_dataset`.
        download: As in `open_dataset`.
        watch: Called with (images decoded, images in total).

    Raises:
        UsageError: The name is not that of a data set.
        DataError: The data is missing, or its splits cannot be told.
    """
    kind, text = _parse(name)
    if kind == SHARDS:
        return inspect_shards(text, watch)
    if kind in FILE_FORMS:
        return inspect_files(FILE_FORMS[kind](_root(text)), watch)
    if kind == "signs":  # image i has a class by its place in a run of 16, so none has to be drawn
        return count_labels(name, signs.CLASSES, {split: _sign_labels(n) for split, n in signs.SPLITS.items()})
    inventory = open_dataset(name, download=download).inventory
    assert inventory is not None
    return inventory


def open_dataset_of(
    name: str, classes: tuple[str, ...], spec: InputSpec, *, reading: Reading = AS_IT_FITS, download: bool = False
) -> Dataset:
    """Opens a data set at a classifier's input size, with its labels in the order of the classifier's classes.

    Classes are matched by name, and checked before images are drawn or decoded.

    Args:
        name: As in `open_dataset`.
        classes: Names of the classifier's classes, in the order of its outputs.
        spec: Input of the classifier.
        reading: As in `open_dataset`.
        download: As in `open_dataset`.

    Raises:
        UsageError: The data set has other classes; no image was drawn or decoded.
        DataError: The data is missing, empty or damaged.
    """
    class_order(shown(name), dataset_classes(name), classes)
    size = spec.height, spec.width
    return open_dataset(name, size, crop=spec.crop, reading=reading, download=download).with_classes(classes)


def dataset_classes(name: str) -> tuple[str, ...]:
    """Returns the class names of a data set, in the order of the labels, without drawing or decoding any image.

    Use it to check a name, and whether a classifier fits the data, before images are drawn or read. The class names of
    CIFAR are known without its files, so it does not check whether they exist.

    Args:
        name: As in `open_dataset`.

    Raises:
        UsageError: The name is not that of a data set.
        DataError: The folder has no train folder, or that has fewer than two classes.
    """
    kind, text = _parse(name)
    if kind == "signs":
        return signs.CLASSES
    if kind == SHARDS:
        return shard_classes(text)
    root = _root(text)
    if kind in FILE_FORMS:
        return folder_classes(root) if kind == "folder" else list_classes(root)
    if kind == "hf":
        return hugging_face_classes("train", splits_of(load_hugging_face(root))[0]["train"])
    return cifar.CIFAR_CLASSES[kind]


def has_own_size(name: str) -> bool:
    """Returns whether the images of a data set have a size of their own, to which they are brought if none is given."""
    return _parse(name)[0] in OWN_SIZES


def dataset_hflip(name: str) -> bool:
    """Returns whether images of a data set may be flipped horizontally, where no checkpoint says otherwise."""
    return _parse(name)[0] != "signs"


def _parse(name: str) -> tuple[str, str]:
    """Returns the format that a name asks for, and its folder, file or pattern ("" for signs, which has none)."""
    if not isinstance(name, str):
        raise UsageError(f"a data set is named by text such as 'folder:images'; got {type(name).__name__} {name!r:.80}")
    kind, _, text = name.partition(":")
    if kind == "signs" and not text:
        return kind, ""
    if kind in ("cifar10", "cifar100", "hf", SHARDS, *FILE_FORMS) and text:
        return kind, text
    raise UsageError(
        f"unknown data set {shown(name)!r}; write {DATASET_FORMS}, where ROOT is a folder, FILE a list (.csv, .tsv or "
        f".parquet) and PATTERN names tar files{_meant(name)}"
    )


def _root(text: str) -> Path:
    root = home_path(text)
    if reason := out_of_reach(root):
        raise DataError(f"{shown(str(root))} cannot be read: {reason}")
    return root


def _meant(name: str) -> str:
    """Returns what a path without its form should be, for the end of a message; "" for what is no path."""
    if not name:  # as a path, it would be the working folder
        return ""
    if "://" in name:
        return f": {SHARDS}:{shown(name)}" if is_url(name) else ""
    try:
        path = home_path(name)
        if path.is_dir():
            form = "hf" if is_saved(path) else "folder"
        elif path.is_file() and path.suffix.lower() in SUFFIXES:
            form = "list"
        elif path.suffix.lower() == ".tar":
            form = SHARDS
        else:
            return ""
    except (OSError, ValueError, UsageError):
        return ""
    return f": {form}:{name}"


def _draw_signs(spec: InputSpec, num_train: int | None) -> Dataset:
    if spec.height != spec.width:
        raise UsageError(f"signs are drawn as squares; got --size {spec.height}x{spec.width}: name one side")
    drawn = (
        signs.render_signs(split, size=spec.height, count=num_train if split == "train" else None)
        for split in ("train", "val", "test")
    )
    train, val, test = (Split(torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in drawn)
    return Dataset("signs", signs.CLASSES, train, val, test, hflip=False, crop=spec.crop)


def _sign_labels(count: int) -> list[int]:
    """Returns as many labels of each class as a split of drawn signs has; see `signs.render_signs`."""
    return [index % len(signs.CLASSES) for index in range(count)]
