"""The picture of docs/results/temporal-smoothing.md: labels over time on one stretch of bad weather."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sequences import Recording

from allweather.reports.figure import png_figure
from allweather.trainers.data.signs import CLASSES

FPS = 30.0
TRUTH, ALONE, SMOOTHED = "#cbd5e1", "#d55e00", "#0072b2"  # told apart with every kind of color vision


def timeline(recording: Recording, alone: npt.NDArray[np.int64], smoothed: npt.NDArray[np.int64], part: str) -> bytes:
    """Draws the true label, that of each frame by itself and the smoothed one over the frames of one part.

    Args:
        recording: The drive.
        alone: int [n], the label of each frame by itself.
        smoothed: int [n], the smoothed label of each frame.
        part: Name of the weather.

    Returns:
        A PNG.
    """
    chosen = np.flatnonzero(recording.part == part)
    seconds = (chosen - chosen[0]) / FPS
    truth = recording.label[chosen]
    wrong = [100 * (labels[chosen] != truth)[truth >= 0].mean() for labels in (alone, smoothed)]
    with png_figure(11, 4.6) as (figure, png):
        axes = figure.subplots()
        band = {"color": TRUTH, "linewidth": 9, "solid_capstyle": "butt"}
        for number in dict.fromkeys(recording.object[chosen]):
            at = np.flatnonzero(recording.object[chosen] == number)
            if truth[at[0]] >= 0:
                axes.plot(seconds[at[[0, -1]]], truth[at[[0, -1]]], **band)
        axes.plot([], [], **band, label="true label of the nearest sign")
        axes.plot(seconds, alone[chosen], "o", color=ALONE, markersize=4.5, markerfacecolor="none",
                  label=f"each frame alone: {wrong[0]:.0f} % wrong")  # fmt: skip
        axes.step(seconds, smoothed[chosen], where="mid", color=SMOOTHED, linewidth=1.6,
                  label=f"smoothed: {wrong[1]:.0f} % wrong")  # fmt: skip
        axes.set_yticks(range(len(CLASSES)), CLASSES)
        axes.set(xlabel=f"seconds in {part}", xlim=(-0.1, seconds[-1] + 0.1))
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return png.getvalue()
