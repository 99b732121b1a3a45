"""The only place where an image is brought to a model's input size: crop and resize, nothing else.

Training data of other sizes, calibration images and the frames of the camera loop all pass through `InputSpec.prepare`,
so that a model never sees pixels that were made in a different way from those it was trained on. Normalization happens
inside the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import is_real, is_whole
from allweather.runtimes.types import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in the luma of ITU-R BT.601, as in Pillow and cv2
MAX_SIDE_PIXELS = 4096  # no model here takes larger images; a hostile manifest could ask for terabytes

# Of the normalization of values in 0..1. A standard deviation of 1/255 is usual; beyond these bounds every value is a
# huge number or the same one.
MIN_STD, MAX_STD, MAX_MEAN = 1e-6, 1e6, 1e6


@dataclass(frozen=True)
class InputSpec:
    """The input of a model, and how an image is prepared for it.

    Attributes:
        height: Height in pixels, 1..4096.
        width: Width in pixels, 1..4096.
        mean: Mean of each channel (R, G, B) of values in 0..1, -1e6 to 1e6; subtracted inside the model.
        std: Standard deviation of each channel, 1e-6 to 1e6; divided by inside the model.
        crop: The part that is taken of an image of another size.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop: Crop = WHOLE

    def __post_init__(self) -> None:
        """Checks the size, the means and the standard deviations.

        Raises:
            UsageError: One of them is out of range, a side is no whole number, `mean` or `std` is not three numbers, or
                `crop` is no `Crop`.
        """
        if not isinstance(self.crop, Crop):
            raise UsageError(f"the crop of a model's input is a Crop; got {type(self.crop).__name__}")
        if not all(is_whole(side) for side in (self.height, self.width)):
            width, height = f"{self.width!r:.20}", f"{self.height!r:.20}"
            raise UsageError(f"the sides of a model's input are whole numbers of pixels; got {width} x {height}")
        if not (1 <= self.height <= MAX_SIDE_PIXELS and 1 <= self.width <= MAX_SIDE_PIXELS):
            raise UsageError(
                f"the sides of a model's input are 1..{MAX_SIDE_PIXELS} pixels; got {self.width} x {self.height}"
            )
        if not (_are_three_numbers(self.mean) and _are_three_numbers(self.std) and min(self.std) > 0):
            raise UsageError(
                f"mean and std are three numbers each, std > 0; got {self.mean!r:.80} and {self.std!r:.80}"
            )
        if min(self.std) < MIN_STD or max(self.std) > MAX_STD or max(map(abs, self.mean)) > MAX_MEAN:
            raise UsageError(
                f"the std of a model's input is {MIN_STD:g} to {MAX_STD:g}, and the mean at most {MAX_MEAN:g}; got "
                f"{self.std!r:.80} and {self.mean!r:.80}"
            )
        for name in ("mean", "std"):  # a list could not be compared with, or looked up as, that of another spec
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    def prepare(self, image: Image) -> Image:
        """Brings an image to the model's input size, as `Crop.resize` says.

        An image that already has the right size is returned as it is, whatever the crop: it has been prepared before.

        Args:
            image: uint8 [H, W, 3], RGB.

        Returns:
            uint8 [height, width, 3], RGB; contiguous unless it is `image` itself.

        Raises:
            UsageError: `image` is not uint8 [H, W, 3] with H, W >= 1.
        """
        check_image(image)
        if image.shape[:2] == (self.height, self.width):
            return image
        return self.crop.resize(image, self.height, self.width)


def check_image(image: object) -> None:
    """Checks that something is an image.

    Raises:
        UsageError: It is not uint8 [H, W, 3] with H, W >= 1.
    """
    if not isinstance(image, np.ndarray):  # cv2.imread returns None for a file that it cannot read
        hint = ": cv2.imread could not read that file" if image is None else ""
        if isinstance(image, str | PathLike):
            hint = ": allweather.read_image(path) reads a file"
        if isinstance(image, list | tuple):
            hint = ": one image at a time, or perceiver.batch(images)"
        if hasattr(image, "convert") and hasattr(image, "__array_interface__"):
            hint = ": write numpy.asarray(image.convert('RGB')) for an image of Pillow"
        raise UsageError(f"an image is a numpy array, uint8 [H, W, 3]; got {type(image).__name__}{hint}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(
            f"an image is uint8 [H, W, 3]; got {image.dtype} {list(image.shape)}: {_advice_for_invalid(image)}"
        )


def swap_red_and_blue(image: Image) -> Image:
    """Returns a BGR image as RGB; anything that is not [H, W, C] as it is, so that `prepare` raises the error."""
    return image[..., ::-1] if isinstance(image, np.ndarray) and image.ndim == 3 else image


def _are_three_numbers(values: object) -> bool:
    """Returns whether these are three finite numbers."""
    return (
        isinstance(values, Sequence)
        and len(values) == 3
        and all(is_real(value) and math.isfinite(value) for value in values)
    )


def _advice_for_invalid(image: np.ndarray) -> str:
    """Returns advice on how to turn an array that is not a valid image into one."""
    if 0 in image.shape:
        return "it is empty; check how it was read"
    if image.dtype != np.uint8:
        return "scale it to 0..255 and convert it with .astype(np.uint8)"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "use cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave out the fourth channel: image[..., :3]"
    if image.ndim == 4:
        return "this is a batch: one image at a time, or perceiver.batch(images)"
    return "the color channels (red, green, blue) come last"
