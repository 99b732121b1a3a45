"""The report of the demo: the drive, the exported models and the training, on one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from allweather.demo.drive import BUDGET_MS, FPS, MIN_EXAMPLE_WIDTH, PREVIEW_EVERY, DriveResult
from allweather.demo.drive_images import animation, example_grid
from allweather.demo.timeline import timeline
from allweather.reports import plots
from allweather.reports.html import Section, page, write_files
from allweather.runtimes.bundle.manifest import Manifest
from allweather.trainers.checkpoint.checkpoint import Checkpoint

Row = tuple[str, ...]


def write_demo_report(
    out: Path, checkpoint: Checkpoint, manifest: Manifest, drive: DriveResult, summary: dict[str, Any]
) -> None:
    """Writes report.html, summary.json, and the images and plots of the page.

    Args:
        out: Folder to write into.
        checkpoint: The trained checkpoint.
        manifest: Manifest of its bundle.
        drive: Result of the drive.
        summary: The figures that `run_demo` returns.

    Raises:
        OutputError: The folder cannot be written to.
    """
    parity = manifest.models[0].parity
    conditions = [outcome.condition for outcome in drive.outcomes]
    sections = [
        Section(
            "Drive",
            f"Each frame is decided on within a region around the nearest sign, in {summary['precision']} on the CPU. "
            "Parts of the drive are dark, noisy or out of focus; the classifier has been trained on clear days only. "
            "The whole video is drive.mp4, and each decision is in decisions.jsonl.",
            _drive_table(conditions, summary),
            image="drive.webp",
        ),
        Section("Accuracy and latency over time", image="timeline.png"),
        Section(
            "One frame of each condition",
            f"A sign more than {MIN_EXAMPLE_WIDTH} px wide, with an incorrect prediction if there was one. The "
            "percentage is the confidence; the only view, identity, is the unchanged image.",
            image="frames.png",
        ),
        Section(
            "Accuracy and latency of the exported models",
            f"Accuracy on {parity.images} of the validation images, clean, and each under one of fifteen corruptions "
            "of medium severity. A model is rejected if it loses more than half a point of accuracy against torch, "
            "beyond the standard error.",
            _model_table(manifest),
        ),
        Section("Training", f"{checkpoint.arch} on the embedded road signs.", image="training.png"),
    ]
    lead = f"Trained, exported and run in {summary['seconds']:.0f} s on {summary['machine']}."
    correct = [outcome.correct for outcome in drive.outcomes]
    times = [outcome.milliseconds for outcome in drive.outcomes]
    files: dict[str, bytes | str] = {
        "timeline.png": timeline(correct, times, conditions, FPS, BUDGET_MS),
        "training.png": plots.training_curves(checkpoint.history),
        "frames.png": example_grid(drive.examples),
        "drive.webp": animation(drive.preview, PREVIEW_EVERY / FPS),
        "summary.json": json.dumps(summary, indent=1),
        "report.html": page("allweather demo", lead, sections),
    }
    write_files(out, files)


def _drive_table(conditions: list[str], summary: dict[str, Any]) -> list[Row]:
    rows: list[Row] = [("condition", "accuracy")]
    rows += [(name, _percent(summary[f"drive_accuracy_{name}"])) for name in dict.fromkeys(conditions)]
    return rows


def _model_table(manifest: Manifest) -> list[Row]:
    """Returns a table of the exported models below the torch model that they were made from."""
    reference = manifest.models[0].parity
    accuracies = (reference.reference_accuracy, reference.reference_corrupted_accuracy)
    rows: list[Row] = [
        ("model", "accuracy, clean", "accuracy, corrupted", "same prediction as torch", "ms per image"),
        ("torch fp32", *map(_percent, accuracies), "", ""),
    ]
    for model in manifest.models:
        parity = model.parity
        shares = (parity.accuracy, parity.corrupted_accuracy, parity.agreement)
        name = f"{model.engine} {model.precision}"
        rows.append((name, *map(_percent, shares), f"{1000 * model.seconds[0]:.2f}"))
    return rows


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
