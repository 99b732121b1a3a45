"""A video is read and written whatever its name looks like: a time, a protocol, a pattern of names, a device."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from allweather.runtimes.cameras.open import open_camera

NAMES = [
    "2026-11-27T12:30:00.mp4", "./2026-11-27T12:30:00.mp4", "cam:1/clip.mp4", "rtsp:cam.mp4", "concat:a|b.mp4",
    "clip%03d.mp4", "100%.mp4", "-dash.mp4", "0.mp4", "./0.avi", "a b?.mp4", "x*[1].mp4", "#hash.mp4", "v\n.mp4",
    "größe.mp4", "~/clip.mp4", "video=cam.mp4", "http:/clip.mp4", ".hidden.mp4",
]  # fmt: skip


def write_and_read(name: str) -> None:
    """Writes a video of five gray levels and reads it again; with imports of its own, to be run in another process."""
    from pathlib import Path

    import numpy as np

    from allweather.runtimes.cameras.open import open_camera
    from allweather.runtimes.sinks.video import VideoSink
    from allweather.runtimes.types import Decision, Frame, StageTimes

    images = (np.full((32, 32, 3), 40 * level, np.uint8) for level in range(5))
    sink = VideoSink(Path(name), 10, lambda frame, decisions: frame.image)
    sink.open()
    for index, image in enumerate(images):
        times = StageTimes(0, 0, 0, 0, 0, 0)
        decision = Decision("sign", 1.0, np.ones(1, np.float32), index, ("identity",), (), times, 0.0, False, 0)
        sink.write(Frame(image, index, 0.0), decision)
    sink.close()
    levels = [round(float(frame.image.mean()) / 40) for frame in open_camera(name)]
    assert levels == [0, 1, 2, 3, 4], levels


@pytest.mark.parametrize("name", NAMES)
def test_a_video_is_written_and_read_under_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_and_read(name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


@pytest.mark.slow
def test_a_video_whose_name_is_not_utf8_is_written_and_read(tmp_path: Path) -> None:
    """In a process of its own, as cv2 crashes on such a name."""
    name = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    program = f"{inspect.getsource(write_and_read)}\nimport sys; write_and_read(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", program, str(name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [name]


def test_an_image_beside_such_names_is_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.chdir(tmp_path)
    encoded = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for name in ("frame%03d.png", "frame001.png", "12:30.png"):
        Path(name).write_bytes(encoded)
        assert len(list(open_camera(name))) == 1
