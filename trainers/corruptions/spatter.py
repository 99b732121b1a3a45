"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.blur import truncate_to_uint8
from allweather.trainers.corruptions.corruption import Array, Corruption, Rng
from allweather.trainers.corruptions.primitives.filters import gaussian_filter, to_rgb

WATER = (175, 238, 238)  # RGB: pale turquoise
MUD = (63, 42, 20)  # RGB: brown
# The kernel with which the drops appear as if lit from the upper left.
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)


class Drops(NamedTuple):
    """Parameters of one severity.

    Attributes:
        mean: Mean of the noise that drops are made of.
        deviation: Standard deviation of the noise.
        size: Standard deviation in pixels of the blur that turns the noise into drops.
        threshold: Value of the blurred noise above which there is a drop.
        strength: Strength of water; for mud, the standard deviation in pixels of its soft edge.
        liquid: "water" or "mud".
    """

    mean: float
    deviation: float
    size: float
    threshold: float
    strength: float
    liquid: Literal["water", "mud"]


def draw_drops(rng: Rng, height: int, width: int) -> tuple[Array, ...]:
    """Draws the normal noise that drops are made of: float32 [h, w]."""
    return (rng.standard_normal((height, width), np.float32),)


def spatter(images: Image, layers: Floats, drops: Drops) -> Image:
    """Covers parts of the images with drops; an image without a drop stays as it is.

    Args:
        images: uint8 [n, h, w, 3].
        layers: float32 [n, h, w], from `draw_drops`.
        drops: Parameters of the severity.
    """
    liquid = gaussian_filter(
        layers * np.float32(drops.deviation) + np.float32(drops.mean), drops.size, cv2.BORDER_REPLICATE
    )
    if drops.liquid == "mud":
        cover = gaussian_filter((liquid >= drops.threshold).astype(np.float32), drops.strength, cv2.BORDER_REPLICATE)
        cover[cover < 0.8] = 0
        out = images * to_rgb(1 - cover)
        out += to_rgb(cover, MUD)
        return truncate_to_uint8(out)
    liquid[liquid < drops.threshold] = 0
    wet = np.stack([_shade_water(layer) for layer in truncate_to_uint8(liquid * 255)])
    wet *= liquid
    wet *= drops.strength / np.maximum(wet.max(axis=(1, 2), keepdims=True), np.float32(1e-12))
    return truncate_to_uint8(images + to_rgb(wet, WATER))


def _shade_water(layer: Image) -> Floats:
    """Shades the drops of one layer (uint8 [h, w]) by the distance from their edges: float32 [h, w]."""
    edges = cv2.Canny(layer, 50, 150)
    distance = cv2.distanceTransform(255 - edges, cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    heights = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    return cv2.blur(cv2.filter2D(heights, cv2.CV_8U, EMBOSS), (3, 3)).astype(np.float32)


SPATTER = Corruption(
    "spatter",
    family="weather",
    common=False,
    small=(
        Drops(0.62, 0.1, 0.7, 0.7, 0.5, "water"),
        Drops(0.65, 0.1, 0.8, 0.7, 0.5, "water"),
        Drops(0.65, 0.3, 1, 0.69, 0.5, "water"),
        Drops(0.65, 0.1, 0.7, 0.69, 0.6, "mud"),
        Drops(0.65, 0.1, 0.5, 0.68, 0.6, "mud"),
    ),
    large=(
        Drops(0.65, 0.3, 4, 0.69, 0.6, "water"),
        Drops(0.65, 0.3, 3, 0.68, 0.6, "water"),
        Drops(0.65, 0.3, 2, 0.68, 0.5, "water"),
        Drops(0.65, 0.3, 1, 0.65, 1.5, "mud"),
        Drops(0.67, 0.4, 1, 0.65, 1.5, "mud"),
    ),
    apply=spatter,
    draw=draw_drops,
)
