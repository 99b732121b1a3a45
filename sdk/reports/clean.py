"""The report of a classifier evaluated on clean test images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from allweather.evaluation.clean import CleanEvaluation
from allweather.evaluation.error_rate import are_paired, paired_difference
from allweather.reports import plots
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, difference_row, origin_section, reading_section, wilson_interval
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json

MAX_CLASSES = 50  # rows of the table of classes; result.json has all of them
READING = (
    "All figures are those of the clean test images, with one view of each. The interval of the accuracy is that of "
    "Wilson at 95 %: it tells how much depends on which images were tested, and says nothing of another training or "
    "another seed. The other figures have none."
)
ITEMS = (
    (
        "Confusion matrix",
        "Each row is a true class, each column a predicted one; the color, and the number in percent, is the share of "
        "the true class.",
    ),
    (
        "Reliability diagram",
        "Each bar is the accuracy of the predictions whose confidence falls into one of 15 bins, and the dashed line "
        "where it would be with perfect calibration; the gray bars below count the images of each bin.",
    ),
)


def write_clean_report(evaluation: CleanEvaluation, folder: Path | str, origin: Origin | None = None) -> None:
    """Writes report.html, result.json, confusion.png and reliability.png, and training.png for a trained checkpoint.

    Of more than 2,000 classes there is no confusion matrix.

    Args:
        evaluation: The result to report.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    provenance = evaluation.provenance
    facts = [
        ("", provenance.backend),
        ("accuracy, with its 95 % interval", _with_interval(evaluation)),
        ("precision, mean over classes", f"{evaluation.precision:.4f}"),
        ("recall, mean over classes", f"{evaluation.recall:.4f}"),
        ("F1, mean over classes", f"{evaluation.f1:.4f}"),
        ("expected calibration error", f"{evaluation.calibration_error:.4f}"),
        ("Brier score, 0 to 2", f"{evaluation.brier:.4f}"),
        ("NLL, nats", f"{evaluation.nll:.4f}"),
        ("test images", str(provenance.images)),
        ("images per second, in batches", f"{evaluation.images_per_second:.0f}"),
    ]
    sections = [
        Section("Result", "; ".join(provenance.notes), facts),
        reading_section(READING, ITEMS),
        _confusion_section(evaluation),
        Section("Reliability diagram", image="reliability.png"),
        _class_section(evaluation),
    ]
    files: dict[str, bytes | str] = {
        "reliability.png": plots.reliability_diagram(evaluation.reliability, evaluation.calibration_error),
        "result.json": json.dumps(to_json(evaluation), indent=1),
    }
    if evaluation.confusion:
        files["confusion.png"] = plots.confusion_matrix(evaluation.confusion, evaluation.classes)
    if plots.has_columns(provenance.history, plots.TRAINING_COLUMNS):
        sections.append(Section("Training", image="training.png"))
        files["training.png"] = plots.training_curves(provenance.history)
    sections.append(origin_section(origin))
    title = f"{Path(provenance.model).name} on {provenance.data}"
    files["report.html"] = page(title, f"{provenance.backend} on {provenance.machine}", sections)
    write_files(folder, files)


def comparison_table(results: Sequence[CleanEvaluation]) -> list[Sequence[str]]:
    """Returns a table with a column for each model, and how the error of each but the first differs from that."""
    first, *others = results
    paired = [paired_difference(first, each).clean for each in others if are_paired(first, each)]
    return [
        ("", *(each.provenance.title for each in results)),
        ("accuracy, %", *(f"{100 * each.accuracy:.2f}" for each in results)),
        *(difference_row("error", paired) if len(paired) == len(others) else []),
        ("precision, mean over classes, %", *(f"{100 * each.precision:.2f}" for each in results)),
        ("recall, mean over classes, %", *(f"{100 * each.recall:.2f}" for each in results)),
        ("F1, mean over classes, %", *(f"{100 * each.f1:.2f}" for each in results)),
        ("calibration error, %", *(f"{100 * each.calibration_error:.2f}" for each in results)),
        ("Brier score, 0 to 2", *(f"{each.brier:.4f}" for each in results)),
        ("NLL, nats", *(f"{each.nll:.4f}" for each in results)),
        ("images per second", *(f"{each.images_per_second:.0f}" for each in results)),
    ]


def _with_interval(evaluation: CleanEvaluation) -> str:
    images = evaluation.provenance.images
    low, high = wilson_interval(round(evaluation.accuracy * images), images)
    return f"{evaluation.accuracy:.4f} ({low:.4f} to {high:.4f})"


def _confusion_section(evaluation: CleanEvaluation) -> Section:
    """Makes the section of the confusion matrix, which of very many classes is left out."""
    if evaluation.confusion:
        return Section("Confusion matrix", image="confusion.png")
    return Section("Confusion matrix", f"Left out, as there are {len(evaluation.classes)} classes.")


def _class_section(evaluation: CleanEvaluation) -> Section:
    """Makes the table of the classes that are recognized worst."""
    worst = sorted(evaluation.by_class.items(), key=lambda item: (item[1].f1, item[0]))[:MAX_CLASSES]
    rows = [
        (name, str(each.images), f"{each.precision:.3f}", f"{each.recall:.3f}", f"{each.f1:.3f}")
        for name, each in worst
    ]
    number = len(evaluation.by_class)
    cut = f" The {len(rows)} with the lowest F1 of {number} classes; result.json has all." if len(rows) < number else ""
    return Section(
        "Classes, lowest F1 first",
        "Precision: how many of the images that are predicted as the class are of it. Recall: how many images of the "
        f"class are predicted as it. F1: their harmonic mean.{cut}",
        [("class", "images", "precision", "recall", "F1"), *rows],
    )
