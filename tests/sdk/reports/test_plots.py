from __future__ import annotations

import cv2
import numpy as np
import pytest

from allweather.reports import plots as pictures


@pytest.mark.parametrize(("count", "across"), [(1, 1), (3, 3), (7, 5)])
def test_a_gallery_is_as_wide_as_its_pictures(count: int, across: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    png = pictures.gallery([image] * count, ["caption"] * count)
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    height, width = drawn.shape[:2]
    assert width / height == pytest.approx(2.3 * across / (2.6 * -(-count // across)), rel=0.1)
