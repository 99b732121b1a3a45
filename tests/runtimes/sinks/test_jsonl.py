"""The log of decisions: lines of JSON, full disks, rotation."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decisions import decision, frame, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import OutputError
from allweather.runtimes.sinks import line_log
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.types import Frame

LINUX = sys.platform.startswith("linux")


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "out.jsonl"
    with opened(JsonlSink(path, wall_clock=lambda: 1.7e9 + 0.12345)) as sink:
        for index in range(3):
            sink.write(frame(index), decision(index))
            assert len(path.read_text().splitlines()) == index + 1
    assert json.loads(path.read_text().splitlines()[2]) == {
        "time": 1700000000.123, "index": 2, "label": "stop", "confidence": 0.9, "views": ["identity"],
        "predicted_losses": [0.5], "age": 0.02, "late": False, "skipped": 3, "accepted": None, "unknown": False,
        "agreement": 1.0,
        "planned_views": 1, "time_left": None, "expected_seconds": None, "reason": "policy",
        "times": {
            "prepare": 0.001, "rank": 0.0, "plan": 0.0, "views": 0.0, "infer": 0.01, "aggregate": 0.0, "detect": 0.0,
        },
    }  # fmt: skip


@given(
    label=st.text(st.characters()),
    losses=st.lists(st.floats(width=32) | st.floats(width=32).map(np.float32), max_size=4),
    confidence=st.floats(0, 1),
)
@settings(max_examples=50)
@pytest.mark.slow
def test_any_decision_is_one_line_of_strict_json(
    label: str, losses: list[Any], confidence: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.unlink(missing_ok=True)
    with opened(JsonlSink(path)) as sink:
        sink.write(frame(), decision(label=label, losses=tuple(losses), confidence=confidence))
    (line,) = path.read_bytes().split(b"\n")[:-1]
    parsed = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not in the JSON standard"))
    assert parsed["label"] == label.encode("utf-8", "replace").decode()
    assert parsed["confidence"] == confidence
    for loss, written in zip(losses, parsed["predicted_losses"], strict=True):
        assert written == (float(loss) if np.isfinite(loss) else None)


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_log_is_continued_even_after_an_incomplete_line(end: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"index": 7}\n{"ind' + end)
    for index in (8, 9):
        with opened(JsonlSink(path)) as sink:
            sink.write(frame(index), decision(index))
    complete, torn, *later = path.read_text().splitlines()
    assert (complete, torn) == ('{"index": 7}', '{"ind')
    assert [json.loads(text)["index"] for text in later] == [8, 9]


def test_a_continued_log_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for index in range(50):
        with opened(JsonlSink(path, rotate_bytes=1000)) as sink:
            sink.write(frame(index), decision(index))
        assert path.stat().st_size < 1500
    assert json.loads(path.read_text().splitlines()[-1])["index"] == 49
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1"]


@pytest.mark.skipif(not LINUX, reason="/dev/full exists only on Linux; a disk that stays full is not tested here")
def test_a_disk_that_stays_full_is_reported_once_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    sink = JsonlSink(Path("/dev/full"))
    sink.open()
    for index in range(3):
        sink.write(frame(index), decision(index))
    (message,) = (record.getMessage() for record in caplog.records)
    assert "disk is full" in message
    assert "kept in memory" in message
    with pytest.raises(OutputError, match=r"disk is full.*3 decisions are missing"):
        sink.close()


class Disk:
    """A file on a disk with `free` bytes left."""

    free = 10**9

    def __init__(self, handle: int, mode: str) -> None:
        self._file = os.fdopen(handle, mode + "b", buffering=0)

    def write(self, data: bytes) -> int:
        if not Disk.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._file.write(data[: Disk.free])
        Disk.free -= written
        return written

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


@given(free=st.integers(0, 2000), max_waiting=st.sampled_from([3, 20_000]))
@pytest.mark.slow
def test_no_decision_is_lost_while_a_disk_is_full(free: int, max_waiting: int) -> None:
    now = [0.0]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_log, "FileIO", Disk)
        patch.setattr(line_log, "MAX_WAITING_LINES", max_waiting)
        path = Path(folder, "a.jsonl")
        Disk.free = free
        sink = JsonlSink(path, clock=lambda: now[0])
        sink.open()
        for index in range(20):
            now[0] += 0.2
            if index == 12:
                Disk.free = 10**9
            sink.write(frame(index), decision(index))
        lost = sink._log.lost
        if lost:
            with pytest.raises(OutputError, match=f"{lost} decisions are missing"):
                sink.close()
        else:
            sink.close()
        indices = [json.loads(text)["index"] for text in path.read_text().splitlines()]
    assert indices == sorted(set(indices))
    assert len(indices) == 20 - lost
    assert max_waiting == 3 or not lost


def test_a_log_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(JsonlSink(path, rotate_bytes=1000, fsync=True)) as sink:
        for index in range(50):
            sink.write(frame(index), decision(index))
            assert path.stat().st_size < 1500
    rotated, current = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl.1", "a.jsonl"))
    assert [json.loads(text)["index"] for text in (*rotated, *current)] == list(
        range(50 - len(rotated) - len(current), 50)
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "log.jsonl", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            JsonlSink(path).open()


def test_source_and_file_are_in_each_line(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with opened(JsonlSink(tmp_path / "log", source="pictures")) as sink:
        sink.write(Frame(image, 0, 0.0, file="a.png"), decision(0))
        sink.write(Frame(image, 1, 0.0), decision(1))
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (first["source"], first["file"]) == ("pictures", "a.png")
    assert "file" not in second


@pytest.mark.skipif(not LINUX, reason="needs pipes with names")
def test_a_pipe_without_a_reader_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="nothing reads this pipe or device; start its reader first"):
        JsonlSink(tmp_path / "pipe").open()


@pytest.mark.skipif(not LINUX, reason="needs pipes with names")
def test_a_reader_that_has_gone_ends_the_loop_without_a_complaint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlSink(tmp_path / "pipe")
    sink.open()
    sink.write(frame(0), decision(0))
    assert json.loads(os.read(reader, 9999))["index"] == 0
    os.close(reader)
    with pytest.raises(BrokenPipeError, match="has gone"):
        sink.write(frame(1), decision(1))
    sink.close()
    assert not caplog.text


@pytest.mark.skipif(not LINUX, reason="needs pipes with names")
def test_a_slow_reader_does_not_hold_up_the_loop_and_gets_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1000  # more than a pipe holds
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlSink(tmp_path / "pipe")
    sink.open()
    for index in range(count):
        sink.write(frame(index), decision(index))
    closer = threading.Thread(target=sink.close)
    closer.start()
    received = b""
    while select.select([reader], [], [], 5)[0] and (data := os.read(reader, 65536)):
        received += data
    closer.join()
    os.close(reader)
    assert [json.loads(line)["index"] for line in received.splitlines()] == list(range(count))


@pytest.mark.skipif(not LINUX, reason="needs pipes with names")
def test_lines_that_a_reader_never_takes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_log, "MAX_WAITING_LINES", 10)
    monkeypatch.setattr(line_log, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(line_log, "CLOSE_SECONDS", 0.0)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlSink(tmp_path / "pipe")
    sink.open()
    for index in range(1000):
        sink.write(frame(index), decision(index))
    with pytest.raises(OutputError, match=r"too slow; (\d+) decisions are missing") as caught:
        sink.close()
    missing = int(str(caught.value).split("; ")[-1].split()[0])
    whole = os.read(reader, 10**6).count(b"\n")
    os.close(reader)
    assert whole + missing == 1000


@pytest.mark.skipif(not LINUX, reason="needs the devices of Linux")
@pytest.mark.parametrize(
    ("place", "said"), [("/proc", "it is a folder; name a file"), ("socket", "nothing reads this"), ("/dev/null", "")]
)
def test_other_kinds_of_files(place: str, said: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        sink = JsonlSink(tmp_path / place)
        if said:
            with pytest.raises(OutputError, match=said):
                sink.open()
        else:
            with opened(sink):
                sink.write(frame(0), decision(0))


@pytest.mark.skipif(not LINUX, reason="needs pipes with names")
@pytest.mark.parametrize("to_pipe", [True, False])
@pytest.mark.slow
def test_a_dash_is_stdout(to_pipe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = (
        "from allweather.runtimes.sinks.jsonl import JsonlSink\n"
        "from decisions import decision, frame, opened\n"
        "with opened(JsonlSink('-')) as sink:\n"
        "    [sink.write(frame(index), decision(index)) for index in range(500)]\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE if to_pipe else file
        )
        file.seek(0)
        lines = (done.stdout if to_pipe else file.read()).splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(500))
    assert list(tmp_path.iterdir()) == []
