"""allweather run, as people and supervisors use it: in processes, with signals, streams and pages."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import invoke, json_of, one_line, start

import allweather
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import UsageError


class Stream(BaseHTTPRequestHandler):
    """A camera that sends motion JPEG at up to 60 frames per second, as many frames as its server says."""

    server: Any

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        image = cv2.imencode(".jpg", np.full((*self.server.size, 3), 128, np.uint8))[1].tobytes()
        for _ in range(self.server.frames):
            if self.server.ending.wait(1 / 60):
                return
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            self.wfile.write(head.encode() + image + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the library
        """Says nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores a viewer that has left."""


@contextmanager
def streaming(port: int = 0, *, frames: int = 10**6, size: tuple[int, int] = (48, 64)) -> Iterator[int]:
    server: Any = Server(("127.0.0.1", port), Stream)
    server.frames, server.size, server.ending = frames, size, threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for_lines(path: Path, count: int, seconds: float = 30.0) -> float:
    """Waits until a log has so many lines; returns how many seconds that took."""
    started = time.monotonic()
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() - started < seconds, path.read_text() if path.exists() else "no log"
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.end_to_end
def test_a_stream_that_is_cut_gone_and_back_with_another_size(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    log = tmp_path / "d.jsonl"
    with streaming() as port:
        running = start(
            "run", exported[0], "--source", f"http://me:secret@127.0.0.1:{port}/cam", "--jsonl", log, "--json",
            "--engine", "onnx", OPENCV_FFMPEG_LOGLEVEL="-8",
        )  # fmt: skip
        wait_for_lines(log, 10)
    time.sleep(1.5)  # gone
    before = log.read_bytes().count(b"\n")
    with streaming(port, size=(96, 128)):
        assert wait_for_lines(log, before + 10) < 4
        running.send_signal(signal.SIGTERM)
        started = time.monotonic()
        result, messages = running.communicate(timeout=20)
        assert time.monotonic() - started < 2.5  # with the end of a Python process
    assert running.returncode == 128 + signal.SIGTERM, messages
    assert "secret" not in result + messages
    assert "is back" in messages
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    rows = [row for row in rows if "event" not in row]
    assert [row["index"] for row in rows] == sorted({row["index"] for row in rows})
    report = json.loads(result)["report"]
    assert report["decided"] == len(rows)
    assert report["drops"]["source"] >= 1


@pytest.mark.end_to_end
def test_a_camera_that_is_not_there_is_waited_for_and_ctrl_c_ends_it(exported: tuple[Path, Manifest]) -> None:
    running = start("run", exported[0], "--source", "99", "--serve", "0", "--json", "--engine", "onnx")
    assert running.stderr
    address = ""
    while "127.0.0.1" not in address:
        address = running.stderr.readline()
    connection = http.client.HTTPConnection(address.split("http://")[1].strip().strip("/"), timeout=5)
    deadline, health = time.monotonic() + 10, {}
    while not any("there is no camera" in each for each in health.get("problems", [])):
        assert time.monotonic() < deadline, health
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        health = json.loads(response.read())
        assert response.status == 503
        connection.close()
    assert health["alive"]
    running.send_signal(signal.SIGINT)
    result, messages = running.communicate(timeout=20)
    assert running.returncode == 130, messages
    assert json.loads(result)["decided"] == 0


@pytest.mark.slow
def test_two_sources_on_one_engine(sample_bundle: Path, folder: Path, tmp_path: Path) -> None:
    sources = [folder / "test" / "red", folder / "test" / "green"]
    words = [word for source in sources for word in ("--source", source)]
    result = json_of(
        invoke(
            "run",
            sample_bundle,
            *words,
            "--engine",
            "onnx",
            "--precision",
            "int8",
            "--jsonl",
            tmp_path / "d.jsonl",
            "--json",
        )
    )
    assert [each["source"] for each in result["sources"]] == [str(source) for source in sources]
    assert {(each["engine"], each["precision"]) for each in result["sources"]} == {("onnx", "int8")}
    assert sum(result["labels"].values()) == sum(each["decided"] for each in result["sources"])
    for index, each in enumerate(result["sources"]):
        rows = [row for row in (tmp_path / f"d-{index}.jsonl").read_text().splitlines() if '"event"' not in row]
        assert each["decided"] == len(rows) == len(list(sources[index].iterdir()))


@pytest.mark.slow
def test_a_file_played_live_accounts_for_every_frame(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    film, written = tmp_path / "film.avi", tmp_path / "written.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 40, (64, 48))
    for _ in range(60):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    line = ["run", exported[0], "--source", film, "--live", "--video", written, "--serve", "0", "--json"]
    assert json_of(invoke(*line))["frames"] == 60
    assert cv2.VideoCapture(str(written)).get(cv2.CAP_PROP_FPS) == 40


def test_watch_wants_a_perceiver(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"allweather\.load.*got str"):
        next(iter(allweather.watch(folder, "signs.aw")))  # type: ignore[arg-type]


@pytest.mark.slow
def test_one_bad_source_ends_the_other(sample_bundle: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    done = invoke("run", sample_bundle, "--source", folder / "test" / "red", "--source", tmp_path / "text.mp4")
    assert done.exit_code == 1
    assert "text.mp4" in one_line(done)
    assert "video" in one_line(done)
