"""Pictures of results, by matplotlib, drawn without a screen."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from allweather.runtimes.types import Image

BLUE, GREEN, RED, GRAY = "#2563eb", "#16a34a", "#dc2626", "#64748b"
SHADES = {"clean": "#ffffff", "dark": "#cbd5e1", "noise": "#fde68a", "blur": "#c7d2fe"}
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
}
LABELLED = 30  # classes up to which every row of a confusion matrix has its name


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> bytes:
    """A PNG of a confusion matrix: rows are true classes, shares of each row as color."""
    counts = np.asarray(matrix, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(5.0, min(12.0, 0.42 * len(classes) + 2))
    with png_figure(side + 0.6, side) as (figure, png):
        axes = figure.add_subplot()
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= LABELLED:
            axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(classes)), classes)
            for row, column in np.argwhere(shares >= 0.005):
                color = "white" if shares[row, column] > 0.5 else "#334155"
                axes.text(
                    column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=color, size=7
                )
        axes.grid(visible=False)
        axes.set(xlabel="answered", ylabel="true", title=title)
        figure.colorbar(shown, ax=axes, fraction=0.046, label="share of the true class")
    return png.getvalue()


def reliability(bins: Sequence[tuple[int, float, float]], error: float) -> bytes:
    """A PNG of a reliability diagram: accuracy against confidence, and how many pictures each bin has."""
    edges = np.linspace(0, 1, len(bins) + 1)
    width = edges[1]
    with png_figure(5.2, 5.2) as (figure, png):
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        for left, (count, _, right) in zip(edges, bins, strict=False):
            if count:
                top.bar(left + width / 2, right, width * 0.92, color=BLUE)
            below.bar(left + width / 2, count, width * 0.92, color=GRAY)
        top.plot([0, 1], [0, 1], color=RED, linestyle="--", label="as sure as right")
        top.set(
            xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=f"Reliability (expected calibration error {error:.3f})"
        )
        top.legend(loc="upper left", frameon=False)
        below.set(xlabel="confidence", ylabel="pictures")
    return png.getvalue()


def error_map(
    errors: Sequence[Mapping[str, Sequence[float]]], titles: Sequence[str], groups: Sequence[Sequence[str]]
) -> bytes:
    """A PNG of errors by corruption and severity, one panel a target, side by side.

    Args:
        errors: for each target, the errors (0..1) of each corruption at severity 1 to 5.
        titles: of the panels.
        groups: corruptions in the order of the rows; a line is drawn between groups.
    """
    names = [name for group in groups for name in group if name in errors[0]]
    first = len([name for name in groups[0] if name in errors[0]])
    with png_figure(2.6 + 3.4 * len(errors), 0.9 + 0.33 * len(names)) as (figure, png):
        panels = figure.subplots(1, len(errors), sharey=True, squeeze=False)[0]
        for axes, rows, title in zip(panels, errors, titles, strict=True):
            values = 100 * np.array([[*rows[name], np.mean(rows[name])] for name in names])
            shown = axes.imshow(values, cmap="YlOrRd", vmin=0, vmax=100, aspect="auto")
            for row, column in np.ndindex(values.shape):
                value = values[row, column]
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", size=8,
                    color="white" if value > 65 else "#1e293b", weight="bold" if column == 5 else "normal",
                )  # fmt: skip
            axes.set_xticks(range(6), [*"12345", "mean"])
            axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
            axes.axvline(4.5, color="white", linewidth=3)
            if 0 < first < len(names):
                axes.axhline(first - 0.5, color="white", linewidth=3)
            axes.grid(visible=False)
            axes.set(xlabel="severity", title=title)
        figure.colorbar(shown, ax=panels, fraction=0.03, label="error, %")
    return png.getvalue()


def stages(names: Sequence[str], times: Sequence[Mapping[str, float]], tails: Sequence[tuple[float, float]]) -> bytes:
    """A PNG of where the time goes: a bar of medians for each run, with marks at its p90 and p99.

    Args:
        names: of the runs.
        times: for each, the median milliseconds of its stages, in order.
        tails: for each, p90 and p99 of the whole decision, in milliseconds.
    """
    colors = ["#94a3b8", "#64748b", "#a855f7", "#334155", "#06b6d4", BLUE, GREEN, "#f59e0b"]
    with png_figure(8.5, 1.6 + 0.34 * len(names)) as (figure, png):
        axes = figure.add_subplot()
        for row, (each, tail) in enumerate(zip(times, tails, strict=True)):
            left = 0.0
            for number, (stage, value) in enumerate(each.items()):
                label = stage if not row else None
                axes.barh(row, value, left=left, color=colors[number % len(colors)], height=0.62, label=label)
                left += value
            axes.plot(tail, [row, row], color=RED, marker="|", markersize=9, linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set(xlabel="milliseconds: medians of the stages; red: p90 and p99 of the whole decision")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=8, frameon=False, fontsize=8)
    return png.getvalue()


def looks(rows: Mapping[str, Sequence[float]], views: Sequence[str], title: str) -> bytes:
    """A PNG of how often each view is chosen (shares 0..1, one a view), a row for each kind of pictures."""
    with png_figure(2.2 + 0.62 * len(views), 1.6 + 0.3 * len(rows)) as (figure, png):
        axes = figure.add_subplot()
        shares = 100 * np.array(list(rows.values()))
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(shares.shape):
            share = shares[row, column]
            if share >= 0.5:
                color = "white" if share > 60 else "#1e293b"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=8, color=color)
        axes.set_xticks(range(len(views)), views, rotation=45, ha="right")
        axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
        axes.grid(visible=False)
        axes.set(title=title)
        figure.colorbar(shown, ax=axes, fraction=0.03, label="chosen first, % of the pictures")
    return png.getvalue()


def gallery(images: Sequence[Image], captions: Sequence[str], columns: int = 5) -> bytes:
    """A PNG of pictures (uint8 [h, w, 3], RGB), each under its caption."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with png_figure(2.3 * columns, 2.6 * rows) as (figure, png):
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in places:
            axes.axis("off")
        for axes, image, caption in zip(places, images, captions, strict=False):
            axes.imshow(image, interpolation="nearest" if image.shape[0] < 64 else "antialiased")
            axes.set_title(caption, size=8)
    return png.getvalue()


def named_rows(rows: Mapping[str, Sequence[Image]], titles: Sequence[str] = ()) -> bytes:
    """A PNG of pictures (uint8 [h, w, 3], RGB): a row under each name, as long as each other; titles of the columns."""
    columns = len(next(iter(rows.values())))
    with png_figure(1.1 * columns + 1.6, 1.1 * len(rows) + 0.4) as (figure, png):
        places = figure.subplots(len(rows), columns, squeeze=False)
        for axes, (name, images) in zip(places, rows.items(), strict=True):
            for each, image in zip(axes, images, strict=True):
                each.imshow(image, interpolation="nearest" if image.shape[0] < 64 else "antialiased")
                each.set(xticks=[], yticks=[])
                each.spines[:].set_visible(False)
            axes[0].set_ylabel(name.replace("_", "\n", 1), rotation=0, ha="right", va="center", size=9)
        for axes, title in zip(places[0], titles, strict=bool(titles)):
            axes.set_title(title, size=9)
    return png.getvalue()


def augmentations(shown: Mapping[str, Sequence[Image]]) -> bytes:
    """A PNG of some pictures (uint8 [h, w, 3], RGB): a row each, a column for each way they are shown."""
    rows = len(next(iter(shown.values())))
    with png_figure(1.25 * len(shown), 1.25 * rows + 0.6) as (figure, png):
        places = figure.subplots(rows, len(shown), squeeze=False)
        for column, (name, images) in enumerate(shown.items()):
            for row, image in enumerate(images):
                axes = places[row, column]
                axes.imshow(image, interpolation="nearest" if image.shape[0] < 64 else "antialiased")
                axes.axis("off")
            places[0, column].set_title(name.replace(" (", "\n(").replace(" and ", "\nand "), size=8)
    return png.getvalue()


def finetuning(history: Sequence[Mapping[str, float]], rows: Sequence[str]) -> bytes:
    """A PNG of validation accuracy over epochs: clean, each augmentation, and the combinations, as named in `rows`."""
    epochs = [row["epoch"] for row in history]
    with png_figure(8, 4.6) as (figure, png):
        axes = figure.add_subplot()
        lines = {"clean": [row["val_accuracy"] for row in history]}
        lines |= {name: [row[name] for row in history] for name in rows}
        colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
        for (name, values), color in zip(lines.items(), colors, strict=True):
            style = "--" if name.startswith("combined") else "-"
            shown = name.replace("_", " ")
            axes.plot(epochs, [100 * value for value in values], style, color=color, label=shown, marker="o", ms=3)
        axes.set(xlabel="epoch", ylabel="validation accuracy, %", title="Finetuning")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return png.getvalue()


def training(history: Sequence[Mapping[str, float]]) -> bytes:
    """A PNG of loss and validation accuracy over epochs."""
    epochs = [row["epoch"] for row in history]
    with png_figure(7, 3.2) as (figure, png):
        left = figure.add_subplot()
        left.plot(epochs, [row["loss"] for row in history], color=GRAY, marker="o", markersize=3)
        left.set(xlabel="epoch", ylabel="training loss", title="Training")
        left.yaxis.label.set_color(GRAY)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right = left.twinx()
        right.plot(epochs, [100 * row["val_accuracy"] for row in history], color=BLUE, marker="o", markersize=3)
        right.set_ylabel("validation accuracy, %", color=BLUE)
        right.grid(visible=False)
        right.spines["right"].set_visible(True)
    return png.getvalue()


def timeline(
    right: Sequence[bool | None], milliseconds: Sequence[float], stretches: Sequence[str], fps: float, budget_ms: float
) -> bytes:
    """A PNG of a drive: accuracy over the last second, and the time of every decision, over a shade for the weather.

    Args:
        right: for each frame whether the decision was right; None where there was no sign to read.
        milliseconds: for each frame.
        stretches: for each frame, a key of `SHADES`.
        fps: frames a second.
        budget_ms: drawn as a line.
    """
    seconds = np.arange(len(right)) / fps
    with png_figure(10, 5) as (figure, png):
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for name, start, end in _runs(stretches):
            for axes in (top, below):
                axes.axvspan(start / fps, end / fps, color=SHADES.get(name, "#f1f5f9"), linewidth=0)
            top.text((start + end) / 2 / fps, 104, name, ha="center", color=GRAY)
        for _, start, end in _runs(stretches):  # a mistake in the dark is none of the clear second after it
            top.plot(seconds[start:end], _rolling(right[start:end], round(fps)), color=BLUE)
        top.set(ylim=(0, 102), ylabel="right of the last second's\nframes in this weather, %")
        below.plot(seconds, milliseconds, ".", color=GREEN, markersize=2)
        below.axhline(budget_ms, color=RED, linestyle="--", linewidth=1)
        below.text(seconds[-1], budget_ms * 0.82, f"budget {budget_ms:g} ms", ha="right", va="top", color=RED, size=9)
        below.set(xlabel="seconds of the drive", ylabel="decision, ms", yscale="log", xlim=(0, seconds[-1] or 1))
        below.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        below.yaxis.set_minor_formatter(NullFormatter())
    return png.getvalue()


def _rolling(right: Sequence[bool | None], window: int) -> list[float]:
    """Share of right answers in percent among the known ones of the last `window` frames; nan where none is known."""
    values = np.array([np.nan if answer is None else 100.0 * answer for answer in right])
    shares = []
    for end in range(1, len(values) + 1):
        known = values[max(0, end - window) : end]
        known = known[~np.isnan(known)]
        shares.append(float(known.mean()) if len(known) else float("nan"))
    return shares


def _runs(names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Runs of equal names as (name, first, one past the last)."""
    start = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[start]:
            yield names[start], start, end
            start = end


@contextmanager
def png_figure(width: float, height: float) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure of inches; when the block ends it is in the buffer as PNG."""
    png = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, png
        figure.savefig(png, format="png")
