"""The whole journey on the embedded data set: train, export to INT8, drive past road signs in bad weather, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from allweather.demo.drive import BUDGET_MS, FrameOutcome, accuracy_of, run_drive
from allweather.demo.report import write_demo_report
from allweather.exporters.export import ExportOptions, export_checkpoint
from allweather.runtimes.bundle.manifest import Manifest, Model
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load
from allweather.runtimes.loop.stats import LoopReport
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.signs import CLASSES
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

ARCH = "resnet20"
BATCH_SIZE = 32  # small, because a few epochs need many steps to learn enough


def run_demo(
    out: Path,
    *,
    epochs: int,
    frames: int,
    seed: int,
    num_train: int | None = None,
    say: Callable[[str], None],
    watch: Callable[[int, str], None],
) -> dict[str, Any]:
    """Runs the demo.

    Args:
        out: Folder to write the report, the checkpoint, the bundle, the video and the decisions into.
        epochs: Number of passes over the training images.
        frames: Number of frames of the drive, at least 1.
        seed: Random seed of the training and of the drive; the same seed gives the same demo.
        num_train: Number of training images; all if None.
        say: Called with each line of text for the user.
        watch: Called with (steps or frames done, name of the current stage).

    Returns:
        The summary: accuracies (0..1), latencies and numbers of frames, by name.

    Raises:
        AllweatherError: An argument is out of range, or `out` cannot be written to.
    """
    started = time.monotonic()
    settings = FitSettings(epochs=epochs, batch_size=BATCH_SIZE, seed=seed)
    if frames < 1:
        raise UsageError(f"frames must be at least 1; got {frames}")
    watch(0, "draw the road signs")
    dataset = open_dataset("signs", num_train=num_train)
    say(f"signs: {len(dataset.train)} training images of {len(CLASSES)} classes")
    checkpoint = _train(dataset, out, settings, say, watch)
    watch(0, "export to INT8")
    manifest = export_checkpoint(checkpoint, dataset, out / "signs.aw", ExportOptions(["openvino"], ["fp32", "int8"]))
    chosen = _chosen_model(manifest)
    parity = chosen.parity
    say(
        f"exported: {chosen.precision}; accuracy on {parity.images} validation images {parity.accuracy:.4f}, "
        f"with torch {parity.reference_accuracy:.4f}"
    )
    for rejected in manifest.rejected:
        say(f"{rejected.precision} is rejected: {rejected.reason}")
    with load(out / "signs.aw", engine="openvino", precision=chosen.precision, budget_ms=BUDGET_MS) as perceiver:
        drive = run_drive(perceiver, out, frames, seed, watch)
    seconds = time.monotonic() - started
    summary = _summary(checkpoint, manifest, drive.loop, drive.outcomes, seconds)
    watch(frames, "write the report")
    write_demo_report(out, checkpoint, manifest, drive, summary)
    say(f"open {out / 'report.html'}")
    return summary


def _train(
    dataset: Dataset, out: Path, settings: FitSettings, say: Callable[[str], None], watch: Callable[[int, str], None]
) -> Checkpoint:
    def report_progress(progress: Progress) -> None:
        watch(progress.step, f"train {ARCH}")
        if epoch := progress.report:
            say(f"epoch {epoch.epoch}/{settings.epochs}  loss {epoch.loss:.3f}  val {epoch.val_accuracy:.4f}")

    path = out / "signs.safetensors"
    (trained,) = train([ARCH], dataset, settings, path, fabric=launch(), watch=report_progress)
    return trained


def _chosen_model(manifest: Manifest) -> Model:
    """Returns the INT8 model if the bundle has one: after very few training steps it may fail the parity gate."""
    return min(manifest.models, key=lambda model: model.precision != "int8")


def _summary(
    checkpoint: Checkpoint, manifest: Manifest, loop: LoopReport, outcomes: tuple[FrameOutcome, ...], seconds: float
) -> dict[str, Any]:
    times = np.array([outcome.milliseconds for outcome in outcomes])
    parity = _chosen_model(manifest).parity
    conditions = dict.fromkeys(outcome.condition for outcome in outcomes)
    return {
        "val_accuracy": checkpoint.metrics["val_accuracy"],
        "precision": _chosen_model(manifest).precision,
        "exported_accuracy": parity.accuracy,
        "exported_accuracy_torch": parity.reference_accuracy,
        "exported_corrupted_accuracy": parity.corrupted_accuracy,
        "exported_corrupted_accuracy_torch": parity.reference_corrupted_accuracy,
        **{f"drive_accuracy_{name}": accuracy_of(outcomes, name) for name in conditions},
        "frames": loop.frames,
        "late": loop.late,
        "decision_ms_p50": float(np.percentile(times, 50)),
        "decision_ms_p99": float(np.percentile(times, 99)),
        "machine": manifest.machine,
        "seconds": seconds,
    }
