"""The address of a camera from an environment variable or a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.cameras.source_text import MAX_FILE_BYTES, read_source
from allweather.runtimes.errors import CameraError, UsageError

ADDRESS = "rtsp://user:hunter2@host/door?width=640"


@pytest.mark.parametrize("text", ["0", "/dev/video0", ADDRESS, "file:///videos/a.mp4", "./env:A", "environment.mp4"])
def test_other_sources_stay_as_they_are(text: str) -> None:
    assert read_source(text, {}) == text


def test_a_source_is_read_from_a_variable() -> None:
    assert read_source("env:CAMERA", {"CAMERA": f" {ADDRESS}\n"}) == ADDRESS


@pytest.mark.parametrize("content", [ADDRESS, f"{ADDRESS}\n", f"\ufeff{ADDRESS}\r\n\n"])
def test_a_source_is_read_from_a_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "camera.txt"
    file.write_bytes(content.encode())
    assert read_source(f"file:{file}", {}) == ADDRESS


def test_the_camera_is_named_without_its_password(tmp_path: Path) -> None:
    file = tmp_path / "camera.txt"
    file.write_text(ADDRESS)
    assert open_camera(f"file:{file}").name == "rtsp://***@host/door?width=640"


@pytest.mark.parametrize("name", ["", "CAMERA", "CAM\x1bERA"])
def test_a_variable_that_is_not_set_gets_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="is not set; it holds one line") as caught:
        read_source(f"env:{name}", {})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no lines"),
        (b"\n \n", "holds no lines"),
        (b"hunter2\nhunter3\n", "holds 2 lines"),
        (b"hunter2\0", "is not text"),
        (b"hunter2\xff", "is not text in UTF-8"),
        (b"hunter2" * MAX_FILE_BYTES, "has more than"),
    ],
)
def test_a_file_without_one_source_gets_one_line_that_quotes_nothing_of_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "camera.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_source(f"file:{file}", {})
    assert str(caught.value).isprintable()
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "missing.txt", "/dev/zero", "a" * 5000, "nul\0"])
def test_what_is_no_file_gets_one_line(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_source(f"file:{path}", {})
    assert str(caught.value).isprintable()


def test_a_path_is_a_path_whatever_its_name() -> None:
    with pytest.raises(CameraError, match="no camera, video, folder or stream 'env:A'"):
        open_camera(Path("env:A"))
