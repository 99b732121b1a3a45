"""Says so if a model reads its images badly, and finds out with which preparation it would read them better."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from typing import Protocol

import numpy as np
import numpy.typing as npt

from allweather.exporters.choices import ColorOrder
from allweather.exporters.foreign.model_input import NO_MEAN, NO_STD, ModelInput, Three
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import IMAGENET_MEAN, IMAGENET_STD
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


def preparation_hint(source: Readable, taken: ModelInput, images: Split) -> str:
    """Returns what to check if the model is hardly better than chance, or better with other options; else "".

    Args:
        source: The model, as it was made.
        taken: What it takes, as far as it is known.
        images: Labeled validation images, prepared.
    """
    chosen = np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)
    pixels, labels = images.images.numpy()[chosen], images.labels.numpy()[chosen]
    usual = _accuracy(source, taken, pixels, labels)
    margin = max(MIN_GAIN, 2 * math.sqrt(0.25 / len(labels)))
    if usual >= 1 - margin:
        return ""
    others = [(each, _accuracy(source, each, pixels, labels)) for each in _others(taken)]
    best, accuracy = max(others, key=lambda each: each[1], default=(taken, 0.0))
    if accuracy > usual + margin:
        return (
            f"of {len(labels)} validation images the model reads {100 * usual:.0f} % correctly, and "
            f"{100 * accuracy:.0f} % with {best.options()}; use these if its documentation agrees"
        )
    chance = float(np.bincount(labels).max() / len(labels))
    if usual <= chance + margin / 2:
        return (
            f"of {len(labels)} validation images the model reads {100 * usual:.0f} % correctly, hardly more than by "
            "chance; check the order of --classes, then --mean, --std, --pixels and --channels"
        )
    return ""


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


def _accuracy(source: Readable, taken: ModelInput, images: Image, labels: npt.NDArray[np.int64]) -> float:
    try:
        return float((source.read(images, taken).argmax(1) == labels).mean())
    except EngineError:
        return 0.0
