"""Measures how soon faults of a camera are noticed, by which reason, and how often clear footage is called faulty.

    python benchmarks/runtimes/camera_health.py [--seeds 3 4] [--minutes 60] [--picture FILE.png]

All footage is made (see health_footage.py): a rendered drive, a part of a photograph that moves as from a camera that
pans, and a fixed camera that things pass. Frames come four times a second, which is as often as the tracker measures
one of 30 a second. Each fault comes after three minutes of clear footage (one minute, forwards, backwards and forwards
again). The delay counts from when the fault is complete; it is negative where it was noticed as it came. The clear
footage changes its scene every 15 to 60 seconds (bright, dim, lit nights, skies, walls, frames that stand still), and
in its second half every 4 to 7 minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from health_footage import (
    BASE_NOISE,
    FAULTS,
    PHOTOS,
    RATE,
    SCENES,
    SIZE,
    Fault,
    drive,
    fixed_camera,
    flat_scene,
    panned_photo,
    photos,
)

from allweather.reports.figure import png_figure
from allweather.runtimes.camera_health.measures import ImageMeasures, measure
from allweather.runtimes.camera_health.states import CameraHealth
from allweather.runtimes.camera_health.tracker import INTERVAL_SECONDS, CameraHealthTracker
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Image

CLEAR_SECONDS, FAULT_SECONDS = 60.0, 25.0
MIN_TEXT_SECONDS = 5.0  # that a stretch of a state must last to have room for its reasons
COLORS = {"clear": "#009e73", "degraded": "#e69f00", "blind": "#d55e00"}  # of Okabe and Ito's palette
Key = tuple[str, tuple[str, ...]]  # state and reasons


@dataclass(frozen=True)
class Outcome:
    """What became of one fault in one scene.

    Attributes:
        fault: Name of the fault.
        scene: Name of the scene.
        delay: Seconds from when it was complete until the state was no longer clear; None if it stayed clear.
        end: State and reasons 25 seconds after it was complete.
    """

    fault: str
    scene: str
    delay: float | None
    end: Key


def faulty_frame(fault: Fault, image: Image, index: int, seed: int) -> Image:
    """Returns the frame of a number since the fault began."""
    progress = min(1.0, (index + 1) / RATE / fault.seconds) if fault.seconds else 1.0
    return fault.apply(image, progress, seed)


def faults_in(scene: str, seed: int) -> Iterator[tuple[str, list[ImageMeasures]]]:
    """Yields the measures of three clear minutes and of each fault after them."""
    num_clear = int(CLEAR_SECONDS * RATE)
    longest = max(fault.seconds for fault in FAULTS.values()) + FAULT_SECONDS
    frames = list(SCENES[scene](seed, num_clear + int(longest * RATE)))
    minute = [measure(frame) for frame in frames[:num_clear]]
    clear = [*minute, *reversed(minute), *minute]
    for name, fault in FAULTS.items():
        part = frames[num_clear : num_clear + int((fault.seconds + FAULT_SECONDS) * RATE)]
        bad = [measure(faulty_frame(fault, frame, index, seed)) for index, frame in enumerate(part)]
        yield name, clear + bad


def follow(measures: list[ImageMeasures]) -> list[CameraHealth]:
    """Returns the health after each frame."""
    tracker = CameraHealthTracker()
    return [tracker.add(each, index / RATE) for index, each in enumerate(measures)]


def outcome(fault: str, scene: str, health: list[CameraHealth]) -> Outcome:
    """Returns what became of a fault."""
    begin = int(3 * CLEAR_SECONDS * RATE)
    complete = begin + FAULTS[fault].seconds * RATE
    noticed = next((index for index in range(begin, len(health)) if health[index].state != "clear"), None)
    delay = None if noticed is None else (noticed - complete) / RATE
    return Outcome(fault, scene, delay, (health[-1].state, health[-1].reasons))


def clear_footage(seed: int, seconds: float) -> Iterator[tuple[str, Image]]:
    """Yields the kind of scene and the frame of a camera that is well: first through many scene cuts, then at length.

    What is told of parts of the image needs minutes of the same scene, so that only the second half can have false
    alarms of that kind.
    """
    rng, left = np.random.default_rng([seed, 8]), int(seconds * RATE)
    while left > 0:
        is_long = left <= seconds * RATE / 2
        count = min(left, int(rng.uniform(240, 420) if is_long else rng.uniform(15, 60)) * int(RATE))
        left -= count
        kinds = (
            ["drive", "pan", "fixed"]
            if is_long
            else ["drive", "pan", "dim pan", "lit night", "fixed", "sky", "wall", "still"]
        )
        kind = str(rng.choice(kinds))
        part = int(rng.integers(1000))
        frames = {
            "drive": lambda part=part, count=count: drive(part, count),
            "pan": lambda part=part, count=count: panned_photo(part, count, rng.uniform(0.7, 1.3)),
            "dim pan": lambda part=part, count=count: panned_photo(part, count, 0.6),
            "lit night": lambda part=part, count=count: panned_photo(3 * (part // 3), count, 0.4, 6.0),
            "fixed": lambda part=part, count=count: fixed_camera(part, count, rng.uniform(0.6, 1.0)),
            "sky": lambda part=part, count=count: flat_scene(2 * part, count),
            "wall": lambda part=part, count=count: flat_scene(2 * part + 1, count),
            "still": lambda part=part, count=count: [photos()[part % len(PHOTOS)][: SIZE[0], : SIZE[1]]] * count,
        }[kind]()
        yield from ((kind, frame) for frame in frames)


def false_alarms(seed: int, seconds: float) -> list[tuple[float, str, Key]]:
    """Returns the time, the kind of scene, and the state and reasons of each change in clear footage."""
    tracker, before, changes = CameraHealthTracker(), CameraHealth(), []
    for index, (kind, frame) in enumerate(clear_footage(seed, seconds)):
        health = tracker.update(frame, index / RATE)
        if (health.state, health.reasons) != (before.state, before.reasons):
            changes.append((index / RATE, kind, (health.state, health.reasons)))
        before = health
    return changes


def milliseconds_a_frame(size: tuple[int, int], fps: float = 30.0) -> tuple[float, float]:
    """Returns the time of this thread that a measured frame takes, and the mean over all frames."""
    image = cv2.resize(photos()[0], size[::-1])
    tracker, seconds = CameraHealthTracker(), []
    for index in range(150):
        started = time.thread_time()
        tracker.update(image, index * INTERVAL_SECONDS)
        seconds.append(time.thread_time() - started)
    median = 1000 * statistics.median(seconds[50:])
    return median, median / (fps * INTERVAL_SECONDS)


def print_costs() -> None:
    """Prints what the tracker costs."""
    rows = [("frame", "ms a measured frame", "mean ms a frame at 30 a second")]
    for height, width in ((480, 640), (720, 1280), (1080, 1920), (2160, 3840)):
        measured, mean = milliseconds_a_frame((height, width))
        rows.append((f"{width} x {height}", f"{measured:.2f}", f"{mean:.2f}"))
    print("\n".join(markdown_table(rows)) + "\n")


def print_faults(outcomes: list[Outcome]) -> None:
    """Prints delays, and which reasons each fault was given."""
    rows = [
        ("fault", "noticed", "right reason", "right state", "delay, s: median / longest", "states and reasons, times")
    ]
    for name, fault in FAULTS.items():
        each = [outcome for outcome in outcomes if outcome.fault == name]
        delays = [outcome.delay for outcome in each if outcome.delay is not None]
        ends: dict[str, int] = {}
        for state, reasons in (outcome.end for outcome in each):
            key = f"{state} {', '.join(reasons)}".strip()
            ends[key] = ends.get(key, 0) + 1
        rows.append(
            (
                name,
                f"{len(delays)} of {len(each)}",
                str(sum(bool(set(outcome.end[1]) & set(fault.reasons)) for outcome in each)),
                str(sum(outcome.end[0] == fault.state for outcome in each)),
                f"{statistics.median(delays):.1f} / {max(delays):.1f}" if delays else "",
                "; ".join(f"{key} {count}" for key, count in sorted(ends.items(), key=lambda item: -item[1])),
            )
        )
    print("\n".join(markdown_table(rows)) + "\n")


def draw(path: Path, seed: int) -> None:
    """Draws the measures and states of a drive in which one fault follows another, with a frame of each."""
    shown = ("mud on 30 % of the lens", "dusk, a sixth of the light", "defocus, 1.6 % of the height",
             "noise, deviation 60", "dark cloth", "white cloth")  # fmt: skip
    frames = list(drive(seed, int(CLEAR_SECONDS * RATE)))
    tracker, health, examples, begins = CameraHealthTracker(), [], [], []
    sequence = [*frames, *reversed(frames), *frames]
    for frame in sequence:
        health.append(tracker.update(frame, len(health) / RATE))
    for name in shown:
        begins.append(len(health) / RATE)
        for index, frame in enumerate(frames[: int(45 * RATE)]):
            bad = faulty_frame(FAULTS[name], frame, index, seed) if index < 30 * RATE else frame
            health.append(tracker.update(bad, len(health) / RATE))
            if index == int(29 * RATE):
                examples.append(bad)
    first = int((3 * CLEAR_SECONDS - 15) * RATE)
    seconds = np.arange(len(health)) / RATE - first / RATE
    lines = {"brightness": 1.0, "sharpness": 1.0, "noise": 255.0, "covered": 1.0}
    with png_figure(12, 6.4) as (figure, png):
        grid = figure.add_gridspec(3, len(shown), height_ratios=(2.2, 3, 1))
        for column, (name, image) in enumerate(zip(shown, examples, strict=True)):
            axes = figure.add_subplot(grid[0, column])
            axes.imshow(image)
            axes.set_title(name.replace(", ", ",\n").replace(" on ", " on\n"), fontsize=9)
            axes.axis("off")
        top = figure.add_subplot(grid[1, :])
        for name, scale in lines.items():
            values = [getattr(each.measures, name) / scale for each in health]
            label = name if scale == 1 else f"{name} / {scale:.0f}"
            top.plot(seconds[first:], values[first:], label=label, linewidth=1.4)
        top.set(xlim=(0, seconds[-1]), ylabel="measures, smoothed", ylim=(-0.02, None))
        top.legend(loc="upper right", ncols=4, fontsize=8)
        bottom = figure.add_subplot(grid[2, :], sharex=top)
        previous: tuple[Key, int] | None = None
        for index in range(first, len(health) + 1):
            key = (health[index].state, health[index].reasons) if index < len(health) else None
            if previous is None or key != previous[0]:
                if previous:
                    state, reasons = previous[0]
                    begin, end = seconds[previous[1]], index / RATE - first / RATE
                    bottom.axvspan(begin, end, color=COLORS[state], linewidth=0)
                    if end - begin > MIN_TEXT_SECONDS:
                        middle = (begin + end) / 2
                        bottom.text(middle, 0.5, "\n".join(reasons), ha="center", va="center", fontsize=7)
                previous = (key, index) if key else None
        for axes in (top, bottom):
            for begin in begins:
                axes.axvspan(begin - first / RATE, begin - first / RATE + 30, ymax=0.06, color="#555555", linewidth=0)
        bottom.set(yticks=[], ylabel="state", xlabel="time, s (gray bars: a fault is injected)")
        bottom.legend(handles=[bottom.axvspan(0, 0, color=color, label=state) for state, color in COLORS.items()],
                      loc="upper left", ncols=3, fontsize=7)  # fmt: skip
    path.write_bytes(png.getvalue())


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4])
    parser.add_argument("--minutes", type=float, default=60, help="of clear footage, in one piece for each first seed")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{this_device().line()}; seeds {args.seeds}; sensor noise {BASE_NOISE:g}\n")
    print_costs()
    outcomes = [
        outcome(fault, scene, follow(measures))
        for seed in args.seeds for scene in SCENES for fault, measures in faults_in(scene, seed)
    ]  # fmt: skip
    print_faults(outcomes)
    if args.minutes:
        changes = false_alarms(args.seeds[0], 60 * args.minutes)
        alarms = [change for change in changes if change[2][0] != "clear"]
        print(f"clear footage: {len(alarms)} changes to a worse state in {args.minutes:g} minutes")
        for seconds, kind, (state, reasons) in changes:
            print(f"  {seconds:7.1f} s, {kind}: {state} {', '.join(reasons)}")
    if args.picture:
        draw(args.picture, args.seeds[0])


if __name__ == "__main__":
    main()
