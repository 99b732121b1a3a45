"""Boxes of a detector are pixels; shares of the frame, which would all be its first pixel, are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver.boxes import check_regions, regions_of, visible_regions
from allweather.runtimes.region import Region


@pytest.mark.parametrize("boxes", [[[0.1, 0.2, 0.5, 0.6]], [[0.0, 0.0, 1.0, 1.0], [-0.01, 0.4, 0.3, 1.02]]])
def test_shares_of_the_frame_are_told(boxes: Any) -> None:
    with pytest.raises(UsageError, match=r"boxes are in pixels, .* multiply them by its width and height"):
        visible_regions(boxes, 480, 640)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[0, 0, 1, 1]], [Region(0, 0, 1, 1)]),  # whole pixels
        ([[0.2, 0.2, 0.8, 0.9], [5.5, 5.5, 9.5, 9.5]], [Region(0, 0, 1, 1), Region(5, 5, 5, 5)]),
        ([[0.2, 0.2, 1.8, 1.9]], [Region(0, 0, 2, 2)]),
        ([], []),
    ],
)
def test_pixels_are_taken(boxes: Any, expected: list[Region]) -> None:
    assert regions_of(boxes, 480, 640) == expected


def test_a_frame_of_one_pixel_has_such_boxes() -> None:
    assert regions_of([[0.2, 0.2, 0.8, 0.9]], 1, 1) == [Region(0, 0, 1, 1)]


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_edges_of_small_integers_of_numpy_do_not_overflow(kind: type[np.integer]) -> None:
    largest = int(np.iinfo(kind).max)
    region = Region(kind(largest), kind(0), kind(largest), kind(2))
    assert region.crop(np.zeros((2, 2 * largest, 3), np.uint8)).shape == (2, largest, 3)
    with pytest.raises(UsageError, match=f"the region {largest},0,{largest},2 reaches outside"):
        region.crop(np.zeros((2, 2 * largest - 1, 3), np.uint8))


@pytest.mark.parametrize("regions", [[(0, 0, 8, 8)], Region(0, 0, 8, 8), {"a": Region(0, 0, 8, 8)}, iter([])])
def test_regions_that_are_no_list_of_regions_are_told(regions: Any) -> None:
    with pytest.raises(UsageError, match=r"regions are a list of allweather.Region\(x, y, width, height\); got"):
        check_regions(regions)
