"""The nineteen corruptions by name, and one call that applies any of them."""

from __future__ import annotations

from itertools import repeat

import numpy as np

from allweather.runtimes.errors import DataError, UsageError, unknown_name
from allweather.trainers.corruptions import blur, digital, noise, weather
from allweather.trainers.corruptions.corruption import SEVERITIES, SMALLEST, Corruption, Images, Rng
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


def corruption_named(name: str) -> Corruption:
    """One of the nineteen.

    Raises:
        UsageError: there is none of that name; the nearest is said.
    """
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def corrupt(images: Images, name: str, severity: int, rng: Rng) -> Images:
    """Corrupts pictures as Hendrycks and Dietterich 2019 (arXiv:1903.12261) do.

    Args:
        images: uint8 [n, h, w, 3] or [h, w, 3], RGB, of a short side of 16 pixels or more. Under 96 pixels they get
            the parameters of CIFAR-C, else those of ImageNet-C.
        name: of the corruption, such as "motion_blur".
        severity: 1 to 5.
        rng: such as `np.random.default_rng(0)`; all chance comes from it, picture after picture.

    Returns:
        uint8, the shape of `images`.

    Raises:
        UsageError: there is no such corruption or severity.
        DataError: `images` are not as above.
    """
    corruption = corruption_named(name)
    if severity not in SEVERITIES:
        raise UsageError(f"a severity is 1 to 5; got {severity}")
    batch = checked(images)
    return corruption(batch, severity, repeat(rng)).reshape(images.shape)


def checked(images: Images) -> Images:
    """The pictures as [n, h, w, 3].

    Raises:
        DataError: they are not uint8 RGB of 16 x 16 pixels or more.
    """
    wanted = "corruptions need uint8 pictures [h, w, 3] or [n, h, w, 3], RGB"
    if images.dtype != np.uint8:
        raise DataError(f"{wanted}; got {images.dtype}: scale 16-bit values down, and 0..1 up to 0..255")
    if images.ndim not in (3, 4) or images.shape[-1] != 3:
        hint = "repeat gray three times, leave alpha out"
        raise DataError(f"{wanted}; got the shape {list(images.shape)}: {hint}")
    height, width = images.shape[-3:-1]
    if min(height, width) < SMALLEST:
        raise DataError(f"corruptions need pictures of {SMALLEST} x {SMALLEST} pixels or more; got {height} x {width}")
    batch = images.reshape(-1, height, width, 3)
    if not len(batch):
        raise DataError(f"{wanted}; got none")
    return batch
