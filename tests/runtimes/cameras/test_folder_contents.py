"""A folder of images as a source: what else lies in it and may be meant is told, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from allweather.runtimes.cameras.images import image_files


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
