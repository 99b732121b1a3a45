"""Motion JPEG over HTTP: what FFMPEG reads, and what is said about a stream that only a browser shows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras.opencv import open_stream
from allweather.runtimes.errors import CameraError

FRAMES = 8
READ = """
import sys
from allweather.runtimes.cameras.open import open_camera
with open_camera(sys.argv[1], wait_seconds=20) as camera:
    print(camera.read().image.shape)
"""


class MotionJpegCamera(BaseHTTPRequestHandler):
    """Sends motion JPEG; at /nofirst without a boundary before the first image."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for index in range(FRAMES):
            data = cv2.imencode(".jpg", np.full((48, 64, 3), 20 * index, np.uint8))[1].tobytes()
            boundary = b"" if self.path == "/nofirst" and index == 0 else b"--frame\r\n"
            head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
            self.wfile.write(boundary + head + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Writes nothing to stderr."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MotionJpegCamera)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_motion_jpeg_with_boundaries_is_read(address: str) -> None:
    capture = open_stream(f"{address}/usual", "the door")
    assert capture.grab()
    image = capture.retrieve()
    capture.close()
    assert image is not None
    assert image.shape == (48, 64, 3)


def test_a_stream_that_only_a_browser_shows_is_not_blamed_on_address_or_password(address: str) -> None:
    with pytest.raises(CameraError, match=r"of a kind that FFMPEG does not read.*ffplay.*CAPTURE_OPTIONS=") as caught:
        open_stream(f"{address}/nofirst", "the door")
    assert "\n" not in str(caught.value)


@pytest.mark.end_to_end
def test_the_named_variable_lets_such_a_stream_be_read(address: str) -> None:
    environment = os.environ | {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "input_format;mjpeg"}
    command = [sys.executable, "-c", READ, f"{address}/nofirst"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "(48, 64, 3)", done.stderr
