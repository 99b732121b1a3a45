"""The report of classifiers evaluated on augmented test images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from allweather.evaluation.augmented import AugmentedEvaluation
from allweather.reports import image_grids, plots
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, chance, origin_section, reading_section, section_in_markdown
from allweather.runtimes.markdown import markdown_page, markdown_table
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json
from allweather.runtimes.types import Image
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS, TABLE_ROWS

Row = Sequence[str]
READING = (
    "Each row is the accuracy on all test images under one augmentation of the strength below, the same augmented "
    "images for every model; the two combinations apply five at once. The average is that of the ten rows, clean "
    "images included. One view of each image."
)


def write_augmented_report(
    results: Sequence[AugmentedEvaluation],
    examples: Mapping[str, Sequence[Image]],
    folder: Path | str,
    origin: Origin | None = None,
) -> None:
    """Writes report.html, report.md, result.json and augmentations.png, and a plot for each finetuned model.

    The plot is finetuning-N.png, where N counts the models from 1.

    Args:
        results: One result for each model, all on the same augmented images.
        examples: A few images under each augmentation; see `example_images`.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    provenance = results[0].provenance
    accuracies, strengths = accuracy_table(results), strength_table(results[0].strengths)
    reading, made = reading_section(f"{READING} {chance(provenance.images)}"), origin_section(origin)
    sections = [
        Section("Accuracy, %", "; ".join(provenance.notes), accuracies),
        reading,
        Section("Example images", image="augmentations.png"),
        Section("Augmentation strengths", "The combinations use the strengths of their parts.", strengths),
    ]
    files: dict[str, bytes | str] = {
        "augmentations.png": image_grids.image_columns({row_title(row): images for row, images in examples.items()}),
        "result.json": json.dumps({"results": to_json(results)}, indent=1),
    }
    for number, result in enumerate(results, 1):
        history = result.provenance.history
        if plots.has_columns(history, ("epoch", "val_accuracy", *TABLE_ROWS)):
            name = f"finetuning-{number}.png"
            files[name] = plots.finetuning_curves(history, TABLE_ROWS)
            sections.append(Section(f"{result.provenance.title}: validation accuracy in finetuning", image=name))
    sections.append(made)
    heading = f"Accuracy on augmented images of {provenance.data}"
    lead = f"{provenance.images} test images in each row; {provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    image = ["![Augmentations](augmentations.png)"]
    tables = (markdown_table(accuracies), markdown_table(strengths))
    files["report.md"] = markdown_page(heading, lead, *tables, image, *map(section_in_markdown, (reading, made)))
    write_files(folder, files)


def accuracy_table(results: Sequence[AugmentedEvaluation]) -> list[Row]:
    """Returns a table with the rows of table 3 of the FMA paper and a column for each model.

    With several models, the last row compares the averages with that of the first model.
    """
    rows: list[Row] = [("", *(result.provenance.title for result in results))]
    for row in ("clean", *TABLE_ROWS):
        rows.append((row_title(row), *(f"{100 * result.accuracies[row]:.2f}" for result in results)))
    rows.append(("average of the ten", *(f"{100 * result.average:.2f}" for result in results)))
    if len(results) > 1:
        gains = (f"{100 * (result.average - results[0].average):+.2f}" for result in results[1:])
        rows.append(("average improvement", "", *gains))
    return rows


def strength_table(strengths: Mapping[str, float]) -> list[Row]:
    """Returns a table as table 1 of the FMA paper: the strengths, beside those of the paper's VGG-16 on CIFAR-10."""
    rows: list[Row] = [("", "parameter", "strength", "paper, VGG-16 on CIFAR-10")]
    for name, augmentation in AUGMENTATIONS.items():
        rows.append((row_title(name), augmentation.parameter, f"{strengths[name]:.4g}", f"{augmentation.paper:g}"))
    return rows


def row_title(row: str) -> str:
    """Returns the name of an augmentation, a combination or "clean" as a table shows it."""
    augmentation = AUGMENTATIONS.get(row)
    if augmentation:
        return f"{row.replace('_', ' ')} ({augmentation.symbol})"
    return row.capitalize() if row in COMBINATIONS else row
