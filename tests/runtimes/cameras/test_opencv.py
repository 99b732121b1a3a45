"""Captures that OpenCV opens, the errors for those that it cannot open, and its own log."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras import opencv
from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.cameras.opencv import OpenCvCapture, open_device, open_stream
from allweather.runtimes.errors import CameraError, DependencyError
from allweather.runtimes.redaction import redacted


def test_a_missing_device_is_named_without_output_of_opencv(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraError, match=r"camera .*99"):
        open_device("99")
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices are paths on Linux only; untested")
def test_a_device_that_is_not_a_camera_is_refused_without_output_of_opencv(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraError, match=r"/dev/null cannot be opened"):
        open_device("/dev/null")
    assert capfd.readouterr() == ("", "")


def test_opencvs_log_level_is_restored() -> None:
    log: Any = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()
    with opencv.opencv_log_silenced():
        assert log.getLogLevel() == opencv.SILENT
    with suppress(ZeroDivisionError), opencv.opencv_log_silenced():
        raise ZeroDivisionError
    assert log.getLogLevel() == before


def test_opencvs_log_is_silent_until_the_last_thread_leaves() -> None:
    log: Any = getattr(cv2.utils, "logging", cv2)
    before, first, second = log.getLogLevel(), opencv.opencv_log_silenced(), opencv.opencv_log_silenced()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert log.getLogLevel() == opencv.SILENT
    second.__exit__(None, None, None)
    assert log.getLogLevel() == before


def test_a_stream_that_refuses_is_named_without_its_password() -> None:
    with pytest.raises(CameraError) as caught:
        open_stream("rtsp://user:secret@127.0.0.1:9/door", redacted("rtsp://user:secret@127.0.0.1:9/door"))
    assert "rtsp://***@127.0.0.1:9/door" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_stream_without_a_response_times_out(scheme: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        started = time.monotonic()
        with pytest.raises(CameraError, match="no video from"):
            open_stream(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/door", "the door", 0.3)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("source", "missing"),
    [("rtspsrc location=rtsp://me:pw@door ! appsink", "GStreamer"), ("rtsp://me:pw@door", "FFMPEG")],
)
def test_a_cv2_without_a_backend_says_what_to_do(source: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "_has", lambda backend: False)
    with pytest.raises(DependencyError, match=f"built without {missing}") as caught:
        open_camera(source)
    assert "rtsp://***@door" in str(caught.value)
    assert "pip" in str(caught.value)


class Video:
    """A stand-in for cv2.VideoCapture."""

    def __init__(self, image: Any, *, fps: float = 0.0) -> None:
        self._image, self._fps = image, fps

    def get(self, what: int) -> float:
        return self._fps

    def retrieve(self) -> tuple[bool, Any]:
        if isinstance(self._image, cv2.error):
            raise self._image
        return self._image is not None, self._image


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_gray_and_transparent_sources_become_rgb(shape: tuple[int, ...]) -> None:
    video: Any = Video(np.full(shape, 9, np.uint8))
    image = OpenCvCapture(video, "infrared").retrieve()
    assert image is not None
    assert image.shape == (4, 6, 3)
    assert (image == 9).all()


def test_pixels_of_another_type_are_refused_and_damaged_frames_are_none() -> None:
    deep: Any = Video(np.zeros((4, 6), np.uint16))
    with pytest.raises(CameraError, match="uint16"):
        OpenCvCapture(deep, "thermal").retrieve()
    packed: Any = SimpleNamespace(get=lambda _: 0.0, retrieve=lambda: (True, np.zeros((4, 4, 2), np.uint8)))
    with pytest.raises(CameraError, match=r"2 channels.*videoconvert"):
        OpenCvCapture(packed, "usb").retrieve()
    for broken in (None, np.zeros((0, 0, 3), np.uint8), cv2.error("cut off")):
        video: Any = Video(broken)
        assert OpenCvCapture(video, "usb").retrieve() is None


@pytest.mark.parametrize(
    ("stated", "fps"),
    [(30.0, 30.0), (0.1, 0.1), (0.0, None), (1e-9, None), (-1.0, None), (90000.0, None), (float("nan"), None)],
)
def test_an_impossible_frame_rate_is_ignored(stated: float, fps: float | None) -> None:
    video: Any = Video(None, fps=stated)
    assert OpenCvCapture(video, "porch").fps == fps
