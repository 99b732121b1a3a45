"""The command line: `main`, and one thin function a command in the files beside this one."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line; exits 0, 1 (failed), 2 (bad usage) or 130 (Ctrl-C)."""
    # FFMPEG writes to stderr by itself for each damaged frame; cv2 reads this once, when it first opens a video
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        from allweather.cli.app import app

        app()
    except KeyboardInterrupt:  # before or after a command; inside one, `guarded` says it
        sys.exit(130)
