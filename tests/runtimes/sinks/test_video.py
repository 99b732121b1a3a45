"""The recorded video: complete, or not there."""

from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from decisions import decision, frame, opened

from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.types import Frame

LINUX = sys.platform.startswith("linux")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".MP4"])
def test_a_video_has_every_frame_and_appears_when_done(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / f"video{suffix}"
    sink = VideoSink(path, 12.5)
    sink.open()
    for index in range(7):
        sink.write(frame(index), decision(index))
        assert not path.exists()
    sink.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    camera = open_camera(str(path))
    frames = list(camera)
    assert camera.fps == pytest.approx(12.5)
    assert len(frames) == 7
    for index, read in enumerate(frames):
        assert read.image.shape == (240, 320, 3)
        assert abs(float(read.image[150:].mean()) - index * 10) < 6


def test_frames_of_other_sizes_are_resized_and_odd_ones_made_even(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with opened(VideoSink(path, 10)) as sink:
        for height, width in ((241, 321), (480, 640), (300, 250)):
            sink.write(frame(height=height, width=width), decision())
    assert [read.image.shape for read in open_camera(str(path))] == [(240, 320, 3)] * 3


def test_a_video_without_frames_is_not_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), opened(VideoSink(tmp_path / "video.mp4", 10)):
        pass
    assert list(tmp_path.iterdir()) == []
    assert "nothing was recorded" in caplog.text


@pytest.mark.parametrize("name", ["video.gif", "video", "video.mp4.txt"])
def test_an_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.avi, \.webm"):
        VideoSink(Path(name), 10)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 1001.0])
def test_an_impossible_frame_rate_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="frames per second"):
        VideoSink(Path("video.mp4"), fps)


@pytest.mark.parametrize("given", [0.5, lambda: 0.5], ids=["number", "function"])
def test_a_slow_webm_is_refused_before_anything_is_recorded(given: Any, tmp_path: Path) -> None:
    def record(name: str) -> None:
        with opened(VideoSink(tmp_path / name, given)) as sink:
            sink.write(frame(), decision())

    with pytest.raises(UsageError, match=r"a \.webm video has 1 to 1000 frames .*; got 0\.5: name a \.mp4 or \.avi"):
        record("video.webm")
    record("video.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])
def test_tiny_frames_are_enlarged_for_the_encoder(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"video{suffix}"
    with opened(VideoSink(path, 10, lambda shown, decisions: np.zeros((2, 3, 3), np.uint8))) as sink:
        sink.write(frame(), decision())
    (read,) = open_camera(str(path))
    assert read.image.shape == (16, 16, 3)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        VideoSink(tmp_path / "file" / "video.mp4", 10).open()


def test_a_full_disk_is_not_taken_for_a_missing_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda writer: False)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot write .*video\.mp4: the disk is full; free some space"):
        VideoSink(tmp_path / "video.mp4", 10).write(frame(), decision())
    assert list(tmp_path.iterdir()) == []


def test_a_cv2_that_cannot_encode_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *_: object) -> None: ...

        def isOpened(self) -> bool:  # noqa: N802 -- cv2's name
            return False

    monkeypatch.setattr(cv2, "VideoWriter", Refusing)
    with opened(VideoSink(tmp_path / "video.mp4", 10)) as sink, pytest.raises(OutputError, match="mp4v"):
        sink.write(frame(), decision())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not LINUX, reason="the limit on the size of files works only on Linux; a full disk is not tested here"
)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])
def test_a_video_that_does_not_fit_on_the_disk_is_an_output_error(suffix: str, tmp_path: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    sink = VideoSink(tmp_path / f"video{suffix}", 10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        for index in range(20):
            sink.write(Frame(noise, index, 0.0), decision(index))
        with pytest.raises(OutputError, match="of 20 frames"):
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_the_frame_rate_may_be_given_by_a_function(tmp_path: Path) -> None:
    known: list[float] = []
    with opened(VideoSink(tmp_path / "video.avi", lambda: known[0])) as sink:
        known.append(12.0)
        sink.write(frame(), decision())
    assert cv2.VideoCapture(str(tmp_path / "video.avi")).get(cv2.CAP_PROP_FPS) == 12
    with (
        opened(VideoSink(tmp_path / "other.avi", lambda: 1e9)) as sink,
        pytest.raises(UsageError, match="frames per second"),
    ):
        sink.write(frame(), decision())


@pytest.mark.parametrize("fps", [None, "25", float("nan"), 0, True])
def test_a_frame_rate_that_is_none_is_told(fps: object, tmp_path: Path) -> None:
    given: Any = fps
    with pytest.raises(UsageError, match=r"a \.mp4 video has 0\.01 to 1000 frames per second; got") as wrong:
        VideoSink(tmp_path / "x.mp4", given)
    assert ("write camera.fps or 25" in str(wrong.value)) == (fps is None)
    sink = VideoSink(tmp_path / "x.mp4", lambda: given)
    sink.open()
    with pytest.raises(UsageError, match="frames per second; got"):
        sink.write(frame(), decision())
    sink.close()
