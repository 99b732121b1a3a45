"""What keeps a log of decisions from being written is told by its own name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from decisions import decision, frame

from allweather.runtimes.errors import OutputError
from allweather.runtimes.sinks.jsonl import JsonlSink


def test_a_folder_in_the_place_of_the_previous_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.1" / "x").mkdir(parents=True)
    sink = JsonlSink(tmp_path / "log", rotate_bytes=1)
    sink.open()
    for index in range(2):
        sink.write(frame(index), decision(index))
    with pytest.raises(OutputError, match=r"cannot write .*log\.1: it is a folder.*1 decisions are missing"):
        sink.close()


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
