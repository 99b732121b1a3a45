"""The whole journey on the embedded data set: train, make robust, tune, export to INT8, drive through bad weather."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import allweather
from allweather.demo.drive import BUDGET_MS, SMOOTHED, DriveResult, run_drive
from allweather.demo.kept_folder import BUNDLE, PLAIN_BUNDLE, check_kept, claim_folder
from allweather.demo.outcomes import BAD_CONDITIONS, CLEAR, error_rate
from allweather.demo.settings import DemoSettings
from allweather.journey import Journey, Stage
from allweather.reports.reading import Origin
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.choices import Precision
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.path_argument import as_path

PLAIN, ROBUST, FULL = "plain", "robust", "robust + TTA"
QUICK_BUNDLES = ("signs-plain", "signs-robust")  # in samples/bundles
MAX_SHORT_OF_TIME = 0.05  # share of the frames; beyond it the errors tell more about the machine than about the views
# seconds on two idle cores with AVX2
TRAINING_STAGES = {
    "draw the road signs": 10.0,
    "train a plain classifier": 55.0,
    "finetune it to be robust": 93.0,
    "train the loss predictor": 17.0,
    "tune the policy": 10.0,
    "export the plain classifier": 6.0,
    "export to INT8": 16.0,
}
DRIVE_STAGES = {"drive through the weather": 30.0, "write the report": 2.0}


def run_demo(
    out: Path | str,
    settings: DemoSettings,
    *,
    quick: bool = False,
    origin: Origin | None = None,
    say: Callable[[str], None] = lambda line: None,
    watch: Callable[[Sequence[Stage]], None] = lambda stages: None,
) -> dict[str, Any]:
    """Runs the demo. A demo that was stopped goes on where it was, if the settings are the same.

    Args:
        out: Folder to write the report, the models, the video and the decisions into.
        settings: Settings of the demo.
        quick: Whether the committed models of samples/bundles drive, without training.
        origin: What makes the report; None for a program that called allweather.
        say: Called with each line of text for the user.
        watch: Called with all stages whenever one of them has changed.

    Returns:
        The summary: errors (0..1), latencies and numbers of frames, by name.

    Raises:
        AllweatherError: The committed models are not there, or `out` cannot be written to, or holds files of others.
    """
    from allweather.demo.report import write_demo_report  # before the work, as matplotlib may be missing

    out = as_path(out)
    claim_folder(out)
    journey = Journey(DRIVE_STAGES if quick else {**TRAINING_STAGES, **DRIVE_STAGES}, watch)
    plain, robust = _committed() if quick else _trained(out, settings, journey, say)
    precision = _int8_or_best(Bundle.open(robust))
    with ExitStack() as stack:
        systems = {
            PLAIN: stack.enter_context(load(plain, engine="openvino", budget_ms=BUDGET_MS)),
            ROBUST: stack.enter_context(
                load(robust, engine="openvino", precision=precision, policy="center", budget_ms=BUDGET_MS)
            ),
            FULL: stack.enter_context(load(robust, engine="openvino", precision=precision, budget_ms=BUDGET_MS)),
        }
        with journey.stage("drive through the weather") as run:
            drive = run_drive(systems, out, settings.frames, settings.seed, run.update)
            run.result(f"{drive.loop.late} of {drive.loop.frames} decisions late")
        policy, run_in = systems[FULL].policy.name, systems[FULL].precision
    with journey.stage("write the report") as run:
        summary = _summary(drive, policy, run_in, quick, journey.stages[:-1])
        write_demo_report(out, Bundle.open(plain), Bundle.open(robust), drive, summary, origin)
    if note := busy_note(summary["short_of_time"], summary["frames"]):
        say(note)
    say(f"open {out / 'report.html'}")
    return summary


def busy_note(short_of_time: int, frames: int) -> str:
    """Returns what to say of a drive on a machine that had no time for the views; empty if it had nearly always."""
    if short_of_time <= MAX_SHORT_OF_TIME * frames:
        return ""
    return (
        f"this machine was busy, or is slow: {short_of_time} of {frames} frames left no time for all views within "
        f"{BUDGET_MS:g} ms, so that {FULL} misread more signs than it can; run it again when nothing else runs"
    )


def _committed() -> tuple[Path, Path]:
    folder = Path(allweather.__file__).resolve().parents[1] / "samples" / "bundles"
    plain, robust = (folder / name for name in QUICK_BUNDLES)
    if not robust.exists():
        raise UsageError(f"the committed models are not in {folder}; leave out --quick, or run it in the repository")
    return plain, robust


def _int8_or_best(bundle: Bundle) -> Precision | None:
    """Returns "int8" if the parity gate let it pass; else None, for the precision that the bundle prefers."""
    kept = {model.precision for model in bundle.manifest.models if model.role == "classifier"}
    return "int8" if "int8" in kept else None


def _trained(out: Path, settings: DemoSettings, journey: Journey, say: Callable[[str], None]) -> tuple[Path, Path]:
    from allweather.demo import models
    from allweather.trainers.data.registry import open_dataset

    if check_kept(out, settings):
        say(f"{out} holds models of other settings or of another version; they are made anew")
    with journey.stage("draw the road signs") as run:
        dataset = open_dataset("signs", settings.size, num_train=settings.num_train)
        run.result(f"{len(dataset.train)} training images of {len(dataset.classes)} classes")
    plain = models.train_plain(dataset, out, settings, journey)
    robust = models.make_robust(plain, dataset, out, settings, journey)
    ranked = models.add_loss_predictor(robust, dataset, out, settings, journey)
    tuned = models.tune(ranked, dataset, out, settings, journey)
    paths = out / PLAIN_BUNDLE, out / BUNDLE
    models.export_once(plain, dataset, paths[0], ["fp32"], "export the plain classifier", journey)
    bundle = models.export_once(tuned, dataset, paths[1], ["fp32", "int8"], "export to INT8", journey)
    for rejected in bundle.manifest.rejected:
        model = f"the {rejected.role} in {rejected.precision}"
        say(f"the parity gate rejects {model}, so it runs in fp32: {rejected.reason}")
    return paths


def _summary(drive: DriveResult, policy: str, precision: str, quick: bool, stages: Sequence[Stage]) -> dict[str, Any]:
    outcomes = drive.outcomes
    errors: dict[str, Mapping[str, Any]] = {}
    systems = (*drive.systems, SMOOTHED)
    for system in systems:
        groups = {CLEAR: [CLEAR], **{name: [name] for name in BAD_CONDITIONS}, "bad weather": list(BAD_CONDITIONS)}
        errors[system] = {name: vars(error_rate(outcomes, system, members)) for name, members in groups.items()}
    times = 1000 * np.array([outcome.seconds for outcome in outcomes])
    means = {system: errors[system]["bad weather"]["error"] for system in systems}
    return {
        **{f"error_{system}": means[system] for system in systems},
        "error_ratio_robust": means[ROBUST] / means[PLAIN] if means[PLAIN] else float("nan"),
        "error_ratio_robust_tta": means[FULL] / means[PLAIN] if means[PLAIN] else float("nan"),
        "policy": policy,
        "precision": precision,
        "frames": drive.loop.frames,
        "late": drive.loop.late,
        "short_of_time": sum(outcome.short_of_time for outcome in outcomes),
        "views_per_frame": float(np.mean([len(outcome.views) for outcome in outcomes])),
        "decision_ms_p50": float(np.percentile(times, 50)),
        "decision_ms_p99": float(np.percentile(times, 99)),
        "decision_ms_max": float(times.max()),
        "quick": quick,
        "machine": this_device().line(),
        "seconds": sum(stage.seconds for stage in stages),
        "errors": errors,
        "stages": {stage.name: stage.seconds for stage in stages},
    }
