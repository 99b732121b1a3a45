"""A folder of images as a source: what else lies in it and may be meant is told, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras.images import image_files
from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.errors import CameraError


def test_folders_and_files_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("0.png", "1.HEIC", "2.heic", "3.mp4", "notes.txt", "0.json", ".hidden.mp4"):
        (tmp_path / name).touch()
    for name in ("2026-11-28", "2026-11-29", ".git", "@eaDir"):
        (tmp_path / name).mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["0.png"]
    assert caplog.messages == [f"{tmp_path} also holds 2 folders and files .heic, .mp4, which are not read"]


def test_a_folder_of_images_alone_is_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("0.png", "0.json", "b.jpg", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [path.name for path in image_files(tmp_path)] == ["0.png", "b.jpg"]
    assert not caplog.messages


@pytest.mark.parametrize("live", [False, True])
def test_a_folder_that_is_removed_while_it_is_read_ends_the_camera(live: bool, tmp_path: Path) -> None:
    """As where a disk is unmounted: decisions on a part of its images would look like success."""
    folder = tmp_path / "stick"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"{index}.png"), np.zeros((8, 8, 3), np.uint8))
    camera = iter(open_camera(folder, live=live))
    next(camera)
    shutil.rmtree(folder)
    with pytest.raises(CameraError, match=r"folder .*stick was removed or unmounted .* before \d.png; bring it back"):
        list(camera)
