"""The report of classifiers on augmentations they were not trained on: one page, one JSON file, pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from allweather.evaluation.shifted import SETS, ShiftRobustness
from allweather.reports.html import Section, page, write
from allweather.reports.plots import GRAY, png_figure
from allweather.runtimes.types import Floats

COLORS = ("#64748b", "#2563eb", "#16a34a", "#dc2626", "#d97706", "#7c3aed")


def write_transfer(results: Sequence[ShiftRobustness], placed: Sequence[Floats | None], folder: Path) -> None:
    """Writes report.html, result.json, variation.png and, for checkpoints, clusters.png.

    Args:
        results: one a target, all on the same four sets.
        placed: for each of them where variants of samples lie, see `transfer.clusters`; None for a bundle.
        folder: to write into.

    Raises:
        OutputError: the place cannot be written to.
    """
    files: dict[str, bytes | str] = {
        "variation.png": variation(results),
        "result.json": json.dumps({"results": [asdict(result) for result in results]}, indent=1),
    }
    sections = [
        Section("Accuracy, %", "; ".join(results[0].provenance.notes), accuracy_table(results)),
        Section(
            "How much answers and features vary",
            "Between two of the test sets, the mean over pictures: lower is steadier. Distances are relative to the "
            "mean length of a feature.",
            picture="variation.png",
        ),
    ]
    known = [
        (result.provenance.title, points) for result, points in zip(results, placed, strict=True) if points is not None
    ]
    if known:
        files["clusters.png"] = clustered(known)
        text = "16 variants each of 14 test pictures by their features (t-SNE); a color and shape is a picture."
        sections.append(Section("Variants of the same picture", text, picture="clusters.png"))
    lead = f"{results[0].provenance.images} test pictures a set; {results[0].provenance.machine}"
    files["report.html"] = page(f"Augmentation transfer on {results[0].provenance.data}", lead, sections)
    write(folder, files)


def accuracy_table(results: Sequence[ShiftRobustness]) -> list[Sequence[str]]:
    """As table 5 of Chen et al.: one row a target, one column a test set."""
    rows: list[Sequence[str]] = [("test accuracy, %", *SETS)]
    rows += [
        (result.provenance.title, *(f"{100 * result.accuracies[name]:.2f}" for name in SETS)) for result in results
    ]
    return rows


def variation(results: Sequence[ShiftRobustness]) -> bytes:
    """A PNG as figure 5: bars for each two test sets, a color for each target."""
    kinds = [("answers: symmetric KL divergence, nats", [result.divergences for result in results])]
    if any(result.distances for result in results):
        kinds.append(("features: relative distance", [result.distances for result in results]))
    with png_figure(9, 3.6 * len(kinds)) as (figure, png):
        for axes, (name, values) in zip(figure.subplots(len(kinds), squeeze=False).flat, kinds, strict=True):
            pairs, width = list(results[0].divergences), 0.8 / len(results)
            for number, (result, of_pair) in enumerate(zip(results, values, strict=True)):
                places = np.arange(len(pairs)) + (number - (len(results) - 1) / 2) * width
                heights = [of_pair.get(pair, float("nan")) for pair in pairs]
                bars = axes.bar(
                    places, heights, width, color=COLORS[number % len(COLORS)], label=result.provenance.title
                )
                words = ["" if math.isnan(height) else f"{height:.2g}" for height in heights]
                axes.bar_label(bars, words, size=7, color=GRAY, padding=1)
            axes.set_xticks(range(len(pairs)), [pair.replace(", ", "\n") for pair in pairs], size=8)
            axes.set(ylabel=name)
            axes.grid(visible=False, axis="x")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return png.getvalue()


def clustered(placed: Sequence[tuple[str, Floats]]) -> bytes:
    """A PNG as figure 6: a panel for each checkpoint, a color for each picture."""
    columns = min(2, len(placed))
    rows = math.ceil(len(placed) / columns)
    with png_figure(4.6 * columns, 4.6 * rows) as (figure, png):
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for left in panels[len(placed) :]:
            left.remove()
        for axes, (name, points) in zip(panels, placed, strict=False):
            for number, sample in enumerate(points):
                axes.scatter(*sample.T, s=14, color=f"C{number % 10}", marker="o^"[number // 10], linewidth=0)
            axes.set(xticks=(), yticks=())
            axes.set_title(name, color=GRAY, size=10)
            axes.grid(visible=False)
    return png.getvalue()
