"""Plots of results as PNG: confusion matrices, reliability diagrams, heat maps, bars and training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from allweather.reports.figure import BLUE, DARK, GRAY, GREEN, RED, png_figure, without_middle
from allweather.runtimes.system.isolated_imports import isolated_imports

with isolated_imports():
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

MAX_NAME_INCHES = 3.5  # beside the cells of a confusion matrix
MAX_LABELED_CLASSES = 30  # a confusion matrix of more classes has neither their names nor numbers in its cells
TRAINING_COLUMNS = ("epoch", "loss", "val_accuracy")  # of a history, which training_curves draws
STAGE_COLORS = ("#94a3b8", "#64748b", "#a855f7", "#334155", "#06b6d4", BLUE, GREEN, "#f59e0b")


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Draws a confusion matrix; the color is the share of each true class.

    Args:
        counts: Number of images by [true class][predicted class].
        classes: Names of the classes.

    Returns:
        A PNG.
    """
    values = np.asarray(counts, float)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    side = max(5.0, min(12.0, 0.42 * len(classes) + 2))
    names = 0.0  # inches that the longest name takes; slanted names need less height than names take width
    if len(classes) <= MAX_LABELED_CLASSES:
        names = min(MAX_NAME_INCHES, 0.085 * max(len(name) for name in classes))
    with png_figure(side + 0.6 + names, side + names) as (figure, png):
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= MAX_LABELED_CLASSES:
            shown = [without_middle(name) for name in classes]
            axes.set_xticks(range(len(classes)), shown, rotation=60, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(classes)), shown)
            for row, column in np.argwhere(shares >= 0.005):
                color = "white" if shares[row, column] > 0.5 else "#334155"
                axes.text(
                    column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=color, size=7
                )
        axes.grid(visible=False)
        axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix, % of each true class")
        figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    return png.getvalue()


def reliability_diagram(bins: Sequence[tuple[int, float, float]], calibration_error: float) -> bytes:
    """Draws a reliability diagram: accuracy by confidence, and the number of images in each bin below it.

    Args:
        bins: For each bin (number of images, mean confidence, accuracy).
        calibration_error: Expected calibration error, 0..1, for the title.

    Returns:
        A PNG.
    """
    edges = np.linspace(0, 1, len(bins) + 1)
    width = edges[1]
    with png_figure(5.2, 5.2) as (figure, png):
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        for left, (count, _, accuracy) in zip(edges, bins, strict=False):
            if count:
                top.bar(left + width / 2, accuracy, width * 0.92, color=BLUE)
            bottom.bar(left + width / 2, count, width * 0.92, color=GRAY)
        top.plot([0, 1], [0, 1], color=RED, linestyle="--", label="perfect calibration")
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        top.set_title(f"Reliability diagram (expected calibration error {calibration_error:.3f})", size=11)
        top.legend(loc="upper left", frameon=False)
        bottom.set(xlabel="confidence", ylabel="images")
    return png.getvalue()


def error_heatmap(
    errors: Sequence[Mapping[str, Sequence[float]]], titles: Sequence[str], groups: Sequence[Sequence[str]]
) -> bytes:
    """Draws errors by corruption and severity, with a panel for each model, side by side.

    Args:
        errors: For each model the errors (0..1) of each corruption at severity 1 to 5.
        titles: Titles of the panels.
        groups: Corruptions in the order of the rows; a line is drawn between groups.

    Returns:
        A PNG.
    """
    names = [name for group in groups for name in group if name in errors[0]]
    first_group = len([name for name in groups[0] if name in errors[0]])
    with png_figure(2.6 + 3.4 * len(errors), 0.9 + 0.33 * len(names)) as (figure, png):
        panels = figure.subplots(1, len(errors), sharey=True, squeeze=False)[0]
        for axes, rows, title in zip(panels, errors, titles, strict=True):
            values = 100 * np.array([[*rows[name], np.mean(rows[name])] for name in names])
            image = axes.imshow(values, cmap="YlOrRd", vmin=0, vmax=100, aspect="auto")
            for row, column in np.ndindex(values.shape):
                value = values[row, column]
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", size=8,
                    color="white" if value > 65 else DARK, weight="bold" if column == 5 else "normal",
                )  # fmt: skip
            axes.set_xticks(range(6), [*"12345", "mean"])
            axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
            axes.axvline(4.5, color="white", linewidth=3)
            if 0 < first_group < len(names):
                axes.axhline(first_group - 0.5, color="white", linewidth=3)
            axes.grid(visible=False)
            axes.set(xlabel="severity", title=without_middle(title))
        figure.colorbar(image, ax=panels, fraction=0.03, label="error, %")
    return png.getvalue()


def stage_bars(
    names: Sequence[str], medians: Sequence[Mapping[str, float]], tails: Sequence[tuple[float, float]]
) -> bytes:
    """Draws the median time of each stage of a decision as stacked bars, with marks at p90 and p99 of the whole.

    Args:
        names: Names of the runs; each gets a bar.
        medians: For each run the median milliseconds of its stages, in order; one that takes no time in any is not
            drawn.
        tails: For each run p90 and p99 of the whole decision, in milliseconds.

    Returns:
        A PNG.
    """
    drawn = [stage for stage in medians[0] if any(stages[stage] for stages in medians)]
    with png_figure(8.5, 1.6 + 0.34 * len(names)) as (figure, png):
        axes = figure.add_subplot()
        for row, (stages, tail) in enumerate(zip(medians, tails, strict=True)):
            left = 0.0
            for index, stage in enumerate(drawn):
                label = stage if not row else None
                color = STAGE_COLORS[index % len(STAGE_COLORS)]
                axes.barh(row, stages[stage], left=left, color=color, height=0.62, label=label)
                left += stages[stage]
            axes.plot(tail, [row, row], color=RED, marker="|", markersize=9, linewidth=0.8)
        axes.set_yticks(range(len(names)), [without_middle(name) for name in names])
        axes.invert_yaxis()
        axes.set(xlabel="milliseconds: medians of the stages; red: p90 and p99 of the whole decision")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=8, frameon=False, fontsize=8)
    return png.getvalue()


def view_heatmap(shares: Mapping[str, Sequence[float]], views: Sequence[str], title: str) -> bytes:
    """Draws how often each view is ranked first, with a row for each corruption.

    Args:
        shares: For each corruption the share (0..1) of images for which each view is ranked first.
        views: Names of the views.
        title: Title of the plot.

    Returns:
        A PNG.
    """
    with png_figure(2.2 + 0.62 * len(views), 1.6 + 0.3 * len(shares)) as (figure, png):
        axes = figure.add_subplot()
        values = 100 * np.array(list(shares.values()))
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            if value >= 0.5:
                color = "white" if value > 60 else DARK
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", size=8, color=color)
        axes.set_xticks(range(len(views)), [without_middle(view) for view in views], rotation=45, ha="right")
        axes.set_yticks(range(len(shares)), [name.replace("_", " ") for name in shares])
        axes.grid(visible=False)
        axes.set(title=title)
        figure.colorbar(image, ax=axes, fraction=0.03, label="ranked first, % of images")
    return png.getvalue()


def has_columns(history: Sequence[Mapping[str, float]], columns: Sequence[str]) -> bool:
    """Returns whether a history has rows, and all of them these columns; that of another program may not."""
    return bool(history) and all(row.keys() >= set(columns) for row in history)


def finetuning_curves(history: Sequence[Mapping[str, float]], rows: Sequence[str]) -> bytes:
    """Draws validation accuracy over the epochs of finetuning: clean, under each augmentation and combination.

    Args:
        history: One row of metrics for each epoch, with the columns "epoch", "val_accuracy" and `rows`.
        rows: Names of the augmentations and combinations.

    Returns:
        A PNG.
    """
    epochs = [row["epoch"] for row in history]
    with png_figure(8, 4.6) as (figure, png):
        axes = figure.add_subplot()
        lines = {"clean": [row["val_accuracy"] for row in history]}
        lines |= {name: [row[name] for row in history] for name in rows}
        colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
        for (name, values), color in zip(lines.items(), colors, strict=True):
            style = "--" if name.startswith("combined") else "-"
            label = name.replace("_", " ")
            axes.plot(epochs, [100 * value for value in values], style, color=color, label=label, marker="o", ms=3)
        axes.set(xlabel="epoch", ylabel="validation accuracy, %", title="Finetuning")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return png.getvalue()


def training_curves(history: Sequence[Mapping[str, float]]) -> bytes:
    """Draws training loss and validation accuracy over the epochs.

    Args:
        history: One row of metrics for each epoch, with the columns of `TRAINING_COLUMNS`.

    Returns:
        A PNG.
    """
    epochs = [row["epoch"] for row in history]
    with png_figure(7, 3.2) as (figure, png):
        loss_axes = figure.add_subplot()
        loss_axes.plot(epochs, [row["loss"] for row in history], color=GRAY, marker="o", markersize=3)
        loss_axes.set(xlabel="epoch", ylabel="training loss", title="Training")
        loss_axes.yaxis.label.set_color(GRAY)
        loss_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        accuracy_axes = loss_axes.twinx()
        accuracies = [100 * row["val_accuracy"] for row in history]
        accuracy_axes.plot(epochs, accuracies, color=BLUE, marker="o", markersize=3)
        accuracy_axes.set_ylabel("validation accuracy, %", color=BLUE)
        accuracy_axes.grid(visible=False)
        accuracy_axes.spines["right"].set_visible(True)
    return png.getvalue()
