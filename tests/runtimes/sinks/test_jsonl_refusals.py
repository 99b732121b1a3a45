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
