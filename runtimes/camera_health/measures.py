"""`measure`: how bright, detailed, sharp and noisy an image is, in two or three milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.camera_health.blocks import block_detail, quantile
from allweather.runtimes.camera_health.tiles import Tiles, noise_deviation, sharpest_edges
from allweather.runtimes.types import Image

THUMBNAIL_WIDTH = 160  # pixels
WHITE_LEVEL = 250  # luma at which a pixel is overexposed: video ranges and gamma leave pure white to few
DETAIL_QUANTILE = 0.9  # over the blocks: a scene may be mostly sky, and a covered lens shows detail nowhere
PARTIAL_EDGE_SLOPE = 0.16  # up to here an edge may be wider than its window, in which its slope is 1 / 8 at least
MAX_HIDING_NOISE = 4.0  # levels, up to which edges of the least height are seen
MIN_EDGE_SHARE = 0.002  # of pixels at edges, below which a sharpness would be that of a few specks


@dataclass(frozen=True, eq=False)  # as == of two arrays is an array, and no bool
class ImageMeasures:
    """What can be seen of a camera's health in one image.

    Attributes:
        brightness: Mean luma, 0..1.
        overexposed: Share of pixels at the upper end of the range, 0..1.
        detail: Standard deviation of the small structures within blocks, less that of noise, in levels of 255: that of
            the richest tenth of the blocks. An image that is flat everywhere has next to none.
        sharpness: Slope of the sharpest edges relative to their height, per pixel: about 0.5 at best, 0.4 / s behind a
            Gaussian blur with a standard deviation of s pixels. It is nan in an image without edges.
        noise: Standard deviation of the noise of the luma, in levels of 255; nan if it cannot be told.
        thumbnail: The luma, uint8 [h, w], at most 160 pixels wide.
        thumbnail_noise: Standard deviation of the noise of the thumbnail, in levels; 0 if it cannot be told.
    """

    brightness: float
    overexposed: float
    detail: float
    sharpness: float
    noise: float
    thumbnail: npt.NDArray[np.uint8]
    thumbnail_noise: float


def measure(image: Image) -> ImageMeasures:
    """Measures an image of any size.

    Args:
        image: uint8 [H, W, 3], RGB; at least one pixel. It is not changed.
    """
    tiles = Tiles.of(image)
    noise = noise_deviation(tiles)
    thumbnail, averaged = _thumbnail(image)
    thumbnail_noise = 0.0 if math.isnan(noise) else noise / math.sqrt(averaged)
    return ImageMeasures(
        brightness=float(thumbnail.mean()) / 255,
        overexposed=float((thumbnail >= WHITE_LEVEL).mean()),
        detail=quantile(block_detail(thumbnail, thumbnail_noise)[1:-1, 1:-1], DETAIL_QUANTILE),
        sharpness=_sharpness(tiles, thumbnail, image.shape[1] / thumbnail.shape[1], noise),
        noise=noise,
        thumbnail=thumbnail,
        thumbnail_noise=thumbnail_noise,
    )


def _thumbnail(image: Image) -> tuple[npt.NDArray[np.uint8], float]:
    """Returns the luma, at most 160 pixels wide, and the number of pixels that each of its own is the mean of.

    Of a large image only some rows are read, as many as the thumbnail needs twice over; reading all of them would take
    most of the time.
    """
    height, width = image.shape[:2]
    factor = max(1.0, width / THUMBNAIL_WIDTH)
    rows = image[:: max(1, int(factor / 2))]
    luma = np.asarray(cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY), np.uint8)
    size = (min(width, THUMBNAIL_WIDTH), max(1, min(round(height / factor), len(rows))))
    averaged = luma.size / (size[0] * size[1])
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8), averaged


def _sharpness(tiles: Tiles, thumbnail: npt.NDArray[np.uint8], factor: float, noise: float) -> float:
    """Returns the sharpness at full resolution or, if there are no edges, that of the thumbnail in full pixels.

    Behind a strong blur there is no edge within a few pixels, or only a part of one, though the thumbnail still shows
    some. Where it is noise that hides the edges, nothing is known.
    """
    level = 0.0 if math.isnan(noise) else noise
    slope, share = sharpest_edges(tiles, level)
    if share >= MIN_EDGE_SHARE and slope > PARTIAL_EDGE_SLOPE:
        return slope
    if level > MAX_HIDING_NOISE:
        return math.nan
    coarse, coarse_share = sharpest_edges(Tiles(thumbnail, 1), 0.0)
    slopes = [slope] if share >= MIN_EDGE_SHARE else []
    slopes += [coarse / factor] if coarse_share >= MIN_EDGE_SHARE else []
    return min(slopes, default=math.nan)
