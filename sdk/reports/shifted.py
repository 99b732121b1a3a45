"""The report of the shift robustness of classifiers: how predictions and features change between four test sets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from allweather.evaluation.shifted import TEST_SETS, ShiftRobustness
from allweather.reports.figure import GRAY, png_figure, without_middle
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, chance, origin_section, reading_section
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json
from allweather.runtimes.types import Floats

READING = (
    "Four test sets of the same images, the same for every model: the original ones; shifted at random; gray; and in "
    "other light and color. One view of each image."
)
COLORS = ("#64748b", "#2563eb", "#16a34a", "#dc2626", "#d97706", "#7c3aed")


def write_shifted_report(
    results: Sequence[ShiftRobustness],
    embedded: Sequence[Floats | None],
    folder: Path | str,
    origin: Origin | None = None,
) -> None:
    """Writes report.html, result.json and variation.png, and for checkpoints tsne.png.

    Args:
        results: One result for each model, all on the same four test sets.
        embedded: For each model its embedded variants, float32 [14, 16, 2], see `embed_variants`; None for a bundle.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    provenance = results[0].provenance
    files: dict[str, bytes | str] = {
        "variation.png": variation_bars(results),
        "result.json": json.dumps({"results": to_json(results)}, indent=1),
    }
    sections = [
        Section("Accuracy, %", "; ".join(provenance.notes), accuracy_table(results)),
        reading_section(f"{READING} {chance(provenance.images)}"),
        Section(
            "Change of predictions and features",
            "Between two of the test sets, mean over the images; lower is more robust. Distances between features are "
            "relative to the mean length of the features.",
            image="variation.png",
        ),
    ]
    panels = [
        (result.provenance.title, points)
        for result, points in zip(results, embedded, strict=True)
        if points is not None
    ]
    if panels:
        files["tsne.png"] = variant_scatter(panels)
        text = "Features of 16 variants of each of 14 test images, embedded by t-SNE; color and marker tell the image."
        sections.append(Section("Features of variants of the same image", text, image="tsne.png"))
    sections.append(origin_section(origin))
    lead = f"{provenance.images} images in each test set; {provenance.machine}"
    files["report.html"] = page(f"Shift robustness on {provenance.data}", lead, sections)
    write_files(folder, files)


def accuracy_table(results: Sequence[ShiftRobustness]) -> list[Sequence[str]]:
    """Returns a table as table 5 of Chen et al.: one row for each model, one column for each test set."""
    rows: list[Sequence[str]] = [("test accuracy, %", *TEST_SETS)]
    rows += [
        (result.provenance.title, *(f"{100 * result.accuracies[name]:.2f}" for name in TEST_SETS)) for result in results
    ]
    return rows


def variation_bars(results: Sequence[ShiftRobustness]) -> bytes:
    """Draws bars as in figure 5: a group for each pair of test sets, a color for each model; returns a PNG."""
    panels = [("predictions:\nsymmetric KL divergence, nats", [result.divergences for result in results])]
    if any(result.distances for result in results):
        panels.append(("features:\nrelative Euclidean distance", [result.distances for result in results]))
    with png_figure(9, 3.6 * len(panels)) as (figure, png):
        for axes, (name, values) in zip(figure.subplots(len(panels), squeeze=False).flat, panels, strict=True):
            pairs, width = list(results[0].divergences), 0.8 / len(results)
            for index, (result, by_pair) in enumerate(zip(results, values, strict=True)):
                positions = np.arange(len(pairs)) + (index - (len(results) - 1) / 2) * width
                heights = [by_pair.get(pair, float("nan")) for pair in pairs]
                color = COLORS[index % len(COLORS)]
                title = f" {without_middle(result.provenance.title)}"  # a legend leaves out what begins with "_"
                bars = axes.bar(positions, heights, width, color=color, label=title)
                texts = ["" if math.isnan(height) else f"{height:.2g}" for height in heights]
                axes.bar_label(bars, texts, size=7, color=GRAY, padding=1)
            axes.set_xticks(range(len(pairs)), [pair.replace(", ", "\n") for pair in pairs], size=8)
            axes.set(ylabel=name, xlim=(-0.5, len(pairs) - 0.5))
            axes.grid(visible=False, axis="x")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return png.getvalue()


def variant_scatter(embedded: Sequence[tuple[str, Floats]]) -> bytes:
    """Draws embedded variants as in figure 6: a panel for each checkpoint, a color and marker for each image.

    Args:
        embedded: (title, float32 [images, variants, 2]) for each panel.

    Returns:
        A PNG.
    """
    columns = min(2, len(embedded))
    rows = math.ceil(len(embedded) / columns)
    with png_figure(4.6 * columns, 4.6 * rows) as (figure, png):
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for unused in panels[len(embedded) :]:
            unused.remove()
        for axes, (title, points) in zip(panels, embedded, strict=False):
            for index, variants in enumerate(points):
                axes.scatter(*variants.T, s=14, color=f"C{index % 10}", marker="o^"[index // 10], linewidth=0)
            axes.set(xticks=(), yticks=())
            axes.set_title(without_middle(title), color=GRAY, size=10)
            axes.grid(visible=False)
    return png.getvalue()
