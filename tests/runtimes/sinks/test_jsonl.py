"""The callback, the log, and the window without a display."""

from __future__ import annotations

import errno
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import decision, frame, opened

from allweather.runtimes.errors import DependencyError, OutputError
from allweather.runtimes.sinks import jsonl as sink_jsonl
from allweather.runtimes.sinks.base import CallbackSink, Ended
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.window import WindowSink
from allweather.runtimes.types import Decision, Frame, Image

LINUX = sys.platform.startswith("linux")


# ---- callback


def test_a_callback_gets_frame_and_decision() -> None:
    got: list[tuple[Frame, Decision]] = []
    with opened(CallbackSink(lambda *pair: got.append(pair))) as sink:
        pair = frame(), decision()
        sink.write(*pair, None)
    assert got == [pair]


# ---- log


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "out.jsonl"
    with opened(JsonlSink(path, now=lambda: 1.7e9 + 0.12345)) as sink:
        for index in range(3):
            sink.write(frame(index), decision(index), None)
            assert len(path.read_text().splitlines()) == index + 1
    assert json.loads(path.read_text().splitlines()[2]) == {
        "time": 1700000000.123, "index": 2, "label": "stop", "confidence": 0.9, "views": ["identity"],
        "predicted_losses": [0.5], "age": 0.02, "late": False, "skipped": 3,
        "planned_views": 1, "time_left": None, "expected_seconds": None, "reason": "policy",
        "times": {"prepare": 0.001, "rank": 0.0, "plan": 0.0, "views": 0.0, "infer": 0.01, "vote": 0.0},
    }  # fmt: skip


@given(
    label=st.text(st.characters()),
    losses=st.lists(st.floats(width=32) | st.floats(width=32).map(np.float32), max_size=4),
    confidence=st.floats(0, 1),
)
@settings(max_examples=50)
def test_any_decision_is_one_line_of_strict_json(
    label: str, losses: list[Any], confidence: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.unlink(missing_ok=True)
    with opened(JsonlSink(path)) as sink:
        sink.write(frame(), decision(label=label, losses=tuple(losses), confidence=confidence), None)
    (entry,) = path.read_bytes().split(b"\n")[:-1]
    parsed = json.loads(entry, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert parsed["label"] == label.encode("utf-8", "replace").decode()
    assert parsed["confidence"] == confidence
    for loss, came in zip(losses, parsed["predicted_losses"], strict=True):
        assert came == (float(loss) if np.isfinite(loss) else None)


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_log_goes_on_after_what_is_there_and_after_what_a_kill_left(end: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"index": 7}\n{"ind' + end)
    for index in (8, 9):
        with opened(JsonlSink(path)) as sink:
            sink.write(frame(index), decision(index), None)
    whole, torn, *later = path.read_text().splitlines()
    assert (whole, torn) == ('{"index": 7}', '{"ind')
    assert [json.loads(text)["index"] for text in later] == [8, 9]


def test_a_log_that_is_continued_is_laid_aside_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for index in range(50):
        with opened(JsonlSink(path, rotate_bytes=1000)) as sink:
            sink.write(frame(index), decision(index), None)
        assert path.stat().st_size < 1500
    assert json.loads(path.read_text().splitlines()[-1])["index"] == 49
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1"]


@pytest.mark.skipif(not LINUX, reason="/dev/full is the only disk that is always full; not tested here")
def test_a_disk_that_stays_full_is_heard_of_at_once_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    sink = JsonlSink(Path("/dev/full"))
    sink.open()
    for index in range(3):
        sink.write(frame(index), decision(index), None)
    assert [record.getMessage().rpartition("; ")[2] for record in caplog.records] == ["decisions wait in memory for it"]
    with pytest.raises(OutputError, match=r"disk is full.*; 3 decisions are not in it"):
        sink.close()


class Disk:
    """A file on a disk with so many free bytes."""

    free = 10**9

    def __init__(self, path: Path, mode: str) -> None:
        self._file = path.open(mode + "b", buffering=0)

    def write(self, data: bytes) -> int:
        if not Disk.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._file.write(data[: Disk.free])
        Disk.free -= taken
        return taken

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


@given(free=st.integers(0, 2000), kept=st.sampled_from([3, 20_000]))
def test_no_decision_is_lost_while_a_disk_is_full(free: int, kept: int) -> None:
    now = [0.0]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink_jsonl, "FileIO", Disk)
        patch.setattr(sink_jsonl, "KEPT_LINES", kept)
        path = Path(folder, "a.jsonl")
        Disk.free = free
        sink = JsonlSink(path, clock=lambda: now[0])
        sink.open()
        for index in range(20):
            now[0] += 0.2
            if index == 12:
                Disk.free = 10**9
            sink.write(frame(index), decision(index), None)
        lost = sink._lost
        if lost:
            with pytest.raises(OutputError, match=f"lacks {lost} decisions"):
                sink.close()
        else:
            sink.close()
        found = [json.loads(text)["index"] for text in path.read_text().splitlines()]
    assert found == sorted(set(found))
    assert len(found) == 20 - lost
    assert kept == 3 or not lost


def test_a_log_that_has_grown_is_laid_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(JsonlSink(path, rotate_bytes=1000, fsync=True)) as sink:
        for index in range(50):
            sink.write(frame(index), decision(index), None)
            assert path.stat().st_size < 1500
    laid, last = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl.1", "a.jsonl"))
    assert [json.loads(text)["index"] for text in (*laid, *last)] == list(range(50 - len(laid) - len(last), 50))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1"]


def test_a_log_that_was_taken_away_is_begun_anew_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(JsonlSink(path, rotate_bytes=1000)) as sink:
        for index in range(50):
            sink.write(frame(index), decision(index), None)
            if index in (2, 20):
                path.unlink()
    assert json.loads(path.read_text().splitlines()[-1])["index"] == 49


def test_a_log_in_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "log.jsonl", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            JsonlSink(path).open()


# ---- window


class Screen:
    """Stands in for the windows of cv2."""

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
        sink.write(frame(), decision(), None)
        screen.key = key
        with pytest.raises(Ended):
            sink.write(frame(), decision(), None)
    assert (screen.shown, screen.destroyed) == (2, 1)


def test_closing_the_window_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    with opened(WindowSink("road")) as sink:
        screen.visible = False
        with pytest.raises(Ended):
            sink.write(frame(), decision(), None)
    assert screen.destroyed == 0


def test_a_cv2_without_windows_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    Screen(monkeypatch)
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(DependencyError, match="pip install opencv-python"):
        WindowSink("road").open()


@pytest.mark.skipif(not LINUX, reason="only Linux names its display in the environment; not tested here")
def test_no_display_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(OutputError, match="no display"):
        WindowSink("road").open()
