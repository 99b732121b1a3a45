"""The report of the demo: what came of the drive at a glance, and below it what it can be checked by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allweather.demo.drive import BUDGET_MS, FPS, PREVIEW_EVERY, SMOOTHED, DriveResult
from allweather.demo.drive_images import animation, example_grid
from allweather.demo.kept_folder import ACCURACY, BUDGET, FRAMES, PREVIEW, REPORT, SUMMARY
from allweather.demo.outcomes import BAD_CONDITIONS, CLEAR
from allweather.demo.timeline import accuracy_timeline, budget_timeline
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, origin_section
from allweather.runtimes.bundle.bundle import Bundle

Row = tuple[str, ...]

EXPLANATION = (
    "The three systems read the same part of each frame: the blue box is given, nothing here finds signs. Plain: a "
    "ResNet-20 trained on clear images. Robust: the same network, finetuned on copies of them that are brighter, "
    "darker, more or less saturated, blurred or noisy, but never on snow, fog or dirt. Robust + TTA (test-time "
    "augmentation): the robust network on several altered copies of the frame, called views, such as a sharper or a "
    "zoomed one, whose outputs are averaged; a tiny network chooses them for each frame among twelve. The road, the "
    "signs and the weather are drawn, and drives differ much: over three other drives plain misread 29.5 % on average, "
    "robust 11.9 % and robust + TTA 11.0 % (docs/results/drive.md). Measure on your own images: allweather evaluate."
)
CLEAN_NOTE = (
    "These accuracies differ from the drive's: they are of validation images, each of another sign, while the drive "
    "shows few signs many times; and the corruptions here are those of a published benchmark at medium severity."
)


def write_demo_report(
    out: Path,
    plain: Bundle,
    robust: Bundle,
    drive: DriveResult,
    summary: dict[str, Any],
    origin: Origin | None = None,
) -> None:
    """Writes report.html, summary.json, and the images and plots of the page.

    Args:
        out: Folder to write into.
        plain: Bundle of the plain classifier.
        robust: Bundle of the robust classifier.
        drive: Result of the drive.
        summary: The figures that `run_demo` returns.
        origin: What made the report; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    systems = drive.systems
    command = "allweather demo" + (" --quick" if summary["quick"] else "")
    bad = {system: errors["bad weather"]["error"] for system, errors in summary["errors"].items()}
    sections = [
        Section("The drive", EXPLANATION, image=PREVIEW, alt=_drive_in_words(bad)),
        Section(
            "Signs misread, in each weather",
            "Share of the frames whose sign was misread, with 95 % intervals. They are wide because a stretch has few "
            "signs, and the frames of one sign are not independent (a bootstrap over the signs). The whole video is "
            "drive.mp4; summary.json has the figures, decisions.jsonl every decision of robust + TTA. Smoothed are the "
            "decisions of robust + TTA, combined over the frames of each sign without any further pass of the network, "
            "as allweather run --smooth does; the number of the sign is given, as by a tracker. "
            f"Command: {command}.",
            _error_table((*systems, SMOOTHED), summary["errors"]),
        ),
        Section(
            "Accuracy over time",
            "Share of the signs read correctly, each point over the 30 frames before it that show a sign, within the "
            "same weather. A line falls where one sign is misread in many frames in a row.",
            image=ACCURACY,
            alt="Accuracy of the three systems over the drive, one line each.",
        ),
        Section(
            "Where the difference is seen",
            "A frame of each bad condition, with a sign that plain misreads and robust + TTA reads, if there is one.",
            image=FRAMES,
            alt="Frames of the drive; below each, the sign that every system reads.",
        ),
        Section(
            "The latency budget",
            f"A decision has {BUDGET_MS:g} ms from the capture of its frame: {summary['late']} of {summary['frames']} "
            f"came late. Half took less than {summary['decision_ms_p50']:.2f} ms, 99 % less than "
            f"{summary['decision_ms_p99']:.2f} ms, the slowest {summary['decision_ms_max']:.2f} ms, with "
            f"{summary['views_per_frame']:.2f} views a frame on average (policy {summary['policy']}, "
            f"{summary['precision']}, {summary['machine']}). A budget that is too short for these views gets fewer: "
            f"so it was in {summary['short_of_time']} frames, fewest on a machine that does nothing else. "
            "Below: which views were run in each frame; identity is the unchanged frame.",
            image=BUDGET,
            alt="Time of each decision below the budget, and the views that were run.",
        ),
        Section(
            "Export, and its parity gate",
            "Each compiled model must predict as torch does on validation images, clean and corrupted, and lose no "
            "more than half a point of accuracy; what does not is rejected. Command: allweather export. " + CLEAN_NOTE,
            _model_table({"plain": plain, "robust": robust}),
        ),
        Section(
            "Stages",
            "Seconds that each took on this machine; 0 where its result was kept.",
            _stage_table(summary["stages"]),
        ),
        origin_section(origin),
    ]
    lead = (
        f"In bad weather a small network misreads {_percent(bad[systems[0]])} of the road signs on this drive. "
        f"Trained to be robust, it misreads {_percent(bad[systems[1]])} in the same time per frame; with several views "
        f"of each frame {_percent(bad[systems[-1]])}, within the budget of {BUDGET_MS:g} ms; and "
        f"{_percent(bad[SMOOTHED])} with its decisions combined over the frames of a sign."
    )
    figures = [
        (f"{_percent(bad[systems[0]])} → {_percent(bad[systems[-1]])}", "signs misread in bad weather"),
        (f"{summary['decision_ms_p99']:.1f} ms", f"99 % of decisions are faster, on {summary['machine']}"),
        (f"{summary['late']} of {summary['frames']}", f"decisions late for the budget of {BUDGET_MS:g} ms"),
    ]
    files: dict[str, bytes | str] = {
        ACCURACY: accuracy_timeline(drive.outcomes, systems, FPS),
        BUDGET: budget_timeline(drive.outcomes, FPS, BUDGET_MS),
        FRAMES: example_grid([drive.examples[name] for name in BAD_CONDITIONS if name in drive.examples]),
        PREVIEW: animation(drive.preview, PREVIEW_EVERY / FPS / 2),
        SUMMARY: json.dumps(summary, indent=1),
        REPORT: page("allweather demo", lead, sections, figures),
    }
    write_files(out, files)


def _drive_in_words(bad: Mapping[str, float]) -> str:
    shares = ", ".join(f"{system} {_percent(error)}" for system, error in bad.items())
    return f"The drive; below each frame the sign that every system reads. Misread in bad weather: {shares}."


def _error_table(systems: tuple[str, ...], errors: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Row]:
    rows: list[Row] = [("condition", *systems)]
    for name in (CLEAR, *BAD_CONDITIONS, "bad weather"):
        cells = [errors[system][name] for system in systems]
        title = "mean of the bad weather" if name == "bad weather" else name
        intervals = (
            f"{_percent(each['error'])} ({100 * each['low']:.0f} to {100 * each['high']:.0f})" for each in cells
        )
        rows.append((title, *intervals))
    return rows


def _model_table(bundles: Mapping[str, Bundle]) -> list[Row]:
    """Returns a table of the exported classifiers, each network below its torch model."""
    rows: list[Row] = [("model", "accuracy, clean", "accuracy, corrupted", "same prediction as torch", "ms per image")]
    for name, bundle in bundles.items():
        models = [model for model in bundle.manifest.models if model.role == "classifier"]
        reference = models[0].parity
        accuracies = (reference.reference_accuracy, reference.reference_corrupted_accuracy)
        rows.append((f"{name}: torch fp32", *map(_percent, accuracies), "", ""))
        for model in models:
            shares = (model.parity.accuracy, model.parity.corrupted_accuracy, model.parity.agreement)
            milliseconds = f"{1000 * model.seconds[0]:.2f}"
            rows.append((f"{name}: {model.engine} {model.precision}", *map(_percent, shares), milliseconds))
        for rejected in bundle.manifest.rejected:
            reason = f"{name}: {rejected.role} {rejected.precision} rejected, another precision is used"
            rows.append((reason, "", "", "", ""))
    return rows


def _stage_table(stages: Mapping[str, float]) -> list[Row]:
    return [("stage", "seconds"), *((name, f"{seconds:.0f}") for name, seconds in stages.items())]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
