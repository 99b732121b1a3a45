"""The nineteen corruptions by name, and one function that applies any of them."""

from __future__ import annotations

from itertools import repeat

import numpy as np

from allweather.runtimes.errors import DataError, UsageError, unknown_name
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import blur, digital, noise, weather
from allweather.trainers.corruptions.corruption import MIN_SIDE, SEVERITIES, Corruption, Rng
from allweather.trainers.corruptions.spatter import SPATTER

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        noise.GAUSSIAN,
        noise.SHOT,
        noise.IMPULSE,
        blur.DEFOCUS,
        blur.GLASS,
        blur.MOTION,
        blur.ZOOM,
        weather.SNOW,
        weather.FROST,
        weather.FOG,
        weather.BRIGHTNESS,
        digital.CONTRAST,
        digital.ELASTIC,
        digital.PIXELATE,
        digital.JPEG,
        noise.SPECKLE,
        blur.GAUSSIAN,
        SPATTER,
        digital.SATURATE,
    )
}
COMMON = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.common)
EXTRA = tuple(name for name, corruption in CORRUPTIONS.items() if not corruption.common)


def get_corruption(name: str) -> Corruption:
    """Returns a corruption by its name.

    Raises:
        UsageError: There is no corruption of that name; the message suggests the most similar name.
    """
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def corrupt_images(images: Image, name: str, severity: int, rng: Rng) -> Image:
    """Corrupts images as Hendrycks and Dietterich do (2019, arXiv:1903.12261).

    Args:
        images: uint8 [n, h, w, 3] or [h, w, 3], RGB, whose short side is 16 pixels or more. Images whose short side is
            below 96 pixels get the parameters of CIFAR-10-C, larger ones those of ImageNet-C.
        name: Name of the corruption, such as "motion_blur".
        severity: 1 to 5.
        rng: Source of all random numbers, image after image, such as `np.random.default_rng(0)`.

    Returns:
        uint8, the shape of `images`.

    Raises:
        UsageError: There is no such corruption or severity.
        DataError: `images` are not as described.
    """
    corruption = get_corruption(name)
    if severity not in SEVERITIES:
        raise UsageError(f"a severity is 1 to 5; got {severity}")
    batch = validate_images(images)
    return corruption(batch, severity, repeat(rng)).reshape(images.shape)


def validate_images(images: Image) -> Image:
    """Checks that images can be corrupted, and returns them as a batch.

    Args:
        images: uint8 [n, h, w, 3] or [h, w, 3], RGB.

    Returns:
        The same images, [n, h, w, 3].

    Raises:
        DataError: They are not uint8 RGB of 16 x 16 pixels or more, or there are none.
    """
    expected = "corruptions need uint8 images [h, w, 3] or [n, h, w, 3], RGB"
    if images.dtype != np.uint8:
        raise DataError(f"{expected}; got {images.dtype}: scale 16-bit values down, and values of 0..1 up to 0..255")
    if images.ndim not in (3, 4) or images.shape[-1] != 3:
        hint = "repeat a gray channel three times, drop an alpha channel"
        if images.ndim in (3, 4) and images.shape[-3] == 3:
            hint = "channels come last: np.moveaxis(images, -3, -1)"
        raise DataError(f"{expected}; got the shape {list(images.shape)}: {hint}")
    height, width = images.shape[-3:-1]
    if min(height, width) < MIN_SIDE:
        raise DataError(f"corruptions need images of {MIN_SIDE} x {MIN_SIDE} pixels or more; got {height} x {width}")
    batch = images.reshape(-1, height, width, 3)
    if not len(batch):
        raise DataError(f"{expected}; got no images")
    return batch
