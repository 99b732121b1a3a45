"""The report of classifiers measured on augmented pictures: one page, one JSON file, one Markdown file, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from allweather.evaluation.augmented import AugmentedEvaluation
from allweather.reports import plots as pictures
from allweather.reports.html import Section, markdown, page, write
from allweather.runtimes.types import Image
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS, TABLE_ROWS

Row = Sequence[str]


def write_augmented(results: Sequence[AugmentedEvaluation], shown: Mapping[str, Sequence[Image]], folder: Path) -> None:
    """Writes report.html, report.md, result.json, augmentations.png, and finetuning of each target that has been.

    Args:
        results: one a target, all on the same augmented pictures.
        shown: some pictures under each augmentation; see `examples`.
        folder: to write into.

    Raises:
        OutputError: the place cannot be written to.
    """
    accuracies, strengths = accuracy_table(results), strength_table(results[0].parameters)
    sections = [
        Section("Accuracy, %", "; ".join(results[0].provenance.notes), accuracies),
        Section("What it looks like", picture="augmentations.png"),
        Section("Strengths", "Combined+ and Combined- take those of their parts.", strengths),
    ]
    files: dict[str, bytes | str] = {
        "augmentations.png": pictures.augmentations({label(name): images for name, images in shown.items()}),
        "result.json": json.dumps({"results": [asdict(result) for result in results]}, indent=1),
    }
    for number, result in enumerate(results, 1):
        if result.provenance.history and TABLE_ROWS[0] in result.provenance.history[0]:
            name = f"finetuning-{number}.png"
            files[name] = pictures.finetuning(result.provenance.history, TABLE_ROWS)
            sections.append(Section(f"{result.provenance.title}: validation accuracy in finetuning", picture=name))
    heading = f"Augmented pictures of {results[0].provenance.data}"
    lead = f"{results[0].provenance.images} test pictures a row; {results[0].provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    lines = [f"# {heading}", "", lead, "", *markdown(accuracies), "", *markdown(strengths), ""]
    files["report.md"] = "\n".join([*lines, "![Augmentations](augmentations.png)", ""])
    write(folder, files)


def accuracy_table(results: Sequence[AugmentedEvaluation]) -> list[Row]:
    """One column a target, one row as in table 3; the last line compares with the first target."""
    rows: list[Row] = [("", *(result.provenance.title for result in results))]
    for name in ("clean", *TABLE_ROWS):
        rows.append((label(name), *(f"{100 * result.accuracies[name]:.2f}" for result in results)))
    rows.append(("average of the ten", *(f"{100 * result.average:.2f}" for result in results)))
    if len(results) > 1:
        gains = (f"{100 * (result.average - results[0].average):+.2f}" for result in results[1:])
        rows.append(("average improvement", "", *gains))
    return rows


def strength_table(parameters: Mapping[str, float]) -> list[Row]:
    """As table 1, beside the paper's VGG-16 on CIFAR-10."""
    rows: list[Row] = [("", "parameter", "here", "the paper's VGG-16 on CIFAR-10")]
    for name, kind in AUGMENTATIONS.items():
        rows.append((label(name), kind.parameter, f"{parameters[name]:.4g}", f"{kind.paper:g}"))
    return rows


def label(name: str) -> str:
    """An augmentation as a table calls it."""
    kind = AUGMENTATIONS.get(name)
    if kind:
        return f"{name.replace('_', ' ')} ({kind.symbol})"
    return name.capitalize() if name in COMBINATIONS else name
