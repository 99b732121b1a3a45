"""The whole journey on the embedded data set: train, export to INT8, drive past signs in bad weather, report."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allweather.demo.drive_images import Example, animation, sheet
from allweather.exporters.export import ExportOptions, export_checkpoint
from allweather.reports import plots as pictures
from allweather.reports.html import Section, page, write
from allweather.runtimes.bundle.manifest import Manifest, Model
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load
from allweather.runtimes.loop.loop import FunctionDecider, run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.types import Decision, Frame, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.signs import CLASSES, DriveFrame, render_drive
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

ARCH = "resnet20"
FPS = 30.0
PREVIEW_EVERY = 6  # frames; browsers do not play the MPEG-4 that cv2 writes, and its VP8 takes 0.1 s a frame
BUDGET_MS = 33.0  # a frame at 30 frames a second
MARGIN = 1.25  # of the region around a sign's box, as in the training pictures


@dataclass(frozen=True)
class Outcome:
    """One frame of the drive: its weather, the truth (None: no sign to read), the answer and the time it took."""

    stretch: str
    truth: str | None
    answer: str
    milliseconds: float

    @property
    def right(self) -> bool | None:
        """Whether the sign was read; None where there was none."""
        return None if self.truth is None else self.truth == self.answer


def run_demo(
    out: Path,
    *,
    epochs: int,
    frames: int,
    seed: int,
    pictures_used: int | None = None,
    say: Callable[[str], None],
    watch: Callable[[int, str], None],
) -> dict[str, Any]:
    """Runs the demo.

    Args:
        out: folder to fill.
        epochs: of training.
        frames: length of the drive.
        seed: of weights, draws and the road.
        pictures_used: training pictures to use; all where None.
        say: told what is done, in lines.
        watch: told of progress.

    Returns:
        What was measured, by name.

    Raises:
        AllweatherError: an argument cannot work, or `out` cannot be written to.
    """
    began = time.monotonic()
    settings = FitSettings(epochs=epochs, batch_size=32, seed=seed)  # small: few epochs need many steps to count on
    if frames < 1:
        raise UsageError(f"frames must be at least 1; got {frames}")
    watch(0, "draw the road signs")
    dataset = open_dataset("signs", num_train=pictures_used)
    say(f"signs: {len(dataset.train)} training pictures of {len(CLASSES)} classes")
    checkpoint = _train(dataset, out, settings, say, watch)
    watch(0, "export to INT8")
    manifest = export_checkpoint(checkpoint, dataset, out / "signs.aw", ExportOptions(["openvino"], ["fp32", "int8"]))
    chosen = _smallest(manifest)
    parity = chosen.parity
    say(
        f"exported: {chosen.precision}; accuracy on {parity.images} of the val pictures {parity.accuracy:.4f}, "
        f"torch {parity.reference_accuracy:.4f}"
    )
    for left in manifest.rejected:
        say(f"{left.precision} is left out: {left.reason}")
    with load(out / "signs.aw", engine="openvino", precision=chosen.precision, budget_ms=BUDGET_MS) as perceiver:
        report, recorder = _drive(perceiver, out, frames, seed, watch)
    seconds = time.monotonic() - began
    summary = _summary(checkpoint, manifest, report, recorder.outcomes, seconds)
    watch(frames, "write the report")
    _write_report(out, checkpoint, manifest, recorder, summary)
    say(f"look at {out / 'report.html'}")
    return summary


def _train(
    dataset: Dataset, out: Path, settings: FitSettings, say: Callable[[str], None], watch: Callable[[int, str], None]
) -> Checkpoint:
    def tell(now: Progress) -> None:
        watch(now.step, f"train {ARCH}")
        if row := now.report:
            say(f"epoch {row.epoch}/{settings.epochs}  loss {row.loss:.3f}  val {row.val_accuracy:.4f}")

    (trained,) = train([ARCH], dataset, settings, out / "signs.safetensors", fabric=launch(), watch=tell)
    return trained


class _Road:
    """The drive as a camera sees it, and the truth about the frames it has given."""

    def __init__(self, seed: int, frames: int) -> None:
        self._frames = render_drive(seed, frames)
        self.truth: list[DriveFrame] = []

    def images(self) -> Iterator[Image]:
        for frame in self._frames:
            # the picture itself is let go, or the drive would take half a gigabyte
            self.truth.append(dataclasses.replace(frame, image=np.empty((0, 0, 3), np.uint8)))
            yield frame.image


class _Recorder(Sink):
    """Passes frames on to the video with the region that was looked at, and keeps what came of each."""

    def __init__(self, video: VideoSink, road: _Road) -> None:
        self._video, self._road = video, road
        self.outcomes: list[Outcome] = []
        self.examples: dict[str, Example] = {}
        self.preview: list[Image] = []

    def open(self) -> None:
        self._video.open()

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        truth = self._road.truth[frame.index]
        place = _region(truth.box, frame.image)
        self._video.write(frame, decision, place)
        name = None if truth.label is None else CLASSES[truth.label]
        spent = 1000 * decision.times.total
        self.outcomes.append(Outcome(truth.condition, name, decision.label, spent))
        if frame.index % PREVIEW_EVERY == 0:
            self.preview.append(annotate(frame.image, decision, place))
        width = truth.box[2] if truth.box else 0
        if name is not None and 40 < width < 90:
            seen = Example(width, name, decision.label, annotate(frame.image, decision, place))
            self.examples[truth.condition] = seen.better_of(self.examples.get(truth.condition))

    def close(self) -> None:
        self._video.close()


def _drive(
    perceiver: Perceiver, out: Path, frames: int, seed: int, watch: Callable[[int, str], None]
) -> tuple[LoopReport, _Recorder]:
    road = _Road(seed, frames)

    def decide(frame: Frame, skipped: int) -> Decision:
        watch(frame.index + 1, "drive")
        place = _region(road.truth[frame.index].box, frame.image)
        return perceiver.decide(Frame(place.crop(frame.image), frame.index, frame.captured), skipped)

    recorder = _Recorder(VideoSink(out / "drive.mp4", FPS), road)
    log = out / "decisions.jsonl"
    log.unlink(missing_ok=True)
    report = run(camera_from(road.images()), FunctionDecider(decide), [recorder, JsonlSink(log)])
    return report, recorder


def _region(box: tuple[int, int, int, int] | None, image: Image) -> Region:
    """The square around a sign that a tracker would hand over; the middle of the frame where there is none."""
    height, width = image.shape[:2]
    left, top, box_width, box_height = box or (width // 2 - 16, height // 2 - 16, 32, 32)
    side = min(round(MARGIN * max(box_width, box_height)), height, width)
    x = min(max(0, left + box_width // 2 - side // 2), width - side)
    y = min(max(0, top + box_height // 2 - side // 2), height - side)
    return Region(x, y, side, side)


def _share(outcomes: list[Outcome]) -> float:
    known = [outcome.right for outcome in outcomes if outcome.right is not None]
    return sum(known) / len(known) if known else float("nan")


def _smallest(manifest: Manifest) -> Model:
    """INT8, where it passed the gate: after very few steps of training it may not."""
    return min(manifest.models, key=lambda model: model.precision != "int8")


def _summary(
    checkpoint: Checkpoint, manifest: Manifest, report: LoopReport, outcomes: list[Outcome], seconds: float
) -> dict[str, Any]:
    times = np.array([outcome.milliseconds for outcome in outcomes])
    chosen = _smallest(manifest)
    stretches = dict.fromkeys(outcome.stretch for outcome in outcomes)
    return {
        "val_accuracy": checkpoint.metrics["val_accuracy"],
        "precision": chosen.precision,
        "exported_accuracy": chosen.parity.accuracy,
        "exported_accuracy_torch": chosen.parity.reference_accuracy,
        "exported_corrupted_accuracy": chosen.parity.corrupted_accuracy,
        "exported_corrupted_accuracy_torch": chosen.parity.reference_corrupted_accuracy,
        **{f"drive_accuracy_{name}": _share([o for o in outcomes if o.stretch == name]) for name in stretches},
        "frames": report.frames,
        "late": report.late,
        "decision_ms_p50": float(np.percentile(times, 50)),
        "decision_ms_p99": float(np.percentile(times, 99)),
        "machine": manifest.machine,
        "seconds": seconds,
    }


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _write_report(
    out: Path,
    checkpoint: Checkpoint,
    manifest: Manifest,
    recorder: _Recorder,
    summary: dict[str, Any],
) -> None:
    outcomes = recorder.outcomes
    stretches = [outcome.stretch for outcome in outcomes]
    drive_rows = [("weather", "signs read"), *(
        (name, _percent(summary[f"drive_accuracy_{name}"])) for name in dict.fromkeys(stretches)
    )]  # fmt: skip
    first = manifest.models[0].parity
    model_rows = [
        ("model", "clean", "corrupted", "same class as torch", "ms a picture"),
        ("torch fp32", _percent(first.reference_accuracy), _percent(first.reference_corrupted_accuracy), "", ""),
        *(
            (
                f"{m.engine} {m.precision}",
                _percent(m.parity.accuracy),
                _percent(m.parity.corrupted_accuracy),
                _percent(m.parity.agreement),
                f"{1000 * m.seconds[0]:.2f}",
            )
            for m in manifest.models
        ),
    ]
    sections = [
        Section(
            "The drive",
            f"Each frame is decided on within a region around the nearest sign, in {summary['precision']} on the CPU. "
            "Parts of the drive are dark, noisy or out of focus; the classifier has been trained on clear days only. "
            "The whole video is drive.mp4, each decision is in decisions.jsonl.",
            drive_rows,
            picture="drive.webp",
        ),
        Section("Accuracy and latency over time", picture="timeline.png"),
        Section(
            "In each weather",
            "A sign more than 40 px wide that was misread, where one was. A percentage is the classifier's confidence; "
            "one view, identity, is the picture as it is.",
            picture="frames.png",
        ),
        Section(
            "What the export changed",
            f"Accuracy on {first.images} of the validation pictures, clean, and each in one of fifteen corruptions of "
            "medium severity. A model that loses more than half a point for sure beside torch would be left out.",
            model_rows,
        ),
        Section("How it was trained", f"{checkpoint.arch} on the embedded road signs.", picture="training.png"),
    ]
    lead = f"Trained, exported and run in {summary['seconds']:.0f} s on {summary['machine']}."
    times = [outcome.milliseconds for outcome in outcomes]
    right = [outcome.right for outcome in outcomes]
    files: dict[str, bytes | str] = {
        "timeline.png": pictures.timeline(right, times, stretches, FPS, BUDGET_MS),
        "training.png": pictures.training(checkpoint.history),
        "frames.png": sheet(recorder.examples),
        "drive.webp": animation(recorder.preview, PREVIEW_EVERY / FPS),
        "summary.json": json.dumps(summary, indent=1),
        "report.html": page("allweather demo", lead, sections),
    }
    write(out, files)
