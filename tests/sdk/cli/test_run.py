"""The commands about loops, as people and supervisors use them: in processes, with signals, streams and pages."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
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
from typer.testing import CliRunner

import allweather
from allweather.cli import console
from allweather.cli.app import app
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import CameraError, StalledError, UsageError


class Stream(BaseHTTPRequestHandler):
    """A camera that speaks motion JPEG, thirty frames a second, as ill as it is told."""

    server: Any

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture = cv2.imencode(".jpg", np.full((*self.server.size, 3), 128, np.uint8))[1].tobytes()
        for _ in range(self.server.frames):
            if self.server.ending.wait(1 / 60):
                return
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the library
        """Says nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that left."""


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


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "allweather.cli", *map(str, words)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def wait_for_lines(path: Path, count: int, seconds: float = 30.0) -> float:
    """Waits until a log has so many lines; how long that took."""
    began = time.monotonic()
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() - began < seconds, path.read_text() if path.exists() else "no log"
        time.sleep(0.02)
    return time.monotonic() - began


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
        began = time.monotonic()
        told, said = running.communicate(timeout=20)
        assert time.monotonic() - began < 2.5  # with the end of a Python process
    assert running.returncode == 128 + signal.SIGTERM, said
    assert "secret" not in told + said
    assert "is back" in said
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    assert [row["index"] for row in rows] == sorted({row["index"] for row in rows})
    report = json.loads(told)["report"]
    assert report["decided"] == len(rows)
    assert report["drops"]["source"] >= 1


def test_a_camera_that_is_not_there_is_waited_for_and_ctrl_c_ends_it(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    running = start("run", exported[0], "--source", "99", "--page", "0", "--json", "--engine", "onnx")
    assert running.stderr
    address = ""
    while "127.0.0.1" not in address:
        address = running.stderr.readline()
    line = http.client.HTTPConnection(address.split("http://")[1].strip().strip("/"), timeout=5)
    deadline, told = time.monotonic() + 10, {}
    while not any("there is no camera" in each for each in told.get("problems", [])):
        assert time.monotonic() < deadline, told
        line.request("GET", "/healthz")
        answer = line.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 503
        line.close()
    assert told["alive"]
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=20)
    assert running.returncode == 130, said
    assert json.loads(out)["decided"] == 0


def test_two_sources_on_one_engine(exported: tuple[Path, Manifest], folder: Path, tmp_path: Path) -> None:
    sources = [folder / "test" / "red", folder / "test" / "green"]
    words = [word for source in sources for word in ("--source", str(source))]
    done = CliRunner().invoke(app, ["run", str(exported[0]), *words, "--jsonl", str(tmp_path / "d.jsonl"), "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["sources"]
    assert [each["source"] for each in told] == [str(source) for source in sources]
    for number, each in enumerate(told):
        rows = (tmp_path / f"d-{number}.jsonl").read_text().splitlines()
        assert each["decided"] == len(rows) == len(list(sources[number].iterdir()))


def test_a_file_played_live_accounts_for_every_frame(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    film, seen = tmp_path / "film.avi", tmp_path / "seen.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 40, (64, 48))
    for _ in range(60):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    words = ["--source", str(film), "--live", "--video", str(seen), "--page", "0", "--json"]
    done = CliRunner().invoke(app, ["run", str(exported[0]), *words])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 60
    assert cv2.VideoCapture(str(seen)).get(cv2.CAP_PROP_FPS) == 40


def test_watch_wants_a_perceiver(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"as allweather\.load gives one; got str"):
        next(iter(allweather.watch(folder, "signs.aw")))  # type: ignore[arg-type]


def test_one_bad_source_ends_the_other(exported: tuple[Path, Manifest], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    words = ["--source", str(folder / "test" / "red"), "--source", str(tmp_path / "text.mp4")]
    done = CliRunner().invoke(app, ["run", str(exported[0]), *words])
    assert done.exit_code == 1
    assert "text.mp4 is not a video" in done.stderr.replace("\n", " ")


def test_a_bench_says_where_its_source_was_too_short(exported: tuple[Path, Manifest], folder: Path) -> None:
    words = ["bench", str(exported[0]), "--looks", "1", "--engine", "onnx", "--source", str(folder / "test" / "red")]
    there = len(list((folder / "test" / "red").iterdir()))
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["frames"] == there
    assert f"ended after {there} of 200 frames" in CliRunner().invoke(app, words).stderr.replace("\n", " ")


def test_a_bench_writes_a_page_a_picture_and_all_figures(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    words = ["bench", str(exported[0]), "--frames", "5", "--looks", "1,3", "--engine", "onnx"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {(run["engine"], run["looks"]) for run in told["runs"]} == {("onnx", 1), ("onnx", 3)}
    for run in told["runs"]:
        assert run["report"]["decided"] == 5
        assert set(run["report"]["stages"]) == {"capture", "prepare", "rank", "plan", "views", "infer", "aggregate", "sink"}
        assert run["report"]["views_per_frame"] == [[run["looks"], 5]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html", "report.md", "result.json", "stages.png",
    }  # fmt: skip
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.stdout.splitlines()) <= 84
    assert "onnx fp32 k=3" in shown.stdout


@pytest.mark.parametrize(("error", "code"), [(UsageError("x"), 2), (CameraError("x"), 1), (StalledError("x"), 75)])
def test_exit_codes_tell_a_supervisor_what_to_do(error: Exception, code: int) -> None:
    assert console._exit_code(error) == code
