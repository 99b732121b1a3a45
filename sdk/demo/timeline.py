"""The plot of a drive over time: accuracy and the time of each decision, shaded by condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.ticker import NullFormatter

from allweather.reports.figure import BLUE, GRAY, GREEN, RED, png_figure

SHADES = {"clean": "#ffffff", "dark": "#cbd5e1", "noise": "#fde68a", "blur": "#c7d2fe"}
OTHER_SHADE = "#f1f5f9"  # of a condition that is not in the table


def timeline(
    correct: Sequence[bool | None],
    milliseconds: Sequence[float],
    conditions: Sequence[str],
    fps: float,
    budget_ms: float,
) -> bytes:
    """Draws the accuracy over the last second, and below it the time of every decision.

    Args:
        correct: For each frame whether its prediction is correct; None if there was no sign to read.
        milliseconds: For each frame the time of its decision.
        conditions: For each frame its condition, which sets the shade behind it.
        fps: Frames per second.
        budget_ms: Budget in milliseconds, drawn as a line.

    Returns:
        A PNG.
    """
    seconds = np.arange(len(correct)) / fps
    with png_figure(10, 5) as (figure, png):
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for name, start, end in _stretches(conditions):
            for axes in (top, bottom):
                axes.axvspan(start / fps, end / fps, color=SHADES.get(name, OTHER_SHADE), linewidth=0)
            top.text((start + end) / 2 / fps, 104, name, ha="center", color=GRAY)
            # averaged within a stretch, so that a mistake in the dark does not count in the clean second after it
            top.plot(seconds[start:end], _rolling_accuracy(correct[start:end], round(fps)), color=BLUE)
        top.set(ylim=(0, 102), ylabel="accuracy over the last second\nof the same condition, %")
        bottom.plot(seconds, milliseconds, ".", color=GREEN, markersize=2)
        bottom.axhline(budget_ms, color=RED, linestyle="--", linewidth=1)
        bottom.text(seconds[-1], budget_ms * 0.82, f"budget {budget_ms:g} ms", ha="right", va="top", color=RED, size=9)
        bottom.set(
            xlabel="time since the start of the drive, s", ylabel="time per decision, ms", yscale="log",
            xlim=(0, seconds[-1] or 1),
        )  # fmt: skip
        bottom.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        bottom.yaxis.set_minor_formatter(NullFormatter())
    return png.getvalue()


def _rolling_accuracy(correct: Sequence[bool | None], window: int) -> list[float]:
    """Returns the accuracy in percent over the last `window` frames that have a sign to read; nan without any."""
    values = np.array([np.nan if each is None else 100.0 * each for each in correct])
    accuracies = []
    for end in range(1, len(values) + 1):
        known = values[max(0, end - window) : end]
        known = known[~np.isnan(known)]
        accuracies.append(float(known.mean()) if len(known) else float("nan"))
    return accuracies


def _stretches(names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yields the stretches of equal names as (name, first index, index after the last)."""
    start = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[start]:
            yield names[start], start, end
            start = end
