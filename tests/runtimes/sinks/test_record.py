"""Decisions as JSON values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from decisions import decision, frame, opened

from allweather.runtimes.region import Region
from allweather.runtimes.sinks.jsonl import JsonlSink


def test_a_line_says_which_object_of_the_frame_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    found = replace(decision(), region=Region(1, 2, 30, 40), name="gate", track=7)
    with opened(JsonlSink(path)) as sink:
        sink.write_frame(frame(), (found, decision()))
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["region"], first["name"], first["track"]) == ([1, 2, 30, 40], "gate", 7)
    assert not {"region", "name", "track"} & set(second)
