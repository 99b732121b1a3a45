"""The loop hands smoothed decisions to sinks, statistics and caller, each camera with objects of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from red_engine import RedEngine

import allweather
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.errors import UsageError
from allweather.runtimes.loop import CameraLoop, LoopStats, run_cameras
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.types import Decision

RED, BLUE = (np.full((8, 8, 3), color, np.uint8) for color in ((200, 0, 0), (0, 0, 200)))
CLASSES = ("red", "blue")


@pytest.fixture
def perceiver() -> Iterator[Perceiver]:
    with Perceiver(RedEngine(0.01), CLASSES, InputSpec(8, 8)) as perceiver:
        yield perceiver


def test_watch_smooths_what_sinks_get_and_what_it_yields(perceiver: Perceiver) -> None:
    seen: list[Decision] = []
    sink = CallbackSink(lambda frame, decisions: seen.extend(decisions))
    images = [RED] * 5 + [BLUE] + [RED] * 2 + [BLUE] * 4
    alone = list(allweather.watch(images, perceiver))
    smooth = list(allweather.watch(images, perceiver, sinks=[sink], smoothing=allweather.Smoothing()))
    assert [each.label for each in alone] == ["red"] * 5 + ["blue"] + ["red"] * 2 + ["blue"] * 4
    assert [each.frame_label for each in smooth] == [each.label for each in alone]
    assert [each.frame_confidence for each in smooth] == [each.confidence for each in alone]
    assert all(math.isnan(each.frame_confidence) for each in alone)
    assert [each.label for each in smooth[:8]] == ["red"] * 8
    assert smooth[-1].label == "blue"
    assert [(each.label, each.frames) for each in seen] == [(each.label, each.frames) for each in smooth]
    assert [each.views for each in smooth] == [each.views for each in alone]
    assert {each.stable for each in alone} == {None}
    assert smooth[7].stable


def test_watch_takes_settings_alone(perceiver: Perceiver) -> None:
    with pytest.raises(UsageError, match=r"smoothing is a Smoothing; got int 30: write smoothing=allweather.Smoothing"):
        next(allweather.watch([RED], perceiver, smoothing=30))  # type: ignore[call-overload]


@pytest.mark.parametrize("count", [1, 2])
def test_each_camera_has_objects_of_its_own(perceiver: Perceiver, count: int) -> None:
    images = ([RED] * 4 + [BLUE], [BLUE] * 4 + [RED])
    loops, seen = [], {name: list[str]() for name in CLASSES}
    for name, each in zip(CLASSES[:count], images, strict=False):
        sink = CallbackSink(lambda frame, found, name=name: seen[name].extend(one.label for one in found))
        smoothing = allweather.Smoothing()
        loops.append(CameraLoop(camera_from(each), perceiver, [sink], LoopStats(), smoothing=smoothing))
    run_cameras(loops, limit=None, on_decisions=lambda frame, found: None)
    for name, loop in zip(CLASSES[:count], loops, strict=True):
        assert seen[name] == [name] * 5
        assert loop.stats.report().labels == {name: 5}
