from __future__ import annotations

import cv2
import numpy as np
import pytest

from allweather.reports.image_grids import gallery


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (7, 5)])
@pytest.mark.slow
def test_a_gallery_has_the_aspect_of_its_grid(count: int, columns: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    png = gallery([image] * count, ["caption"] * count)
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    height, width = drawn.shape[:2]
    assert width / height == pytest.approx(2.3 * columns / (2.6 * -(-count // columns)), rel=0.1)


@pytest.mark.slow
def test_long_names_leave_place_for_the_images() -> None:
    image = np.full((32, 32, 3), (250, 0, 0), np.uint8)
    sizes = []
    for name in ("w", "w" * 200):
        png = gallery([image] * 10, [f"fog\ntrue: {name}\nrobust + TTA: {name}"] * 10)
        drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None
        sizes.append((drawn == (0, 0, 250)).all(2).mean())
    assert sizes[1] > 0.8 * sizes[0]
