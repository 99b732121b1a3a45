"""Reads a map-style torch data set, item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from allweather.runtimes.errors import DataError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import allocate
from allweather.trainers.data.items.pixels import to_pixels
from allweather.trainers.data.split import Split


@dataclass(frozen=True)
class ReadItems:
    """A split as it was read.

    Attributes:
        split: Its images and labels.
        deep: Number of images that had more than 8 bits a channel.
        animated: Number of files that hold more images than the first one.
        damaged: What is wrong with each of those that were left out.
    """

    split: Split
    deep: int = 0
    animated: int = 0
    damaged: tuple[str, ...] = ()


def check_map_style(name: str, dataset: object) -> None:
    """Checks that a data set has a length and items by index.

    Raises:
        DataError: It has not.
    """
    kind = type(dataset).__name__
    if isinstance(dataset, DataLoader):
        raise DataError(f"{name} is a data set with items (image, label); got a {kind}: give its .dataset")
    if isinstance(dataset, Split | Tensor | np.ndarray | str | Mapping):
        raise DataError(
            f"{name} is a data set with items (image, label); got {kind}: torch.utils.data has TensorDataset"
        )
    has_items = isinstance(dataset, Sized) and hasattr(dataset, "__getitem__")
    if isinstance(dataset, IterableDataset) or not has_items:
        raise DataError(
            f"{name} needs a length and items by index; got {kind}, which has only an order: make a list of its items, "
            "or write them to files"
        )


def torch_classes(dataset: object) -> tuple[str, ...] | None:
    """Returns the class names that a data set of torchvision tells, also behind `Subset`s; None if it tells none."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
        return tuple(classes)
    return None


def read_torch(name: str, dataset: Any, num_classes: int, spec: InputSpec) -> ReadItems:
    """Reads all items of a data set and brings its images to one size.

    Args:
        name: "train", "val" or "test".
        dataset: Has a length, and items (image, label) by index; see `to_pixels`.
        num_classes: Number of classes; labels are 0..C-1.
        spec: Size and crop that every image is brought to.

    Raises:
        DataError: It is empty, or an item cannot be used; the message names its index.
    """
    if not len(dataset):
        raise DataError(f"{name} has no images")
    deep = 0
    images, labels = allocate((len(dataset), spec.height, spec.width, 3)), torch.zeros(len(dataset), dtype=torch.int64)
    for index in range(len(dataset)):
        try:
            image, label = _item(dataset[index])
            labels[index] = _label(label, num_classes)
            pixels = to_pixels(image)
        except DataError as error:
            raise DataError(f"{name}[{index}] cannot be used: {error}") from error
        images[index], deep = spec.prepare(pixels.pixels), deep + (pixels.maximum > 255)
    return ReadItems(Split(torch.from_numpy(images), labels), deep)


def _item(item: Any) -> tuple[object, object]:
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    came = type(item).__name__ + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
    raise DataError(f"an item is (image, label); got a {came}")


def _label(label: Any, num_classes: int) -> int:
    """Returns a label as a number."""
    if isinstance(label, Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer):
        came = repr(label)[:40] if isinstance(label, str | float | bool | None) else type(label).__name__
        cure = "of one-hot labels take .argmax()" if getattr(label, "ndim", 0) else "give the index of its class"
        raise DataError(f"a label is a whole number, 0 to {num_classes - 1}; got {came}: {cure}")
    if not 0 <= label < num_classes:
        cure = ": where labels begin at 1, subtract 1" if label == num_classes else ""
        raise DataError(f"its label is {label}, and with {num_classes} classes labels are 0 to {num_classes - 1}{cure}")
    return int(label)
