"""Variants of a picture, the random augmentations of Chen et al. (ICCVW 2019, section 4.4), named as they name them.

A name is "r" and a letter for each: p crop, g grayscale, c color jitter; "rh" is none of them. Mirroring is in all,
where the data set allows it. The crop here is a shift with a reflected border, not a black one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError

GRAY_SHARE = 0.1  # of the pictures that lose their color
JITTER = 0.1  # largest change of brightness, contrast and saturation
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
LETTERS = "pgc"


@dataclass(frozen=True)
class Variant:
    """What is done to a copy of a picture.

    Attributes:
        crop: whether the training loop moves it.
        gray: whether it may lose its color.
        color: whether brightness, contrast and saturation jitter.
    """

    crop: bool = True
    gray: bool = False
    color: bool = False

    @property
    def name(self) -> str:
        """As the paper writes it."""
        given = zip(LETTERS, (self.crop, self.gray, self.color), strict=True)
        return "r" + ("".join(letter for letter, there in given if there) or "h")

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Colors a batch anew; the crop has been made by the loop.

        Args:
            images: float [n, 3, h, w] in 0..1.
            rng: on the device of the images.

        Returns:
            The same shape, in 0..1.
        """
        if self.color:
            images = random_color_jitter(images, rng)
        if self.gray:
            drawn = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device) < GRAY_SHARE
            images = torch.where(drawn, grayscale(images), images)
        return images


CROP = Variant()  # what the loop does to every picture


def parse_variants(text: str) -> tuple[Variant, ...]:
    """The variants of a list such as "rp,rg".

    Raises:
        UsageError: a name is none.
    """
    found = []
    for name in text.split(","):
        letters = name.strip().removeprefix("r")
        fits = name.strip().startswith("r") and (letters == "h" or (letters and not set(letters) - set(LETTERS)))
        if not fits or len(set(letters)) < len(letters):
            raise UsageError(
                f"variants are names such as rh, rp, rg, rc, rpg or rpgc, with commas between; {name.strip()!r} is none"
            )
        found.append(Variant(*(letter in letters for letter in LETTERS)))
    return tuple(found)


def grayscale(images: Tensor) -> Tensor:
    """float [n, 3, h, w] -> the same shape, all three channels the luma."""
    weights = torch.tensor(LUMA, device=images.device, dtype=images.dtype).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


def random_color_jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation each times 1 +- 0.1 at most, in this order, a draw for each picture."""
    factors = 1 + JITTER * (2 * torch.rand(3, len(images), 1, 1, 1, generator=rng, device=images.device) - 1)
    return adjust_color(images, *factors)


def adjust_color(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """As torchvision's adjust_brightness, adjust_contrast and adjust_saturation, one after the other.

    Args:
        images: float [n, 3, h, w] in 0..1.
        brightness: factors, float [n, 1, 1, 1].
        contrast: likewise; towards the mean luma of the picture.
        saturation: likewise; towards its own luma.
    """
    images = (images * brightness).clamp(0, 1)
    images = _blend(images, grayscale(images).mean((1, 2, 3), keepdim=True), contrast)
    return _blend(images, grayscale(images), saturation)


def _blend(images: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return (other + share * (images - other)).clamp(0, 1)
