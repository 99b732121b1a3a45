"""Corrupts images of the kinds that Python programs hold: numpy arrays, PIL images and torch tensors."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import corrupt_images, get_corruption
from allweather.trainers.corruptions.corruption import SEVERITIES, Rng
from allweather.trainers.image_tensors import check_image_tensor, to_pixels

AnyImage = TypeVar("AnyImage", np.ndarray[Any, Any], PillowImage.Image, Tensor)


def corrupt(image: AnyImage, corruption_name: str, severity: int = 1, *, seed: int | Rng | None = None) -> AnyImage:
    """Corrupts one image or a batch as Hendrycks and Dietterich do (2019, arXiv:1903.12261).

    The names are those of the `imagecorruptions` package: `corrupt(image, corruption_name="fog", severity=3)`.

    Args:
        image: RGB, with a short side of 16 pixels or more. Either a numpy array, uint8 [h, w, 3] or [n, h, w, 3]; a
            PIL image; or a tensor, [3, h, w] or [n, 3, h, w], uint8 or float in 0..1, on any device. It is not changed.
        corruption_name: Name of the corruption, a key of `CORRUPTIONS`, such as "fog".
        severity: 1 to 5.
        seed: The same seed gives the same result. A numpy generator gives other random numbers at every call. None
            draws a seed from torch's global generator, as torchvision's transforms do; see `torch.manual_seed`.

    Returns:
        The same type, layout, shape and value type; float values are multiples of 1/255. Each image of a batch gets
        random numbers of its own. No gradients reach `image`.

    Raises:
        UsageError: There is no such corruption, severity or seed.
        DataError: The image is of another type, size or form.
    """
    rng = random_generator(seed)
    check_corruption(corruption_name, severity)
    if isinstance(image, PillowImage.Image):
        if image.mode != "RGB":
            raise DataError(f"corruptions need RGB images; got a PIL image of mode {image.mode}: image.convert('RGB')")
        return PillowImage.fromarray(corrupt_images(np.asarray(image), corruption_name, severity, rng))
    if isinstance(image, Tensor):
        return _corrupt_tensor(image, corruption_name, severity, rng)
    if not isinstance(image, np.ndarray):
        came = type(image).__name__
        raise DataError(f"corruptions need a numpy array, a PIL image or a torch tensor; got {came}")
    return corrupt_images(cast(Image, image), corruption_name, severity, rng)


def check_corruption(corruption_name: str, severity: int) -> None:
    """Checks a name and a severity.

    Raises:
        UsageError: There is no such corruption, or the severity is no whole number from 1 to 5.
    """
    if not isinstance(corruption_name, str):
        raise UsageError(
            f"the name of a corruption, such as 'fog', comes after the image, and its severity third or by name; "
            f"got {corruption_name!r:.40}"
        )
    get_corruption(corruption_name)
    if isinstance(severity, bool) or not isinstance(severity, int | np.integer) or severity not in SEVERITIES:
        raise UsageError(f"a severity is a whole number from 1 to 5; got {severity!r:.40}")


def random_generator(seed: int | Rng | None) -> Rng:
    """Returns the generator of a seed, or the generator that was given.

    Args:
        seed: A number, at least 0; a numpy generator; or None for a seed from torch's global generator.

    Raises:
        UsageError: It is something else.
    """
    if seed is None:
        return np.random.default_rng(int(torch.randint(1 << 62, ())))
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"a seed is a whole number, at least 0, or a numpy generator; got {seed!r:.40}")
    return np.random.default_rng(int(seed))


def _corrupt_tensor(images: Tensor, name: str, severity: int, rng: Rng) -> Tensor:
    check_image_tensor(images)
    pixels = to_pixels(images).cpu().movedim(-3, -1)
    out = torch.from_numpy(corrupt_images(pixels.contiguous().numpy(), name, severity, rng)).movedim(-1, -3)
    out = out.contiguous().to(images.device)
    return out if images.dtype == torch.uint8 else (out.float() / 255).to(images.dtype)
