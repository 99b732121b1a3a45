"""What keeps a log of decisions from being written is told by its own name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from decisions import decision, frame, opened

from allweather.runtimes.errors import OutputError
from allweather.runtimes.sinks.jsonl import JsonlSink


def test_a_folder_in_the_place_of_the_previous_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.1" / "x").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*log\.1: it is a folder.*limit of its size is renamed"):
        JsonlSink(tmp_path / "log", rotate_bytes=1).open()
    with opened(JsonlSink(tmp_path / "log")):
        pass


def test_a_folder_that_comes_to_the_place_of_the_previous_log_is_named(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "log", rotate_bytes=1)
    sink.open()
    (tmp_path / "log.1" / "x").mkdir(parents=True)
    for index in range(2):
        sink.write(frame(index), decision(index))
    with pytest.raises(OutputError, match=r"cannot write .*log\.1: it is a folder.*1 decisions are missing"):
        sink.close()


@pytest.mark.parametrize("name", ["log", "log.1"])
def test_a_log_that_could_not_be_renamed_is_told_when_it_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    tmp_path.chmod(0o1777)  # as /tmp: a file is renamed or replaced by its owner alone
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(OutputError, match=rf"{name}: it belongs to another user.*is renamed to log\.1"):
        JsonlSink(tmp_path / "log", rotate_bytes=1).open()


def test_a_closed_stdout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)  # as Python sets it when the descriptor is closed at its start
    with pytest.raises(OutputError, match="cannot write stdout: it is closed; name a file"):
        JsonlSink("-").open()


@pytest.mark.parametrize("content", ["time,source\n1,front\n", "bundle: my.aw\n", "\x89PNG", "[1]"])
def test_a_file_of_something_else_is_not_continued(content: str, tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"cannot continue .*front.csv: it holds something else than decisions"):
        JsonlSink(path).open()
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["", "\n", '{"index": 7}\n', '{"ind'])
def test_a_log_is_continued(content: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    sink = JsonlSink(path)
    sink.open()
    sink.write(frame(), decision(3))
    sink.close()
    assert path.read_text().startswith(content)
    assert '"index": 3' in path.read_text().splitlines()[-1]
