"""The window, without a display."""

from __future__ import annotations

import sys

import cv2
import pytest
from decisions import decision, frame, opened

from allweather.runtimes.errors import DependencyError, OutputError
from allweather.runtimes.sinks.base import Ended
from allweather.runtimes.sinks.window import WindowSink
from allweather.runtimes.types import Image

LINUX = sys.platform.startswith("linux")


class Screen:
    """Replaces the windows of cv2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, key: int = -1) -> None:
        self.key, self.visible, self.shown, self.destroyed = key, False, 0, 0
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "namedWindow", self._open)
        monkeypatch.setattr(cv2, "imshow", self._show)
        monkeypatch.setattr(cv2, "waitKey", lambda delay: self.key)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda title, what: 1.0 if self.visible else 0.0)
        monkeypatch.setattr(cv2, "destroyWindow", self._destroy)

    def _open(self, title: str, flags: int) -> None:
        self.visible = True

    def _show(self, title: str, image: Image) -> None:
        self.shown += 1

    def _destroy(self, title: str) -> None:
        assert self.visible
        self.visible = False
        self.destroyed += 1


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27, 27 + 256])
def test_a_key_ends_the_loop(key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    with opened(WindowSink("road")) as sink:
        sink.write(frame(), decision())
        screen.key = key
        with pytest.raises(Ended):
            sink.write(frame(), decision())
    assert (screen.shown, screen.destroyed) == (2, 1)


def test_closing_the_window_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    with opened(WindowSink("road")) as sink:
        screen.visible = False
        with pytest.raises(Ended):
            sink.write(frame(), decision())
    assert screen.destroyed == 0


def test_a_cv2_without_windows_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    Screen(monkeypatch)
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(DependencyError, match="pip install opencv-python"):
        WindowSink("road").open()


@pytest.mark.skipif(
    not LINUX, reason="only Linux names its display in the environment; a missing one is not tested here"
)
def test_a_missing_display_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(OutputError, match="no display"):
        WindowSink("road").open()
