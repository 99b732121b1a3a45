"""Arguments of sinks that are of another type than stated: each is one line, and no secret is shown in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather import CallbackSink, HardFramesSink, JsonlSink, MqttSink, Sink, TableSink, WebhookSink, open_camera
from allweather.runtimes.errors import UsageError

SINKS: dict[str, Callable[..., Sink]] = {
    "mqtt": lambda address="mqtt://host", **options: MqttSink(address, **options),
    "webhook": lambda url="http://host", **options: WebhookSink(url, **options),
    "hard": lambda **options: HardFramesSink("never-made", **options),
    "jsonl": lambda **options: JsonlSink("never-made", **options),
    "table": lambda **options: TableSink("never-made.csv", **options),
}
TEXTS = [("mqtt", name) for name in ("address", "topic", "user", "password", "discovery")]
TEXTS += [("webhook", name) for name in ("url", "secret")]
TEXTS += [(sink, "source") for sink in SINKS]
NUMBERS = [("mqtt", name) for name in ("qos", "max_waiting")]
NUMBERS += [("webhook", name) for name in ("batch_size", "timeout", "max_waiting")]
NUMBERS += [("hard", name) for name in ("max_confidence", "max_agreement", "min_seconds", "max_folder_mb")]
NUMBERS += [("jsonl", "rotate_bytes")]
NO_NUMBERS: list[Any] = [None, "1", [1], np.zeros(0), np.zeros((2, 3)), np.array(["a"]), float("nan"), float("inf")]


@pytest.mark.parametrize(("sink", "name"), TEXTS)
@pytest.mark.parametrize("value", [None, 5, b"hunter2", ["hunter2"], Path("hunter2")])
def test_what_is_no_text_is_one_line(sink: str, name: str, value: object) -> None:
    with pytest.raises(UsageError, match="is text; got") as caught:
        SINKS[sink](**{name: value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("sink", "name"), NUMBERS)
def test_what_is_no_number_is_one_line(sink: str, name: str) -> None:
    for value in NO_NUMBERS:
        if name == "rotate_bytes" and value is None:
            continue  # a single file
        if name == "max_waiting" and isinstance(value, float) and value > 0 and sink == "mqtt":
            continue  # no limit
        with pytest.raises(UsageError):
            SINKS[sink](**{name: value})


def test_a_size_beyond_all_floats_and_a_format_of_another_type_are_one_line() -> None:
    with pytest.raises(UsageError, match="max_folder_mb"):
        SINKS["hard"](max_folder_mb=1e308)
    with pytest.raises(UsageError, match="image_format"):
        SINKS["hard"](image_format=["png"])


@pytest.mark.parametrize("value", [True, 0, -1, 0.5])
def test_a_log_is_not_begun_anew_with_each_line(value: Any) -> None:
    with pytest.raises(UsageError, match="rotate_bytes is a number of bytes, at least 1"):
        JsonlSink("never-made", rotate_bytes=value)


def test_a_batch_of_posts_is_a_whole_number() -> None:
    with pytest.raises(UsageError, match=r"is a whole number; got 1\.5"):
        SINKS["webhook"](batch_size=1.5)


@pytest.mark.parametrize("value", [None, 5, "print"])
def test_a_callback_is_a_function(value: Any) -> None:
    with pytest.raises(UsageError, match="a callback is a function of a frame and its decisions"):
        CallbackSink(value)


def test_the_name_of_a_camera_is_text(tmp_path: Path) -> None:
    name: Any = 5
    with pytest.raises(UsageError, match="name of a camera is text; got int"):
        open_camera(tmp_path, name=name)
