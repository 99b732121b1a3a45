"""The one place where a picture becomes the input of a network: crop, resize, nothing else.

Training data of other sizes, calibration and the camera loop all pass through `InputSpec.prepare`, so that
no network ever sees pixels made in a way it was not trained on. Normalisation is inside the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAXIMUM_SIDE = 4096  # no network here takes more; a hostile manifest could ask for terabytes


@dataclass(frozen=True)
class Region:
    """A part of a frame to look at.

    Attributes:
        x: left edge in pixels, >= 0.
        y: top edge in pixels, >= 0.
        width: pixels, > 0.
        height: pixels, > 0.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuses an empty region or one that starts outside every frame."""
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise UsageError(
                f"a region is x,y,width,height with x, y >= 0 and width, height >= 1; "
                f"got {self.x},{self.y},{self.width},{self.height}"
            )

    def crop(self, image: Image) -> Image:
        """The part of `image` (uint8 [H, W, 3]) inside the region, as a view of the same memory.

        Raises:
            UsageError: the region does not lie inside the image.
        """
        height, width = image.shape[:2]
        if self.x + self.width > width or self.y + self.height > height:
            raise UsageError(
                f"the region {self.x},{self.y},{self.width},{self.height} reaches outside the frame of "
                f"{width} x {height} pixels; choose one inside it"
            )
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True)
class InputSpec:
    """What a network takes, and how a picture is brought to it.

    Attributes:
        height: pixels, 1..4096.
        width: pixels, 1..4096.
        mean: per channel (R, G, B), of values in 0..1; subtracted inside the network.
        std: per channel, > 0; divided by inside the network.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Refuses sizes and deviations that no network can have."""
        if not (1 <= self.height <= MAXIMUM_SIDE and 1 <= self.width <= MAXIMUM_SIDE):
            raise UsageError(f"an input is 1..{MAXIMUM_SIDE} pixels a side; got {self.width} x {self.height}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(0 < std < math.inf for std in self.std):
            raise UsageError(f"mean and std are three numbers each, std > 0; got {self.mean} and {self.std}")

    def prepare(self, image: Image) -> Image:
        """Brings a picture to the network's size: the largest centerd crop of its shape, then a resize.

        Shrinking first averages squares of a whole number of pixels, so that detail does not alias, then goes the rest
        (between 2/3 and 3/2) bilinearly. cv2's area average over a fraction of pixels takes 3.0 ms from 640 x 480 to
        224 x 224 on a 2.5 GHz Xeon, half as long as a ResNet-50 in INT8 takes on a fast one; this takes 0.5 ms. At most
        whole - 1 rows and columns more are cut off for it. A picture that has the size already is returned as it is.

        Args:
            image: uint8 [H, W, 3], RGB.

        Returns:
            uint8 [height, width, 3], RGB; contiguous unless it is `image` itself.

        Raises:
            UsageError: `image` is not uint8 [H, W, 3] with H, W >= 1.
        """
        if not isinstance(image, np.ndarray):  # None is what OpenCV gives for a picture that it cannot read
            hint = ": cv2.imread found no picture there" if image is None else ""
            raise UsageError(f"an image is a numpy array, uint8 [H, W, 3]; got {type(image).__name__}{hint}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(f"an image is uint8 [H, W, 3]; got {image.dtype} {list(image.shape)}: {_cure(image)}")
        height, width = image.shape[:2]
        if (height, width) == (self.height, self.width):
            return image
        scale = min(height / self.height, width / self.width)
        whole = max(1, round(scale))
        crop_height = max(1, min(height, round(self.height * scale)) // whole * whole)
        crop_width = max(1, min(width, round(self.width * scale)) // whole * whole)
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        crop = image[top : top + crop_height, left : left + crop_width]
        if whole > 1:
            size = (crop_width // whole, crop_height // whole)
            crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
        if crop.shape[:2] == (self.height, self.width):
            return np.ascontiguousarray(crop)
        return np.asarray(cv2.resize(crop, (self.width, self.height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _cure(image: np.ndarray) -> str:
    """What makes `image`, which is none that a network takes, into one."""
    if 0 in image.shape:
        return "it is empty; look at what reads it"
    if image.dtype != np.uint8:
        return "bring it to 0..255 and .astype(np.uint8)"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "use cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave out the fourth channel: image[..., :3]"
    return "the colors (red, green, blue) come last"
