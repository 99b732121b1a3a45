"""A sink that shows frames and decisions in a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import cv2

from allweather.runtimes.errors import DependencyError, OutputError
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.types import Decision, Frame

ESCAPE = 27  # key code
QUIT_KEYS = frozenset({ord("q"), ord("Q"), ESCAPE})


class WindowSink(Sink):
    """Shows each frame with its decision drawn on it. Pressing q or Esc or closing the window ends the loop.

    Args:
        title: Title of the window.
    """

    def __init__(self, title: str = "allweather") -> None:
        self._title = title

    def open(self) -> None:
        """Opens the window.

        Raises:
            OutputError: There is no display.
            DependencyError: The installed cv2 is built without a graphical user interface (GUI).
        """
        # Checked before cv2 is asked: without a display, Qt ends the whole process.
        if sys.platform.startswith("linux") and not _has_display():
            raise OutputError(
                "cannot show a window: there is no display (DISPLAY and WAYLAND_DISPLAY are not set); "
                "run it on the desktop, connect with ssh -X, or write a video instead"
            )
        try:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise DependencyError(
                "cannot show a window: this cv2 is built without a GUI; pip uninstall opencv-python-headless "
                "and pip install opencv-python, or write a video instead"
            ) from error

    def write(self, frame: Frame, decision: Decision) -> None:
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Shows one frame.

        Raises:
            Ended: The user pressed q or Esc or closed the window.
        """
        image = annotate(frame.image, decisions)
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF  # also lets the window draw itself
        if key in QUIT_KEYS or not self._is_visible():
            raise Ended

    def close(self) -> None:
        """Closes the window."""
        if self._is_visible():
            cv2.destroyWindow(self._title)

    def _is_visible(self) -> bool:
        """Returns whether the user has left the window open."""
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # raised by Qt for a window that has been closed
            return False


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
