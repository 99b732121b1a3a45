"""The input of another program's model: what the graph tells, completed and checked by what the user says."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from allweather.exporters.choices import ColorOrder, InputLayout
from allweather.exporters.foreign.facts import Element, InputFacts
from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.preprocess import IMAGENET_MEAN, IMAGENET_STD, LUMA_WEIGHTS, InputSpec
from allweather.runtimes.types import Image
from allweather.trainers.data.image_size import ImageSize, check_size

log = logging.getLogger(__name__)

Three = tuple[float, float, float]
NO_MEAN, NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
PIXELS = (1, 255)


@dataclass(frozen=True)
class InputSettings:
    """What a user says about the input of a model. What is None is found out from the graph.

    Attributes:
        mean: Mean (R, G, B) that the pixels are reduced by, on a scale from 0 to 1. If None, that of ImageNet, or 0
            where the graph normalizes.
        std: Standard deviation (R, G, B) that they are then divided by, on that scale. If None, that of ImageNet, or 1
            where the graph normalizes.
        pixels: 1 if the model takes pixels of 0..1, 255 if it takes 0..255: the normalized values are multiplied by it.
            If None, 1, or what the normalization in the graph expects.
        layout: "nchw" or "nhwc".
        size: Side of the images in pixels, or (height, width), where they are dynamic.
        channels: Order of the color channels that the model takes.
        crop: How images were brought to its size when it was trained or evaluated.
        beside: Input of the classifier that runs on the same images before this one, whose size it has, too; None for
            the only or first one.
    """

    mean: Three | None = None
    std: Three | None = None
    pixels: int | None = None
    layout: InputLayout | None = None
    size: ImageSize | None = None
    channels: ColorOrder = "rgb"
    crop: Crop = WHOLE
    beside: InputSpec | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: One of them is no choice, or on another scale.
        """
        check_choice("order of channels", self.channels, ColorOrder)
        if self.layout is not None:
            check_choice("layout", self.layout, InputLayout)
        if self.pixels not in (None, *PIXELS):
            raise UsageError(f"--pixels is 1 for pixels of 0..1, or 255 for 0..255; got {self.pixels}")
        for name, values in (("--mean", self.mean), ("--std", self.std)):
            if values is not None and max(values) > 1:
                raise UsageError(
                    f"{name} is on a scale from 0 to 1; got {_text(values)}: divide it by 255, and add --pixels 255 if "
                    "the model takes pixels of 0..255"
                )


FROM_GRAPH = InputSettings()  # everything is found out from the graph


@dataclass(frozen=True)
class ModelInput:
    """How a prepared image becomes the input of a model: pixels * ((rgb / 255 - mean) / std), in its layout and type.

    Attributes:
        spec: Size in pixels, mean and std; 0 and 1 where the graph normalizes.
        element: Type of the values. uint8 takes the pixels as they are.
        layout: "nchw" or "nhwc".
        channels: Order of the color channels.
        gray: Whether the model takes one channel: the luma of the normalized image.
        pixels: 1 or 255.
    """

    spec: InputSpec
    element: Element
    layout: InputLayout
    channels: ColorOrder
    gray: bool
    pixels: int

    def prepare(self, images: Image) -> npt.NDArray[np.generic]:
        """Computes in numpy what the wrapped graph computes inside, as a check that does not share its code.

        Args:
            images: uint8 [n, h, w, 3], RGB.

        Returns:
            Array of the type and layout that the model takes.
        """
        values = images.astype(np.float64)
        if self.element != "uint8":
            values = self.pixels * ((values / 255 - np.array(self.spec.mean)) / np.array(self.spec.std))
        if self.gray:
            values = values @ np.array(LUMA_WEIGHTS)[:, None]
        elif self.channels == "bgr":
            values = values[..., ::-1]
        if self.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        values = np.rint(values) if self.element == "uint8" else values
        return np.ascontiguousarray(values, np.dtype(self.element))

    def sentence(self) -> str:
        """Says in words what the model takes, and the crop, which no graph tells."""
        layout = self.layout.upper()
        color = "gray" if self.gray else self.channels.upper()
        kind, fraction = self.spec.crop.kind, self.spec.crop.fraction
        crop = f"crop center {fraction:.4g}" if kind == "center" else f"crop {kind}"
        taken = f"{layout} {color} {self.element}, {self.spec.width} x {self.spec.height} px"
        if self.element == "uint8":
            return f"{taken}, {crop}"
        return f"{taken}, 0..{self.pixels}, mean {_text(self.spec.mean)}, std {_text(self.spec.std)}, {crop}"

    def options(self) -> str:
        """Returns the options that say so."""
        words = f"--mean {_text(self.spec.mean)} --std {_text(self.spec.std)} --pixels {self.pixels}"
        return f"{words} --channels {self.channels}" if self.element != "uint8" else f"--channels {self.channels}"


def resolve_input(facts: InputFacts, settings: InputSettings, where: str) -> ModelInput:
    """Completes what a graph tells by what the user says.

    Raises:
        UsageError: The user contradicts the graph, or has to say what the graph does not tell; the message names both.
    """
    layout = facts.layout or settings.layout
    if layout is None:
        raise UsageError(f"{where} does not tell its layout; add --layout {' or '.join(get_args(InputLayout))}")
    beside = settings.beside
    if settings.layout not in (None, layout) and not beside:
        raise UsageError(f"{where} takes {layout.upper()}, and --layout says {settings.layout}; leave it out")
    given = (None, None) if settings.size is None else check_size(settings.size, "--size")
    given = (beside.height, beside.width) if beside else given
    height, width = facts.height or given[0], facts.width or given[1]
    if height is None or width is None:
        raise UsageError(f"{where} takes images of any size; add --size with the side that it was trained at, as 224")
    if beside and (height, width) != given:
        raise UsageError(
            f"{where} takes images of {width} x {height} px, and the classifier before it such of {beside.width} x "
            f"{beside.height} px; both classifiers run on the same image, of one size: name two of one size"
        )
    if settings.size is not None and (height, width) != given:
        raise UsageError(
            f"{where} takes images of {width} x {height} px, and --size says {given[0]}x{given[1]} (height x width); "
            "leave it out"
        )
    gray = facts.channels == 1
    if gray and settings.channels != "rgb":
        raise UsageError(f"{where} takes gray images, and --channels says {settings.channels}; leave it out")
    mean, std, pixels = _normalization(facts, settings, where)
    spec = InputSpec(height, width, mean, std, settings.crop)
    return ModelInput(spec, facts.element, layout, settings.channels, gray, pixels)


def _normalization(facts: InputFacts, settings: InputSettings, where: str) -> tuple[Three, Three, int]:
    """Returns mean, std and the scale of the pixels."""
    given = [name for name in ("mean", "std", "pixels") if getattr(settings, name) is not None]
    if facts.element == "uint8":
        normalized = settings.mean not in (None, NO_MEAN) or settings.std not in (None, NO_STD)
        if normalized or settings.pixels == 1:
            raise UsageError(
                f"{where} takes uint8 pixels, which it normalizes itself, and {_options(given)} would change them; "
                f"leave {_options(given)} out"
            )
        return NO_MEAN, NO_STD, 255
    if facts.inner_pixels is None:
        return settings.mean or IMAGENET_MEAN, settings.std or IMAGENET_STD, settings.pixels or 1
    mean, std, pixels = settings.mean or NO_MEAN, settings.std or NO_STD, settings.pixels or facts.inner_pixels
    if (mean, std) != (NO_MEAN, NO_STD):
        log.warning(
            "%s begins with a normalization of its own, and %s is applied before it; leave it out if that is once too "
            "often", where, _options([name for name in given if name != "pixels"]),
        )  # fmt: skip
    return mean, std, pixels


def _options(names: list[str]) -> str:
    return " and ".join(f"--{name}" for name in names)


def _text(values: Three) -> str:
    return ",".join(f"{value:g}" for value in values)
