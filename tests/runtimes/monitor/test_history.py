"""What a camera decided in the last minutes, second by second."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from previews import LOCALHOST, decision, get, preview

from allweather.runtimes.monitor.history import LENGTH_SECONDS, History
from allweather.runtimes.monitor.server import MonitorServer


def test_each_second_has_its_most_frequent_label_and_its_means() -> None:
    history = History()
    go = replace(decision(), label="go", confidence=0.25, late=True)
    history.add(10.1, (decision(), go), "clear")
    history.add(10.9, (decision(),), "blind")
    history.add(12.0, (), "blind")
    first, second = history.record(13.5)
    assert first == {
        "age": 3, "label": "<b>stop</b>", "confidence": (0.75 + 0.25 + 0.75) / 3, "views": 3.0, "frames": 2, "late": 1,
        "health": "blind",
    }  # fmt: skip
    assert (second["age"], second["label"], second["confidence"], second["frames"]) == (1, "", None, 1)


@given(st.lists(st.floats(0, 2000), max_size=300).map(sorted))
@settings(max_examples=30)
def test_it_is_bounded_and_forgets(times: list[float]) -> None:
    history = History()
    for time in times:
        history.add(time, (decision(),), "")
    now = times[-1] if times else 0.0
    record = history.record(now)
    assert len(record) <= LENGTH_SECONDS
    assert [each["age"] for each in record] == sorted({int(now) - int(t) for t in times if int(now) - int(t) < 300})[
        ::-1
    ]
    assert not history.record(now + 10_000)


def test_the_history_is_served_for_all_cameras() -> None:
    with MonitorServer([preview(3), preview(0)], LOCALHOST) as server:
        status, body = get(server, "/history")
    first, second = json.loads(body)
    assert status == 200
    assert sum(each["frames"] for each in first) == 3
    assert second == []
