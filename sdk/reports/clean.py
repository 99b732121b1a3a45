"""The report of a classifier evaluated on clean test images."""

from __future__ import annotations

import json
from pathlib import Path

from allweather.evaluation.clean import CleanEvaluation
from allweather.reports import plots
from allweather.reports.html import Section, page, write_files
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json


def write_clean_report(evaluation: CleanEvaluation, folder: Path | str) -> None:
    """Writes report.html, result.json, confusion.png and reliability.png, and training.png for a trained checkpoint.

    Args:
        evaluation: The result to report.
        folder: Folder to write into.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    provenance = evaluation.provenance
    facts = [
        ("", provenance.backend),
        ("accuracy", f"{evaluation.accuracy:.4f}"),
        ("expected calibration error", f"{evaluation.calibration_error:.4f}"),
        ("Brier score, 0 to 2", f"{evaluation.brier:.4f}"),
        ("NLL, nats", f"{evaluation.nll:.4f}"),
        ("test images", str(provenance.images)),
        ("images per second, in batches", f"{evaluation.images_per_second:.0f}"),
    ]
    by_accuracy = sorted(evaluation.class_accuracy.items(), key=lambda item: item[1])
    class_rows = [("class", "accuracy"), *((name, f"{accuracy:.3f}") for name, accuracy in by_accuracy)]
    sections = [
        Section("Result", "; ".join(provenance.notes), facts),
        Section("Confusion matrix", image="confusion.png"),
        Section("Reliability diagram", image="reliability.png"),
        Section("Accuracy by class, lowest first", table=class_rows),
    ]
    files: dict[str, bytes | str] = {
        "confusion.png": plots.confusion_matrix(evaluation.confusion, evaluation.classes),
        "reliability.png": plots.reliability_diagram(evaluation.reliability, evaluation.calibration_error),
        "result.json": json.dumps(to_json(evaluation), indent=1),
    }
    if plots.has_columns(provenance.history, plots.TRAINING_COLUMNS):
        sections.append(Section("Training", image="training.png"))
        files["training.png"] = plots.training_curves(provenance.history)
    title = f"{Path(provenance.model).name} on {provenance.data}"
    files["report.html"] = page(title, f"{provenance.backend} on {provenance.machine}", sections)
    write_files(folder, files)
