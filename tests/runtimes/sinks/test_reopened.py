"""A sink that was closed can be opened again, as a program does that watches anew after a fault of its camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pyarrow.parquet
import pytest
from decisions import decision, frame, opened

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.hard_frames import HardFramesSink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.mqtt.sink import MqttSink
from allweather.runtimes.sinks.table import TableSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.sinks.webhook.sink import WebhookSink


def frames_of(path: Path) -> int:
    video = cv2.VideoCapture(str(path))
    return int(video.get(cv2.CAP_PROP_FRAME_COUNT))


MAKERS: dict[str, tuple[Callable[[Path], Sink], Callable[[Path], int], int]] = {
    "x.jsonl": (JsonlSink, lambda path: len(path.read_text().splitlines()), 6),
    "x.csv": (TableSink, lambda path: len(path.read_text().splitlines()) - 1, 6),
    "x.parquet": (TableSink, lambda path: pyarrow.parquet.read_metadata(path).num_rows, 6),
    "x.mp4": (lambda path: VideoSink(path, 10.0), frames_of, 3),  # replaced
    "hard": (
        lambda path: HardFramesSink(path, max_confidence=1.0, min_seconds=0.0),
        lambda path: len(list(path.glob("*.png"))),
        6,
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_written_after_another_opening_is_there(name: str, tmp_path: Path) -> None:
    make, count, expected = MAKERS[name]
    sink = make(tmp_path / name)
    for _ in range(2):
        with opened(sink):
            for index in range(3):
                sink.write_frame(frame(index, 48, 64), (decision(index),))
    assert count(tmp_path / name) == expected


def test_two_programs_do_not_write_one_video(tmp_path: Path) -> None:
    first, second = (VideoSink(tmp_path / "x.mp4", 10.0) for _ in range(2))
    with opened(first):
        first.write(frame(0, 48, 64), decision(0))
        with pytest.raises(OutputError, match=r"is writing .*x.mp4; wait until it has ended, or name another output"):
            second.open()
    assert frames_of(tmp_path / "x.mp4") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: JsonlSink(folder / "a.jsonl"),
        lambda folder: TableSink(folder / "a.csv"),
        lambda folder: TableSink(folder / "a.parquet"),
        lambda folder: HardFramesSink(folder / "hard", max_confidence=1.0, min_seconds=0.0),
        lambda folder: WebhookSink("http://127.0.0.1:9/"),
        lambda folder: MqttSink("mqtt://127.0.0.1:9/topic"),
    ],
    ids=["jsonl", "csv", "parquet", "hard frames", "webhook", "mqtt"],
)
def test_a_sink_that_is_not_open_loses_no_decision_without_a_word(make: Callable[[Path], Sink], tmp_path: Path) -> None:
    sink = make(tmp_path)
    sink.close()
    with pytest.raises(UsageError, match=r"is not open: call open\(\) of the sink first"):
        sink.write(frame(0), decision(0))
    sink.open()
    with pytest.raises((UsageError, OutputError), match=r"is open already: make a sink for each loop|is writing"):
        sink.open()
    sink.close()
    with pytest.raises(UsageError, match="is not open"):
        sink.write(frame(0), decision(0))
    sink.close()
