"""The plots of a drive over time: accuracy of the systems, use of the budget and views run, shaded by condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from allweather.demo.outcomes import FrameOutcome
from allweather.reports.figure import GRAY, png_figure
from allweather.runtimes.tta.views import VIEWS

# of Okabe and Ito's palette, which is told apart with every kind of color vision; lines differ in style as well
LINES: tuple[dict[str, Any], ...] = (
    {"color": "#7f7f7f", "linestyle": ":", "linewidth": 1.8},
    {"color": "#e69f00", "linestyle": "--", "linewidth": 1.8},
    {"color": "#0072b2", "linestyle": "-", "linewidth": 2.2},
)
BUDGET_COLOR, VIEWS_COLOR = "#d55e00", "#0072b2"
SHADES = ("#ffffff", "#eef2f7")
WINDOW = 30  # frames with a sign over which the accuracy is averaged


def accuracy_timeline(outcomes: Sequence[FrameOutcome], systems: Sequence[str], fps: float) -> bytes:
    """Draws the accuracy of each system over the last second of the same condition.

    Args:
        outcomes: The frames of the drive.
        systems: Names of the systems, at most three.
        fps: Frames per second.

    Returns:
        A PNG.
    """
    seconds = np.arange(len(outcomes)) / fps
    with png_figure(10, 3.6) as (figure, png):
        axes = figure.subplots()
        _shade(axes, outcomes, fps, 103)
        for system, style in zip(systems, LINES, strict=False):
            correct = [each.correct(system) for each in outcomes]
            for number, (_, start, end) in enumerate(_stretches(outcomes)):
                # averaged within a stretch, so that a mistake in fog does not count in the noise after it
                label = system if number == 0 else None
                axes.plot(seconds[start:end], _rolling_accuracy(correct[start:end]), label=label, **style)
        axes.set(ylim=(-2, 102), ylabel="accuracy, %", xlim=(0, seconds[-1] or 1), xlabel="time, s")
        axes.legend(loc="lower left", framealpha=0.9)
    return png.getvalue()


def budget_timeline(outcomes: Sequence[FrameOutcome], fps: float, budget_ms: float) -> bytes:
    """Draws the time of each decision against the budget, and below it which views were run.

    Args:
        outcomes: The frames of the drive.
        fps: Frames per second.
        budget_ms: Budget in milliseconds, drawn as a line.

    Returns:
        A PNG.
    """
    seconds = np.arange(len(outcomes)) / fps
    times = [1000 * each.seconds for each in outcomes]
    run = {name for each in outcomes for name in each.views}
    names = [name for name in VIEWS if name in run] + sorted(run - set(VIEWS))
    with png_figure(10, 2.6 + 0.22 * len(names)) as (figure, png):
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(10, max(3, len(names))))
        highest = max(1.25 * budget_ms, 1.05 * max(times))
        _shade(top, outcomes, fps, 1.06 * highest)
        _shade(bottom, outcomes, fps, None)
        top.plot(seconds, times, ".", color=LINES[2]["color"], markersize=2)
        top.axhline(budget_ms, color=BUDGET_COLOR, linestyle="--", linewidth=1.2)
        top.text(seconds[-1], budget_ms * 0.97, f"budget {budget_ms:g} ms", ha="right", va="top", color=BUDGET_COLOR)
        top.set(ylabel="time per decision, ms", ylim=(0, highest))
        for row, name in enumerate(names):
            frames = [index for index, each in enumerate(outcomes) if name in each.views]
            bottom.plot(seconds[frames], [row] * len(frames), "|", color=VIEWS_COLOR, markersize=5)
        bottom.set(ylabel="views run", xlabel="time, s", xlim=(0, seconds[-1] or 1), ylim=(len(names) - 0.4, -0.6))
        bottom.set_yticks(range(len(names)), names)
        bottom.grid(False)
    return png.getvalue()


def _shade(axes: Any, outcomes: Sequence[FrameOutcome], fps: float, label_height: float | None) -> None:
    for number, (name, start, end) in enumerate(_stretches(outcomes)):
        axes.axvspan(start / fps, end / fps, color=SHADES[number % 2], linewidth=0)
        if label_height is not None:
            axes.text((start + end) / 2 / fps, label_height, name, ha="center", color=GRAY)


def _rolling_accuracy(correct: Sequence[bool | None]) -> list[float]:
    """Returns the accuracy in percent over the last frames that have a sign to read; nan before the first."""
    accuracies: list[float] = []
    known: list[bool] = []
    for each in correct:
        known += [] if each is None else [each]
        recent = known[-WINDOW:]
        accuracies.append(100 * sum(recent) / len(recent) if recent else float("nan"))
    return accuracies


def _stretches(outcomes: Sequence[FrameOutcome]) -> Iterator[tuple[str, int, int]]:
    """Yields the stretches of equal conditions as (name, first index, index after the last)."""
    start = 0
    for end in range(1, len(outcomes) + 1):
        if end == len(outcomes) or outcomes[end].condition != outcomes[start].condition:
            yield outcomes[start].condition, start, end
            start = end
