"""Random resized crops: a random part of an image of random size and aspect ratio, as ImageNet networks train on."""

from __future__ import annotations

import math

import numpy as np

from allweather.runtimes.cameras.image_files.decode import Reduction
from allweather.runtimes.region import Region
from allweather.runtimes.types import Image

AREA_SHARES = (0.08, 1.0)  # of the image, drawn uniformly (Szegedy et al. 2015, section 6)
ASPECT_RATIOS = (3 / 4, 4 / 3)  # width / height, drawn uniformly on a logarithmic scale
TRIES = 10  # as torchvision's RandomResizedCrop has


def draw_region(height: int, width: int, rng: np.random.Generator) -> Region:
    """Draws a random part of an image, with the distribution of torchvision's RandomResizedCrop.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        rng: Random generator.

    Returns:
        The part; after ten draws that do not fit, the largest centered part whose aspect ratio is in range.
    """
    low, high = (math.log(ratio) for ratio in ASPECT_RATIOS)
    for _ in range(TRIES):
        share, ratio, top, left = rng.random(4).tolist()
        area = height * width * (AREA_SHARES[0] + share * (AREA_SHARES[1] - AREA_SHARES[0]))
        aspect = math.exp(low + ratio * (high - low))
        crop_width, crop_height = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
        if crop_width <= width and crop_height <= height:
            x, y = int(left * (width - crop_width + 1)), int(top * (height - crop_height + 1))
            return Region(x, y, crop_width, crop_height)
    aspect = min(max(width / height, ASPECT_RATIOS[0]), ASPECT_RATIOS[1])
    crop_width = min(width, max(1, round(height * aspect)))
    crop_height = min(height, max(1, round(width / aspect)))
    return Region((width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height)


def largest_reduction(regions: list[Region], height: int, width: int) -> Reduction:
    """Returns by how much the sides of an image may be divided so that no region gets smaller than a size.

    Args:
        regions: Parts of the image.
        height: Height that they will be resized to, in pixels.
        width: Width that they will be resized to, in pixels.
    """
    scale = min(min(region.height / height, region.width / width) for region in regions)
    return 8 if scale >= 8 else 4 if scale >= 4 else 2 if scale >= 2 else 1


def reduced(region: Region, reduction: Reduction, pixels: Image) -> Region:
    """Returns where a part of an image lies in the image at a reduced scale.

    Args:
        region: The part, in pixels of the whole image.
        reduction: By how much the sides were divided, rounded up.
        pixels: uint8 [H, W, 3], the image at the reduced scale.
    """
    if reduction == 1:
        return region
    x, y = round(region.x / reduction), round(region.y / reduction)
    right = min(pixels.shape[1], round((region.x + region.width) / reduction))
    bottom = min(pixels.shape[0], round((region.y + region.height) / reduction))
    return Region(x, y, max(1, right - x), max(1, bottom - y))
