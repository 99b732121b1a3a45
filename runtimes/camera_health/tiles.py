"""Sharpness and noise of an image, from tiles at its full resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from allweather.runtimes.camera_health.blocks import quantile
from allweather.runtimes.types import Image

TILES = 3  # along each side of the image
TILE_SHAPE = (64, 64)  # rows and columns
EDGE_WINDOW = 9  # pixels within which an edge rises
MIN_EDGE = 24.0  # levels that an edge rises at least
EDGE_NOISES = 6.0  # and at least so many standard deviations of the noise: the range of nine noisy pixels is three
EDGE_QUANTILE = 0.9  # of the slopes: the middle of an edge is steep, its ends are not
NOISE_BLOCK = 16  # pixels
NOISE_QUANTILE = 0.1  # of the blocks: those with the least texture
NOISE_RANGE = (6.0, 245.0)  # mean luma of a block between which noise is not cut off
LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # difference of two; blind to edges
MIN_SIDE = EDGE_WINDOW + 2  # pixels of a tile in which there is anything to measure


@dataclass(frozen=True, eq=False)
class Tiles:
    """Parts of an image, one below the other.

    Attributes:
        luma: uint8 [count h, w].
        count: Number of tiles.
    """

    luma: npt.NDArray[np.uint8]
    count: int

    @classmethod
    def of(cls, image: Image) -> Tiles:
        """Takes nine tiles that are spread evenly over an image, or the whole of a small one.

        Args:
            image: uint8 [H, W, 3], RGB.
        """
        height, width = image.shape[:2]
        rows, columns = TILE_SHAPE
        if height <= TILES * rows or width <= TILES * columns:  # one tile from its middle, of as many pixels
            height, width = min(height, TILES * rows), min(width, TILES * columns)
            top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
            middle = image[top : top + height, left : left + width]
            return cls(np.asarray(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), np.uint8), 1)
        tops, lefts = (
            [round((index + 0.5) * side / TILES - tile / 2) for index in range(TILES)]
            for side, tile in ((height, rows), (width, columns))
        )
        parts = [image[top : top + rows, left : left + columns] for top in tops for left in lefts]
        return cls(np.asarray(cv2.cvtColor(np.concatenate(parts), cv2.COLOR_RGB2GRAY), np.uint8), len(parts))

    @property
    def is_measurable(self) -> bool:
        """Whether the tiles are large enough to measure anything."""
        rows, columns = self.luma.shape
        return bool(min(rows // self.count, columns) >= MIN_SIDE)


def sharpest_edges(tiles: Tiles, noise: float) -> tuple[float, float]:
    """Returns how steep the sharpest edges are, and the share of pixels that lie at edges.

    An edge is measured by its own height, as its width would be (Marziliano et al. 2002, "A no-reference perceptual
    blur metric"), so that neither contrast nor the number of edges matters: the slope in the middle of a step behind a
    Gaussian blur of s pixels is 0.4 / s of its height. The larger one of the values along rows and along columns
    counts, as a camera that moves blurs the one and a lens out of focus both.

    Args:
        tiles: Parts of an image.
        noise: Standard deviation of its noise, in levels.

    Returns:
        The slope per pixel relative to the height of the edge, nan if there are no edges; the share, 0..1.
    """
    if not tiles.is_measurable:
        return math.nan, 0.0
    threshold = max(MIN_EDGE, EDGE_NOISES * noise)
    slopes, shares = [], []
    for size in ((EDGE_WINDOW, 1), (1, EDGE_WINDOW)):  # columns and rows of the window, as OpenCV has them
        window = np.ones(size[::-1], np.uint8)
        height = cv2.subtract(cv2.dilate(tiles.luma, window), cv2.erode(tiles.luma, window))
        slope = cv2.absdiff(*_shifted(tiles.luma, size))  # over two pixels
        at_edges = height > threshold
        if tiles.count > 1 and size[1] > 1:
            _clear_seams(at_edges, tiles.count)
        values = slope[at_edges] / (2.0 * height[at_edges])
        shares.append(len(values) / height.size)
        slopes.append(quantile(values, EDGE_QUANTILE) if len(values) else math.nan)
    return (float(np.nanmax(slopes)) if max(shares) else math.nan), max(shares)


def noise_deviation(tiles: Tiles) -> float:
    """Returns the standard deviation of the noise, in levels; nan if it cannot be told.

    By the mean absolute response to the difference of two Laplacians, which edges and slopes leave near zero (Immerkaer
    1996, "Fast noise variance estimation"), in the blocks with the least of it, as texture is taken for noise by it.
    """
    if not tiles.is_measurable:
        return math.nan
    response = np.abs(cv2.filter2D(tiles.luma, cv2.CV_32F, LAPLACIANS))
    rows, columns = (side // NOISE_BLOCK or 1 for side in tiles.luma.shape)
    blocks = cv2.resize(response, (columns, rows), interpolation=cv2.INTER_AREA)
    means = cv2.resize(tiles.luma, (columns, rows), interpolation=cv2.INTER_AREA)
    usable = blocks[(means > NOISE_RANGE[0]) & (means < NOISE_RANGE[1])]
    if not usable.size:
        return math.nan
    return quantile(usable, NOISE_QUANTILE) * math.sqrt(math.pi / 2) / 6


def _shifted(luma: npt.NDArray[np.uint8], size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Returns two copies, shifted by a pixel to either side along the longer side of a window."""
    pad = cv2.copyMakeBorder(luma, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shifted = (pad[1:-1, 2:], pad[1:-1, :-2]) if size[0] > 1 else (pad[2:, 1:-1], pad[:-2, 1:-1])
    return np.asarray(shifted[0], np.uint8), np.asarray(shifted[1], np.uint8)


def _clear_seams(mask: npt.NDArray[np.bool_], count: int) -> None:
    """Clears the rows of a mask from which a window reaches into another tile."""
    reach = EDGE_WINDOW // 2
    tiles = mask.reshape(count, -1, mask.shape[1])
    tiles[:, :reach] = tiles[:, -reach:] = False
