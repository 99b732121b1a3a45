"""An image file that a program of the user's own reads: turned, in RGB, and refused with its name and the reason."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import allweather


def test_a_file_is_read_as_red_green_blue(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 200  # red
    cv2.imwrite(str(tmp_path / "red.png"), image[..., ::-1])
    for path in (tmp_path / "red.png", str(tmp_path / "red.png")):
        assert np.array_equal(allweather.read_image(path), image)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gone", "cannot be read: No such file or directory"),
        ("text", "cannot be used: it is damaged, cut off or not an image"),
        ("pipe", "cannot be used: it is a pipe or a device"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "image.png"
    if kind == "text":
        path.write_text("no image")
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(allweather.DataError, match=said) as caught:
        allweather.read_image(path)
    assert str(caught.value).startswith(str(path))
