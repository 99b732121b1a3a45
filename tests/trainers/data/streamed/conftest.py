from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """JPEG files of many shapes, of three classes, in train and val; all are larger than 48 x 40 pixels."""
    rng = np.random.default_rng(3)
    for split, count in (("train", 30), ("val", 9)):
        for number in range(count):
            height, width = int(rng.integers(60, 200)), int(rng.integers(60, 240))
            image = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (width, height))
            path = tmp_path / "photos" / split / f"class{number % 3}" / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    return tmp_path / "photos"
