"""Says so if a model reads its images badly, and finds out with which preparation it would read them better."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import product
from typing import Protocol

import numpy as np
import numpy.typing as npt

from allweather.exporters.choices import ColorOrder
from allweather.exporters.foreign.model_input import NO_MEAN, NO_STD, ModelInput, Three
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import IMAGENET_MEAN, IMAGENET_STD
from allweather.runtimes.text import printable
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.dataset import Split

MAX_IMAGES = 64  # that each preparation is tried on
MIN_GAIN = 0.05  # how much more accurate another preparation has to be, beyond two standard errors
NORMALIZATIONS: tuple[tuple[Three, Three], ...] = (
    (IMAGENET_MEAN, IMAGENET_STD),
    (NO_MEAN, NO_STD),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)


class Readable(Protocol):
    """A model that can be run on images that are prepared in another way."""

    def read(self, images: Image, taken: ModelInput) -> Floats:
        """Returns the logits, float32 [n, C], of images, uint8 [n, h, w, 3], that are prepared as `taken` says."""


def preparation_hint(source: Readable, taken: ModelInput, images: Split, classes: Sequence[str]) -> str:
    """Finds out whether a model would be better with its classes in another order, or with another preparation.

    Args:
        source: The model, as it was made.
        taken: What it takes, as far as it is known.
        images: Labeled validation images, prepared.
        classes: Names of the classes, in the order of its outputs as far as it is known.

    Returns:
        What to check of a model that reads images badly, and why; "" if it does not.
    """
    chosen = np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)
    pixels, labels = images.images.numpy()[chosen], images.labels.numpy()[chosen]
    predicted = _predicted(source, taken, pixels)
    usual = _accuracy(predicted, labels)
    margin = max(MIN_GAIN, 2 * math.sqrt(0.25 / len(labels)))
    if usual >= 1 - margin:
        return ""
    chance = float(np.bincount(labels).max() / len(labels))
    reads = f"of {len(labels)} validation images the model reads {100 * usual:.0f} % correctly"
    others = [(each, _accuracy(_predicted(source, each, pixels), labels)) for each in _others(taken)]
    best, accuracy = max(others, key=lambda each: each[1], default=(taken, 0.0))
    order, in_order = _other_order(predicted, labels, len(classes))
    needed = max(usual, chance) + margin
    cures = []
    if accuracy > max(needed, in_order - margin):
        cures.append(f"{100 * accuracy:.0f} % with {best.options()}, which its documentation has to confirm")
    if in_order > max(needed, accuracy - margin):
        names = ", ".join(printable(classes[label]) for label in order)
        cures.append(f"{100 * in_order:.0f} % if its outputs are {names}: then correct --classes, in Python classes=")
    if cures:
        return f"{reads}, and {', or '.join(cures)}"
    if usual <= chance + margin / 2:
        cure = "check the order of --classes, then --mean, --std, --pixels and --channels"
        return f"{reads}, hardly more than by chance; {cure}"
    return ""


def _other_order(
    predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], count: int
) -> tuple[list[int], float]:
    """Returns the order of the classes in which each output is the class that it most often goes with.

    Returns:
        (the class of each output, the accuracy in that order); ([], 0) if no order of all classes does that.
    """
    if len(predicted) < count:  # not every output can be there, and a matrix of all classes may not fit into memory
        return [], 0.0
    together = np.zeros((count, count), np.int64)
    np.add.at(together, (labels, predicted), 1)
    order = together.argmax(0).tolist()
    if sorted(order) != list(range(count)) or not together.sum(0).all():
        return [], 0.0
    return order, float(np.mean(np.array(order)[predicted] == labels))


def _others(taken: ModelInput) -> list[ModelInput]:
    """Returns other usual preparations."""
    if taken.element == "uint8":
        normalizations = [(taken.spec.mean, taken.spec.std, taken.pixels)]
    else:
        normalizations = [(mean, std, pixels) for (mean, std), pixels in product(NORMALIZATIONS, (1, 255))]
    found = []
    orders: tuple[ColorOrder, ...] = ("rgb",) if taken.gray else ("rgb", "bgr")
    for (mean, std, pixels), channels in product(normalizations, orders):
        spec = dataclasses.replace(taken.spec, mean=mean, std=std)
        other = dataclasses.replace(taken, spec=spec, pixels=pixels, channels=channels)
        if other != taken:
            found.append(other)
    return found


def _predicted(source: Readable, taken: ModelInput, images: Image) -> npt.NDArray[np.int64]:
    """Returns the class of each image, int64 [n]; -1 for all if the model cannot take them so."""
    try:
        return np.asarray(source.read(images, taken).argmax(1), np.int64)
    except EngineError:
        return np.full(len(images), -1)


def _accuracy(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> float:
    return float((predicted == labels).mean())
