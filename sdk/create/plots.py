"""The plots of the report: errors by family of corruptions, and reliability, of all systems in one plot each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from allweather.create.comparison import GROUPS, SystemResult
from allweather.reports.figure import BLUE, GRAY, GREEN, RED, png_figure

COLORS, MARKERS = (GRAY, BLUE, GREEN), ("o", "s", "^")  # told apart by more than their color
MIN_BIN_IMAGES = 20


def family_bars(systems: Sequence[SystemResult], titles: Mapping[str, str]) -> bytes:
    """Draws the error of each system on clean images and in each family of corruptions, with intervals.

    Args:
        systems: At most three systems.
        titles: Names of groups of corruptions that are not shown by their own.

    Returns:
        A PNG.
    """
    groups = [group for group in GROUPS if group in systems[0].errors]
    width = 0.8 / len(systems)
    with png_figure(9, 3.8) as (figure, png):
        axes = figure.add_subplot()
        for number, (system, color) in enumerate(zip(systems, COLORS, strict=False)):
            errors = [system.errors[group] for group in groups]
            lefts = [place + (number - (len(systems) - 1) / 2) * width for place in range(len(groups))]
            values = [100 * each.value for each in errors]
            ends = [
                [100 * max(0.0, each.value - each.low) for each in errors],
                [100 * max(0.0, each.high - each.value) for each in errors],
            ]
            axes.bar(lefts, values, 0.92 * width, color=color, label=system.name, yerr=ends, capsize=2)
        axes.set_xticks(range(len(groups)), [titles.get(group, group) for group in groups])
        axes.set(ylabel="error, %", ylim=(0, None))
        axes.grid(visible=False, axis="x")
        # above the bars, which reach every corner
        axes.legend(frameon=False, ncols=len(systems), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return png.getvalue()


def reliability_curves(systems: Sequence[SystemResult]) -> bytes:
    """Draws the accuracy of each system over its confidence, on corrupted images.

    Args:
        systems: At most three systems.

    Returns:
        A PNG.
    """
    with png_figure(5.6, 4.2) as (figure, png):
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=RED, linestyle="--", label="perfect calibration")
        for system, color, marker in zip(systems, COLORS, MARKERS, strict=False):
            bins = [
                (confidence, accuracy) for count, confidence, accuracy in system.reliability if count >= MIN_BIN_IMAGES
            ]
            label = f"{system.name}: calibration error {100 * system.calibration_error:.1f} %"
            axes.plot(
                [each[0] for each in bins],
                [each[1] for each in bins],
                color=color,
                marker=marker,
                markersize=5,
                label=label,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
        axes.legend(loc="lower right", frameon=False)
    return png.getvalue()
