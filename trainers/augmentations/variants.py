"""Random variants of an image: the augmentations of Chen et al. (ICCVW 2019, section 4.4), by the paper's names.

A name is "r" followed by one letter for each augmentation: p for random crop, g for random grayscale, c for random
color jitter; "rh" has none of these. Every variant is also flipped horizontally at random where the data set allows
it. The crop shifts the image; its border is reflected, or black as in the paper (`FitSettings.padding`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import LUMA_WEIGHTS

GRAY_PROBABILITY = 0.1  # that an image of a "g" variant loses its color
MAX_JITTER = 0.1  # largest relative change of brightness, contrast and saturation
LETTERS = "pgc"


@dataclass(frozen=True)
class Variant:
    """The random augmentations that make one variant of an image.

    Attributes:
        crop: Whether the training loop shifts the image at random.
        gray: Whether the image may turn gray.
        color: Whether brightness, contrast and saturation are jittered.
    """

    crop: bool = True
    gray: bool = False
    color: bool = False

    @property
    def name(self) -> str:
        """The name in the paper, such as "rpg"."""
        parts = zip(LETTERS, (self.crop, self.gray, self.color), strict=True)
        return "r" + ("".join(letter for letter, present in parts if present) or "h")

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Applies the color augmentations to a batch; the training loop has already made the crop.

        Args:
            images: float [n, 3, h, w] in 0..1.
            rng: Random generator on the device of the images.

        Returns:
            Images of the same shape, in 0..1.
        """
        if self.color:
            images = random_color_jitter(images, rng)
        if self.gray:
            turns_gray = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device) < GRAY_PROBABILITY
            images = torch.where(turns_gray, grayscale(images), images)
        return images


CROP = Variant()  # the default augmentation of the training loop


def parse_variants(text: str) -> tuple[Variant, ...]:
    """Returns the variants of a comma-separated list such as "rp,rg".

    Raises:
        UsageError: A name is not that of a variant.
    """
    variants = []
    for name in text.split(","):
        letters = name.strip().removeprefix("r")
        valid = name.strip().startswith("r") and (letters == "h" or (letters and not set(letters) - set(LETTERS)))
        if not valid or len(set(letters)) < len(letters):
            raise UsageError(
                f"variants are names such as rh, rp, rg, rc, rpg or rpgc, separated by commas; got {name.strip()!r}"
            )
        variants.append(Variant(*(letter in letters for letter in LETTERS)))
    return tuple(variants)


def grayscale(images: Tensor) -> Tensor:
    """Returns images of the same shape (float [n, 3, h, w]) with the luma of each pixel in all three channels."""
    weights = torch.tensor(LUMA_WEIGHTS, device=images.device, dtype=images.dtype).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


def random_color_jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    """Multiplies brightness, contrast and saturation, in this order, by random factors in 0.9..1.1 for each image.

    Args:
        images: float [n, 3, h, w] in 0..1.
        rng: Random generator on the device of the images.
    """
    factors = 1 + MAX_JITTER * (2 * torch.rand(3, len(images), 1, 1, 1, generator=rng, device=images.device) - 1)
    return adjust_color(images, *factors)


def adjust_color(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Does what torchvision's adjust_brightness, adjust_contrast and adjust_saturation do, one after the other.

    Args:
        images: float [n, 3, h, w] in 0..1.
        brightness: Factor for each image, float [n, 1, 1, 1].
        contrast: Factor for each image, float [n, 1, 1, 1]; blends with the mean luma of the image.
        saturation: Factor for each image, float [n, 1, 1, 1]; blends each pixel with its own luma.

    Returns:
        Images of the same shape, in 0..1.
    """
    images = (images * brightness).clamp(0, 1)
    images = _blend(images, grayscale(images).mean((1, 2, 3), keepdim=True), contrast)
    return _blend(images, grayscale(images), saturation)


def _blend(images: Tensor, base: Tensor, factor: Tensor) -> Tensor:
    return (base + factor * (images - base)).clamp(0, 1)
