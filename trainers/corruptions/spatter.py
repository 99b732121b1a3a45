"""Drops of water or mud on the lens."""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.corruptions.blur import as_bytes
from allweather.trainers.corruptions.corruption import Corruption, Draw, Floats, Images, Rng
from allweather.trainers.corruptions.primitives.filters import colored, gaussian

WATER = (175, 238, 238)  # pale turquoise
MUD = (63, 42, 20)  # brown
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)  # light from the upper left on the drops


class Drops(NamedTuple):
    """Parameters of one severity."""

    mean: float
    deviation: float
    size: float  # deviation of the blur that drops grow by, in pixels
    threshold: float  # the value from which it is a drop
    strength: float  # of water; of mud, the deviation in pixels of its soft edge
    liquid: Literal["water", "mud"]


def draw_drops(rng: Rng, height: int, width: int) -> tuple[Draw, ...]:
    """Normal float32 [h, w] that drops grow from."""
    return (rng.standard_normal((height, width), np.float32),)


def spatter(images: Images, layers: Floats, drops: Drops) -> Images:
    """Drops cover parts of a picture; one without any drop stays as it is."""
    liquid = gaussian(layers * np.float32(drops.deviation) + np.float32(drops.mean), drops.size, cv2.BORDER_REPLICATE)
    if drops.liquid == "mud":
        cover = gaussian((liquid >= drops.threshold).astype(np.float32), drops.strength, cv2.BORDER_REPLICATE)
        cover[cover < 0.8] = 0
        out = images * colored(1 - cover)
        out += colored(cover, MUD)
        return as_bytes(out)
    liquid[liquid < drops.threshold] = 0
    wet = np.stack([_water(layer) for layer in as_bytes(liquid * 255)])
    wet *= liquid
    wet *= drops.strength / np.maximum(wet.max(axis=(1, 2), keepdims=True), np.float32(1e-12))
    return as_bytes(images + colored(wet, WATER))


def _water(layer: Image) -> Floats:
    """How light falls on the drops of one layer (uint8 [h, w]), float32 [h, w]: by the distance from their edges."""
    edges = cv2.Canny(layer, 50, 150)
    distance = cv2.distanceTransform(255 - edges, cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    heights = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    return cv2.blur(cv2.filter2D(heights, cv2.CV_8U, RELIEF), (3, 3)).astype(np.float32)


SPATTER = Corruption(
    "spatter",
    "weather",
    False,
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
