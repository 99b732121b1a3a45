"""The health of a camera over time: each fault by its name and within its time, and no flapping."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from camera_scenes import RATE, blurred, moving, noisy

from allweather.runtimes.camera_health import CameraHealth, CameraHealthTracker, ImageMeasures, measure
from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image

CLEAR_SECONDS, FAULT_SECONDS = 50, 12


@cache
def clear_frames() -> list[Image]:
    return moving(0, int((CLEAR_SECONDS + FAULT_SECONDS) * RATE))


@cache
def clear_measures() -> list[ImageMeasures]:
    return [measure(frame) for frame in clear_frames()]


def follow(frames: Iterable[Image | ImageMeasures]) -> list[CameraHealth]:
    tracker = CameraHealthTracker()
    measures = (measure(frame) if isinstance(frame, np.ndarray) else frame for frame in frames)
    return [tracker.add(each, index / RATE) for index, each in enumerate(measures)]


def cloth(level: float) -> Callable[[Image], Image]:
    return lambda image: noisy(np.full_like(image, level), 2.0, np.random.default_rng(int(image.sum()) % 1000))


FAULTS: dict[str, tuple[Callable[[Image], Image], str, set[str]]] = {
    "defocus": (lambda image: blurred(image, 3.5), "degraded", {"blurred"}),
    "a little defocus, by what is normal": (lambda image: blurred(image, 2.0), "degraded", {"blurred"}),
    "noise": (lambda image: noisy(image, 25, np.random.default_rng(int(image.sum()) % 1000)), "degraded", {"noisy"}),
    "dusk": (lambda image: np.asarray(image * 0.2, np.uint8), "degraded", {"dark"}),
    "sun": (lambda image: np.asarray((image * 3.0).clip(0, 255), np.uint8), "degraded", {"overexposed"}),
    "white cloth": (cloth(150), "blind", {"covered"}),
    "dark cloth": (cloth(5), "blind", {"covered", "dark"}),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_is_named_within_six_seconds_and_forgotten_within_ten(fault: str) -> None:
    apply, state, reasons = FAULTS[fault]
    clear = clear_measures()[: int(CLEAR_SECONDS * RATE)]
    bad = [apply(image) for image in clear_frames()[int(CLEAR_SECONDS * RATE) :]]
    health = follow([*clear, *bad, *clear[: int(12 * RATE)]])
    assert all(each.state == "clear" for each in health[: len(clear)])
    named = health[len(clear) + int(6 * RATE) : len(clear) + len(bad)]
    assert {each.state for each in named} == {state}
    assert set(named[-1].reasons) == reasons
    assert named[-1].since > CLEAR_SECONDS
    assert health[-1].state == "clear"


@pytest.mark.slow
def test_an_evening_is_dark_and_no_cloth() -> None:
    frames = clear_frames()
    dim = [np.asarray(frame * 0.5 ** (index / RATE / 5), np.uint8) for index, frame in enumerate(frames)]
    last = follow(dim)[-1]
    assert (last.state, last.reasons) == ("blind", ("dark",))


@pytest.mark.slow
def test_mud_on_a_moving_camera_covers_a_part() -> None:
    frames = clear_frames()[: int(60 * RATE)]
    mud = [frame.copy() for frame in frames[: int(30 * RATE)]]
    for frame in mud:
        frame[60:200, 80:260] = (62, 50, 38)
    minute = clear_measures()[: int(60 * RATE)]
    health = follow([*minute, *minute, *minute, *mud])
    assert all(each.state == "clear" for each in health[: len(health) - len(mud)])
    assert (health[-1].state, health[-1].reasons) == ("degraded", ("covered",))
    assert 0.1 < health[-1].measures.covered < 0.7


@pytest.mark.slow
def test_scene_cuts_are_no_faults() -> None:
    images = [moving(seed, int(7 * RATE)) for seed in range(4)]
    images[2] = [np.asarray(frame * 0.5, np.uint8) for frame in images[2]]
    parts = [[measure(frame) for frame in part] for part in images]
    parts.append([parts[0][0]] * len(parts[0]))  # a scene at rest
    health = follow(each for _ in range(6) for part in parts for each in part)
    assert {each.state for each in health} == {"clear"}


@pytest.mark.slow
@pytest.mark.parametrize("period", [0.5, 2.0, 6.0, 20.0])
def test_a_measure_that_varies_around_a_limit_does_not_flap(period: float) -> None:
    scene = clear_measures()
    lights = 0.13 * (1 + 0.15 * np.sin(2 * np.pi * np.arange(120 * RATE) / RATE / period))
    varying = [replace(scene[index % 40], brightness=light) for index, light in enumerate(lights)]
    states = [each.state for each in follow(varying)]
    changes = sum(before != after for before, after in itertools.pairwise(states))
    assert changes <= 1


def test_frames_in_between_cost_nothing_and_say_nothing_else() -> None:
    frames = clear_frames()[:20]
    sparse, dense = CameraHealthTracker(), CameraHealthTracker()
    for index, frame in enumerate(frames):
        sparse.update(frame, index / RATE)
        for step in range(8):  # 32 frames a second, of which the first of eight is measured
            health = dense.update(frame if step == 0 else np.zeros_like(frame), (index + step / 8) / RATE)
    assert health == sparse.health


def test_a_pause_or_a_clock_that_goes_back_is_no_fault() -> None:
    tracker, frame = CameraHealthTracker(), clear_frames()[0]
    for time in (0.0, 1.0, 5000.0, 3.0, 5000.2, 5000.25, 1e9):
        assert tracker.update(frame, time).state == "clear"
    for hour in range(1, 10):  # one frame an hour: a frame counts for a second
        health = tracker.update(np.zeros_like(frame), 1e9 + 3600.0 * hour)
    assert (health.state, health.reasons) == ("blind", ("covered", "dark"))


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (2000, 3), (32, 32)])
def test_odd_frames_and_changes_of_size_never_raise(level: int, shape: tuple[int, int]) -> None:
    tracker = CameraHealthTracker()
    for index in range(60):
        image = np.full((*shape, 3), level, np.uint8) if index % 20 else clear_frames()[0]
        health = tracker.update(image, index / RATE)
    assert health.state == "blind"
    assert "overexposed" in health.reasons if level else "dark" in health.reasons


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    tracker, scene = CameraHealthTracker(), clear_measures()
    sizes = []
    for part in range(2):
        for index in range(800):  # a second each, and ten minutes are kept
            tracker.add(scene[index % len(scene)], 800.0 * part + index)
        sizes.append(size_of(tracker))
    assert sizes[1] <= sizes[0] < 300_000


def size_of(value: object) -> int:
    """The bytes of an object and of all that it holds."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    inner = vars(value).values() if hasattr(value, "__dict__") else ()
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set) or type(value).__name__ == "deque":
        inner = list(value)  # type: ignore[call-overload]
    return sys.getsizeof(value) + sum(size_of(each) for each in inner if not isinstance(each, type))


def test_a_reason_is_forgotten_when_nothing_can_be_told_of_it_for_long() -> None:
    clear = clear_measures()[: int(4 * RATE)]
    noise = [replace(clear[0], noise=40.0)] * int(10 * RATE)
    unknown = [replace(clear[0], noise=float("nan"))] * int(45 * RATE)
    health = follow([*clear, *noise, *unknown])
    assert health[len(clear) + len(noise) + int(20 * RATE)].reasons == ("noisy",)
    assert health[-1].state == "clear"


@pytest.mark.parametrize(
    "image", [None, np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_what_is_no_image_is_one_line(image: Image) -> None:
    with pytest.raises(UsageError, match="an image is"):
        CameraHealthTracker().update(image, 0.0)


@pytest.mark.parametrize("time", [None, "1", float("nan"), float("inf"), np.zeros(2), True])
def test_a_time_that_is_no_number_is_one_line(time: Any) -> None:
    with pytest.raises(UsageError, match="the time of a frame is a number of seconds"):
        CameraHealthTracker().update(np.zeros((4, 4, 3), np.uint8), time)


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    tracker, dark = CameraHealthTracker(), np.zeros((48, 64, 3), np.uint8)
    bright = np.random.default_rng(0).integers(90, 170, dark.shape, np.uint8)
    for second in range(20):
        assert tracker.update(bright, 7200.0 + second).state == "clear"
    states = [tracker.update(dark, 3600.0 + second).state for second in range(30)]
    assert states[-1] != "clear"
