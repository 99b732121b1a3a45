"""A log whose file is removed, renamed or replaced while it is written, as logrotate and users do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from decisions import decision, frame, opened

from allweather.runtimes.errors import OutputError
from allweather.runtimes.sinks.jsonl import JsonlSink


def _indices(path: Path) -> list[int]:
    return [json.loads(line)["index"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("rotate_bytes", [None, 1000])
def test_a_renamed_log_is_followed_by_a_new_one(
    rotate_bytes: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, moved = tmp_path / "a.jsonl", tmp_path / "a.jsonl-20261128"
    with opened(JsonlSink(path, rotate_bytes=rotate_bytes)) as sink:
        sink.write(frame(0), decision(0))
        path.rename(moved)
        sink.write(frame(1), decision(1))
        sink.write(frame(2), decision(2))
    assert (_indices(moved), _indices(path)) == ([0], [1, 2])
    assert [record.getMessage() for record in caplog.records] == [
        f"the log {path} was removed or renamed; a new one is begun"
    ]


def test_no_decision_after_the_removal_of_a_log_or_its_folder_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    with opened(JsonlSink(path)) as sink:
        sink.write(frame(0), decision(0))
        path.unlink()
        sink.write(frame(1), decision(1))
        assert _indices(path) == [1]
        shutil.rmtree(path.parent)
        sink.write(frame(2), decision(2))
        assert _indices(path) == [2]


def test_another_file_that_takes_the_name_is_continued(tmp_path: Path) -> None:
    path, other = tmp_path / "a.jsonl", tmp_path / "other"
    other.write_text('{"index": 7}\n')
    with opened(JsonlSink(path)) as sink:
        sink.write(frame(0), decision(0))
        other.replace(path)
        sink.write(frame(1), decision(1))
    assert _indices(path) == [7, 1]


def test_a_link_that_is_set_to_another_file_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "log"
    link.symlink_to("monday")
    with opened(JsonlSink(link)) as sink:
        sink.write(frame(0), decision(0))
        link.unlink()
        link.symlink_to("tuesday")
        sink.write(frame(1), decision(1))
    assert (_indices(tmp_path / "monday"), _indices(tmp_path / "tuesday")) == ([0], [1])


def test_a_log_in_whose_place_nothing_can_be_written_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    sink = JsonlSink(path)
    sink.open()
    sink.write(frame(0), decision(0))
    shutil.rmtree(path.parent)
    path.parent.write_text("a file in the place of the folder")
    for index in (1, 2):
        sink.write(frame(index), decision(index))
    assert len(caplog.records) == 1
    with pytest.raises(OutputError, match="2 decisions are missing"):
        sink.close()


def test_two_loops_that_share_a_log_both_follow_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(JsonlSink(path, rotate_bytes=1)) as first, opened(JsonlSink(path)) as second:
        for index in range(3):
            first.write(frame(index), decision(index))
        second.write(frame(9), decision(9))
    assert _indices(path) == [2, 9]


def test_a_link_is_rotated_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "log")
    with opened(JsonlSink(tmp_path / "link", rotate_bytes=1)) as sink:
        for index in range(2):
            sink.write(frame(index), decision(index))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "log", "log.1"]
    assert (tmp_path / "link").is_symlink()
